//! Statements about sets of rows.
//!
//! The server takes a set as one array for each column. That costs it something for each array, which is nothing beside
//! many rows, and as much as all the writing beside one. So each statement is there in two forms.

use std::fmt::Write;

use sqlx::postgres::{PgArguments, PgHasArrayType, Postgres};
use sqlx::query::QueryAs;
use sqlx::{Encode, Type};
use uuid::Uuid;

use super::unit::Commit;

/// How the sets of a statement are handed to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As values: at most one row of each set, and at most two where that is said.
    Values,
    /// As arrays, of any length.
    Arrays,
}

/// A statement in both forms.
pub(super) struct SetStatement {
    values: String,
    arrays: String,
}

impl SetStatement {
    /// `text` writes it; its parameters are bound in the order in which it asks for them.
    pub(super) fn new(text: impl Fn(&mut Parameters) -> String) -> Self {
        let text = |form| text(&mut Parameters { form, last: 0 });
        Self {
            values: text(Form::Values),
            arrays: text(Form::Arrays),
        }
    }

    pub(super) fn text(&self, form: Form) -> &str {
        match form {
            Form::Values => &self.values,
            Form::Arrays => &self.arrays,
        }
    }
}

/// Numbers the parameters of a statement.
pub(super) struct Parameters {
    form: Form,
    last: u32,
}

impl Parameters {
    /// One value of this type.
    pub(super) fn one(&mut self, kind: &str) -> String {
        self.last += 1;
        format!("${}::{kind}", self.last)
    }

    /// A set with these columns, each a name and a type, to stand in FROM under the name `n`. If it may be empty, its first
    /// column is to be compared with something: as a value it is then NULL.
    pub(super) fn rows(&mut self, columns: &str) -> String {
        let source = match self.form {
            Form::Values => format!("(VALUES ({}))", self.row(columns, "")),
            Form::Arrays => format!("unnest({})", self.row(columns, "[]")),
        };
        format!("{source} AS n ({})", names(columns))
    }

    /// The same for up to two rows, which have an order: the column `place`.
    pub(super) fn two_rows(&mut self, columns: &str) -> String {
        let source = match self.form {
            Form::Values => {
                let (first, second) = (self.row(columns, ""), self.row(columns, ""));
                format!("(VALUES ({first}, 1), ({second}, 2))")
            }
            Form::Arrays => format!("unnest({}) WITH ORDINALITY", self.row(columns, "[]")),
        };
        format!("{source} AS n ({}, place)", names(columns))
    }

    /// A set that is always given as arrays.
    pub(super) fn arrays(&mut self, columns: &str) -> String {
        let row = self.row(columns, "[]");
        format!("unnest({row}) AS n ({})", names(columns))
    }

    fn row(&mut self, columns: &str, array: &str) -> String {
        let mut row = String::new();
        for (place, (_, kind)) in split(columns).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let parameter = self.one(kind);
            // Writing to a string cannot fail.
            let _ = write!(row, "{comma}{parameter}{array}");
        }
        row
    }
}

/// Names and types. What is neither makes no statement.
fn split(columns: &str) -> impl Iterator<Item = (&str, &str)> {
    let columns = columns.split(',').map(str::trim);
    columns.map(|column| column.split_once(' ').unwrap_or_default())
}

fn names(columns: &str) -> String {
    let names: Vec<&str> = split(columns).map(|(name, _)| name).collect();
    names.join(", ")
}

/// The commit's own row, if it is to be written, and the end of those that are not needed any more. `now`: a parameter.
pub(super) fn marking(parameters: &mut Parameters, now: &str) -> String {
    let (writer, number) = (parameters.one("uuid"), parameters.one("bigint"));
    let forget_from = parameters.one("bigint");
    format!(
        "marked AS (
            INSERT INTO postroom.commits (writer, number, at)
            SELECT {writer}, {number}, {now} WHERE {writer} IS NOT NULL AND {number} IS NOT NULL),
        forgotten AS (
            DELETE FROM postroom.commits
            WHERE writer = {writer} AND number >= {forget_from} AND number < {number})"
    )
}

/// A query whose parameters are being bound.
pub(super) struct Binding<'q, O> {
    pub(super) query: QueryAs<'q, Postgres, O, PgArguments>,
    pub(super) form: Form,
}

impl<'q, O> Binding<'q, O> {
    pub(super) fn one<T>(mut self, value: T) -> Self
    where
        T: Encode<'q, Postgres> + Type<Postgres> + 'q,
    {
        self.query = self.query.bind(value);
        self
    }

    /// A column of a set.
    pub(super) fn column<T>(self, column: &'q Vec<T>) -> Self
    where
        T: Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType + 'q,
        Vec<T>: Encode<'q, Postgres>,
    {
        self.column_from(column, 0)
    }

    /// A column of a set, of whose elements some may be NULL.
    pub(super) fn nullable<T>(self, column: &'q Vec<Option<T>>) -> Self
    where
        T: Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType + 'q,
        Vec<Option<T>>: Encode<'q, Postgres>,
    {
        self.nullable_from(column, 0)
    }

    /// A column of a set; as a value, the one in this row.
    pub(super) fn column_from<T>(self, column: &'q Vec<T>, row: usize) -> Self
    where
        T: Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType + 'q,
        Vec<T>: Encode<'q, Postgres>,
    {
        match self.form {
            Form::Values => self.one(column.get(row)),
            Form::Arrays => self.one(column),
        }
    }

    /// The same of a column of whose elements some may be NULL.
    pub(super) fn nullable_from<T>(self, column: &'q Vec<Option<T>>, row: usize) -> Self
    where
        T: Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType + 'q,
        Vec<Option<T>>: Encode<'q, Postgres>,
    {
        match self.form {
            Form::Values => self.one(column.get(row).and_then(Option::as_ref)),
            Form::Arrays => self.one(column),
        }
    }

    /// The parameters of [`marking`].
    pub(super) fn marking(self, commit: Option<Commit>) -> Self {
        let writer: Option<Uuid> = commit.map(|commit| commit.writer);
        self.one(writer)
            .one(commit.map(|commit| commit.number))
            .one(commit.and_then(|commit| commit.forget_from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: impl Fn(&mut Parameters) -> String) -> [String; 2] {
        let statement = SetStatement::new(text);
        [Form::Values, Form::Arrays].map(|form| statement.text(form).to_owned())
    }

    #[test]
    fn rows_are_values_or_arrays() {
        let both = texts(|parameters| {
            let (now, rows) = (
                parameters.one("bigint"),
                parameters.rows("id bigint,\n name text"),
            );
            format!("{now} {rows} {}", parameters.one("uuid"))
        });
        assert_eq!(
            both[0],
            "$1::bigint (VALUES ($2::bigint, $3::text)) AS n (id, name) $4::uuid"
        );
        assert_eq!(
            both[1],
            "$1::bigint unnest($2::bigint[], $3::text[]) AS n (id, name) $4::uuid"
        );
    }

    #[test]
    fn two_rows_have_an_order() {
        let both = texts(|parameters| {
            let rows = parameters.two_rows("id bigint, name text");
            format!("{rows} {}", parameters.arrays("id bigint"))
        });
        assert_eq!(
            both[0],
            "(VALUES ($1::bigint, $2::text, 1), ($3::bigint, $4::text, 2)) AS n (id, name, place) \
             unnest($5::bigint[]) AS n (id)"
        );
        assert_eq!(
            both[1],
            "unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS n (id, name, place) \
             unnest($3::bigint[]) AS n (id)"
        );
    }
}
