//! Sets of rows in statements, and several statements in one call.
//!
//! `SQLite` has no arrays. A set given as JSON is rendered and parsed anew for each column of each row, which
//! costs more than the row itself; so a set is `VALUES` with one parameter for each column of each row. To keep
//! the number of different statements small, which are prepared once each, there are few sizes: a set is filled
//! up with rows of NULL, which no condition of a statement lets through.

use std::fmt::Write;

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Arguments, AssertSqlSafe, Encode, Executor, FromRow, Row, Sqlite, SqliteConnection, Type,
};

use super::fault::Fault;

/// Rows that a set has room for.
const SIZES: [usize; 7] = [1, 4, 16, 64, 128, 256, MOST];

/// Larger sets take several statements.
pub(super) const MOST: usize = 512;

/// Parameters of a script that is not executed with the next one: those of a few small tasks are fewer.
const LARGE: usize = 256;

/// Rows of a set that is executed together with any others. Of more there would be very many different texts, each of
/// which is prepared by itself: larger sets go only with those that are on a level with them.
const FEW: usize = 4;

/// Fails unless the statement before it has written so many rows: in one call with COMMIT there is no other place to
/// look. What is no JSON is the one error that a statement can make of a condition.
const CHECK: &str =
    "SELECT CASE WHEN changes() = ? THEN NULL ELSE json('not all: ' || changes()) END;";

/// Statements that go to the connection's thread together, with their arguments in order of appearance.
#[derive(Default)]
pub(super) struct Script {
    text: String,
    arguments: SqliteArguments,
    /// Rows of the largest set.
    most: usize,
    /// Rows that each set has room for at least.
    room: usize,
}

/// The arguments of one row.
pub(super) struct Binds<'a>(&'a mut SqliteArguments);

impl Binds<'_> {
    /// The next column.
    pub(super) fn bind<'t, T>(&mut self, value: T) -> Result<&mut Self, Fault>
    where
        T: Encode<'t, Sqlite> + Type<Sqlite>,
    {
        self.0.add(value).map_err(sqlx::Error::Encode)?;
        Ok(self)
    }
}

/// What a row of a set binds.
pub(super) type Bound<'b, 'a> = Result<&'b mut Binds<'a>, Fault>;

impl Script {
    /// Adds a statement over a set: `{rows}` in it stands for the set, whose columns are `column1` and so on. The
    /// first column must never be NULL, and the statement's condition must refuse rows where it is.
    pub(super) async fn set<T>(
        &mut self,
        conn: &mut SqliteConnection,
        statement: &'static str,
        rows: &[T],
        bind: impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
    ) -> Result<(), Fault> {
        for chunk in rows.chunks(MOST) {
            let full = chunk.len() == MOST;
            if full {
                // By itself, so that however many there are, they share one statement.
                self.run(conn).await?;
            }
            self.add(statement, chunk, &bind)?;
            self.text.push_str(CHECK);
            let rows = i64::try_from(chunk.len()).unwrap_or(i64::MAX);
            Binds(&mut self.arguments).bind(rows)?;
            if full {
                self.run(conn).await?;
            }
        }
        Ok(())
    }

    /// Sets of so many rows follow. Where one of them is large, all get as much room, so that they can go together: of
    /// sets that each have a size of their own there would be very many different texts.
    pub(super) fn level(&mut self, rows: &[usize]) {
        // What goes by itself does not matter.
        let largest = rows.iter().map(|rows| rows % MOST).max().unwrap_or(0);
        self.room = if largest > FEW { largest } else { 0 };
    }

    fn add<T>(
        &mut self,
        statement: &'static str,
        chunk: &[T],
        bind: &impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
    ) -> Result<(), Fault> {
        let before = self.arguments.len();
        let rows = chunk.len().max(self.room);
        let size = SIZES.into_iter().find(|size| rows <= *size);
        let size = size.unwrap_or(MOST);
        for (number, row) in chunk.iter().enumerate() {
            bind(&mut Binds(&mut self.arguments), row)?;
            if number == 0 {
                let width = self.arguments.len() - before;
                self.arguments.reserve((size - 1) * width, 0);
            }
        }
        let width = (self.arguments.len() - before) / chunk.len();
        for _ in 0..(size - chunk.len()) * width {
            Binds(&mut self.arguments).bind(None::<i64>)?;
        }
        let (head, tail) = statement.split_once("{rows}").unwrap_or((statement, ""));
        self.text.push_str(head);
        values(&mut self.text, width, size);
        self.text.push_str(tail);
        self.text.push(';');
        self.most = self.most.max(chunk.len());
        Ok(())
    }

    /// Adds a statement over a set of few rows, which writes nothing.
    pub(super) fn reading<T>(
        &mut self,
        statement: &'static str,
        rows: &[T],
        bind: impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
    ) -> Result<(), Fault> {
        self.add(statement, rows, &bind)
    }

    /// Adds a statement without parameters.
    pub(super) fn statement(&mut self, statement: &'static str) {
        let _ = write!(self.text, "{statement};");
    }

    /// Adds a statement whose parameters are numbered from 1. After it no set can follow: the parameters of sets have no
    /// numbers, and are those in front.
    pub(super) fn numbered(
        &mut self,
        statement: &str,
        bind: impl for<'b, 'a> FnOnce(&'b mut Binds<'a>) -> Bound<'b, 'a>,
    ) -> Result<(), Fault> {
        let before = self.arguments.len();
        let mut parts = statement.split('?');
        self.text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_digit());
            let (number, rest) = part.split_at(end.unwrap_or(part.len()));
            let number: usize = number.parse().map_err(|_| {
                Fault::Corrupt(format!("a parameter without a number in {statement}"))
            })?;
            // The driver takes these as places among all arguments.
            let _ = write!(self.text, "${}{rest}", before + number);
        }
        self.text.push(';');
        bind(&mut Binds(&mut self.arguments))?;
        Ok(())
    }

    /// Executes what was added, if it is too much to go with what follows.
    pub(super) async fn run_if_large(&mut self, conn: &mut SqliteConnection) -> Result<(), Fault> {
        if self.arguments.len() > LARGE {
            self.run(conn).await?;
        }
        Ok(())
    }

    /// Executes what was added, unless every set of it has few rows.
    pub(super) async fn run_unless_few(
        &mut self,
        conn: &mut SqliteConnection,
    ) -> Result<(), Fault> {
        if self.most > FEW {
            self.run(conn).await?;
        }
        Ok(())
    }

    /// Executes what was added.
    pub(super) async fn run(&mut self, conn: &mut SqliteConnection) -> Result<(), Fault> {
        if self.text.is_empty() {
            return Ok(());
        }
        let script = std::mem::take(self);
        self.room = script.room;
        script.fetch(conn).await.map(drop)
    }

    /// Executes what was added, and brings the rows of all its statements; those of one column mean nothing.
    pub(super) async fn fetch(self, conn: &mut SqliteConnection) -> Result<Vec<SqliteRow>, Fault> {
        // Only this crate's own literals are in it, and parameters.
        let query = sqlx::query_with(AssertSqlSafe(self.text), self.arguments);
        conn.fetch_all(query).await.map_err(|error| {
            let told = error.as_database_error();
            if told.is_some_and(|error| error.message() == "malformed JSON") {
                let what = "the database does not have what was read from it, or kept of it";
                return Fault::Corrupt(what.to_owned());
            }
            error.into()
        })
    }
}

/// The rows that a statement over a set brings.
pub(super) async fn fetch<T, O>(
    conn: &mut SqliteConnection,
    statement: &'static str,
    rows: &[T],
    bind: impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
) -> Result<Vec<O>, Fault>
where
    O: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    let mut found = Vec::new();
    for chunk in rows.chunks(MOST) {
        let mut script = Script::default();
        script.add(statement, chunk, &bind)?;
        let query = sqlx::query_as_with(AssertSqlSafe(script.text), script.arguments);
        found.extend(query.fetch_all(&mut *conn).await?);
    }
    Ok(found)
}

/// The rows that a statement brings whose parameters are numbered from 1.
pub(super) async fn fetch_numbered<O>(
    conn: &mut SqliteConnection,
    statement: &str,
    bind: impl for<'b, 'a> FnOnce(&'b mut Binds<'a>) -> Bound<'b, 'a>,
) -> Result<Vec<O>, Fault>
where
    O: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    let mut script = Script::default();
    script.numbered(statement, bind)?;
    let query = sqlx::query_as_with(AssertSqlSafe(script.text), script.arguments);
    Ok(query.fetch_all(conn).await?)
}

/// The rows of several columns that a statement over a set brings, in one call with what `before` has to write where that
/// is little.
pub(super) async fn fetch_after<T, O>(
    conn: &mut SqliteConnection,
    mut before: Script,
    statement: &'static str,
    rows: &[T],
    bind: impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
) -> Result<Vec<O>, Fault>
where
    O: for<'r> FromRow<'r, SqliteRow>,
{
    let mut found = Vec::new();
    before.run_unless_few(conn).await?;
    if rows.len() > FEW {
        before.run(conn).await?;
    }
    for chunk in rows.chunks(MOST) {
        let mut script = std::mem::take(&mut before);
        script.add(statement, chunk, &bind)?;
        for row in script.fetch(conn).await? {
            // One column has what a check of the rows written brings.
            if row.len() > 1 {
                found.push(O::from_row(&row)?);
            }
        }
    }
    Ok(found)
}

/// `(VALUES (?,?),(?,?))`
pub(super) fn values(text: &mut String, width: usize, rows: usize) {
    let row = format!("({})", vec!["?"; width].join(","));
    text.push_str("(VALUES ");
    for number in 0..rows {
        if number > 0 {
            text.push(',');
        }
        text.push_str(&row);
    }
    text.push(')');
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;

    use super::*;

    /// So many of five rows are there to be written, together with COMMIT.
    async fn write_five(there: i64) -> (Result<(), Fault>, i64) {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        conn.execute(
            "CREATE TABLE numbers (number INTEGER PRIMARY KEY, written INTEGER DEFAULT 0)",
        )
        .await
        .unwrap();
        for number in 0..there {
            let insert = sqlx::query("INSERT INTO numbers (number) VALUES (?)");
            insert.bind(number).execute(&mut conn).await.unwrap();
        }
        conn.execute("BEGIN").await.unwrap();
        let mut script = Script::default();
        let update = "
            UPDATE numbers SET written = 1 FROM {rows} j WHERE numbers.number = j.column1";
        let set = script.set(&mut conn, update, &[0, 1, 2, 3, 4], |binds, number| {
            binds.bind(*number)
        });
        set.await.unwrap();
        script.statement("COMMIT");
        let done = script.run(&mut conn).await;
        if done.is_err() {
            conn.execute("ROLLBACK")
                .await
                .expect("nothing is committed");
        }
        let count = sqlx::query_as("SELECT count(*) FROM numbers WHERE written");
        let (written,) = count.fetch_one(&mut conn).await.unwrap();
        (done, written)
    }

    #[tokio::test]
    async fn a_set_of_which_a_row_is_missing_is_not_committed() {
        let (done, written) = write_five(5).await;
        done.unwrap();
        assert_eq!(written, 5);
        let (done, written) = write_five(4).await;
        assert!(matches!(done, Err(Fault::Corrupt(_))), "{done:?}");
        assert_eq!(written, 0);
    }

    #[tokio::test]
    async fn numbered_parameters_stand_behind_those_of_sets() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let mut script = Script::default();
        let rows = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)];
        let sum = "SELECT sum(column1), sum(column2) FROM {rows} j";
        let set = script.reading(sum, &rows, |binds, row| binds.bind(row.0)?.bind(row.1));
        set.unwrap();
        let numbered = script.numbered("SELECT ?2, ?1, ?2", |binds| binds.bind(11)?.bind(12));
        numbered.unwrap();
        let found = script.fetch(&mut conn).await.unwrap();
        let sums = <(i64, i64)>::from_row(&found[0]).unwrap();
        assert_eq!(sums, (25, 30));
        let numbers = <(i64, i64, i64)>::from_row(&found[1]).unwrap();
        assert_eq!(numbers, (12, 11, 12));
    }

    /// The rows that the sets of a text have room for.
    fn rooms(text: &str) -> Vec<usize> {
        let sets = text.split("(VALUES ").skip(1);
        sets.map(|set| set.split("))").next().unwrap_or("").matches("(?").count())
            .collect()
    }

    #[tokio::test]
    async fn sets_that_go_together_have_the_same_room() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        conn.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
            .await
            .unwrap();
        for (sizes, expected) in [
            (vec![100, 3], vec![128, 128]),
            (vec![3, 1], vec![4, 1]),
            // What fills a statement has gone by itself.
            (vec![600, 20], vec![128, 128]),
            (vec![20, 600], vec![128]),
            (vec![512, 2], vec![4]),
        ] {
            let mut script = Script::default();
            script.level(&sizes);
            let mut number = 0;
            for size in &sizes {
                let rows: Vec<i64> = (number..).take(*size).collect();
                number += i64::try_from(*size).unwrap();
                let insert = "
                    INSERT INTO numbers SELECT column1 FROM {rows} j WHERE j.column1 IS NOT NULL";
                script
                    .set(&mut conn, insert, &rows, |binds, row| binds.bind(*row))
                    .await
                    .unwrap();
            }
            assert_eq!(rooms(&script.text), expected, "{sizes:?}");
            script.run(&mut conn).await.unwrap();
            let (written,): (i64,) = sqlx::query_as("SELECT count(*) FROM numbers")
                .fetch_one(&mut conn)
                .await
                .unwrap();
            assert_eq!(written, number);
            conn.execute("DELETE FROM numbers").await.unwrap();
        }
    }
}
