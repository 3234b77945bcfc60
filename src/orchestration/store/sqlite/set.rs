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
const SIZES: [usize; 6] = [1, 4, 16, 64, 128, MOST];

/// Larger sets take several statements.
const MOST: usize = 256;

/// Parameters of a script that is not executed with the next one: those of a few small tasks are fewer.
const LARGE: usize = 256;

/// Statements that go to the connection's thread together, with their arguments in order of appearance.
#[derive(Default)]
pub(super) struct Script {
    text: String,
    arguments: SqliteArguments,
    /// Rows of the sets: each is to write one row.
    rows: usize,
    /// Has statements that write nothing, or nobody knows how much.
    uncounted: bool,
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
            if full {
                self.run(conn).await?;
            }
        }
        Ok(())
    }

    fn add<T>(
        &mut self,
        statement: &'static str,
        chunk: &[T],
        bind: &impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
    ) -> Result<(), Fault> {
        let before = self.arguments.len();
        let size = SIZES.into_iter().find(|size| chunk.len() <= *size);
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
        self.rows += chunk.len();
        Ok(())
    }

    /// Adds a statement without parameters.
    pub(super) fn statement(&mut self, statement: &'static str) {
        let _ = write!(self.text, "{statement};");
        self.uncounted = true;
    }

    /// Executes what was added, if it is much: together with what follows it would be one of very many texts, each of
    /// which is prepared anew.
    pub(super) async fn run_if_large(&mut self, conn: &mut SqliteConnection) -> Result<(), Fault> {
        if self.arguments.len() > LARGE {
            self.run(conn).await?;
        }
        Ok(())
    }

    /// Executes what was added. Every row of every set is to write one row.
    pub(super) async fn run(&mut self, conn: &mut SqliteConnection) -> Result<(), Fault> {
        if self.text.is_empty() {
            return Ok(());
        }
        let script = std::mem::take(self);
        // Only this crate's own literals are in it, and parameters.
        let query = sqlx::query_with(AssertSqlSafe(script.text), script.arguments);
        let written = query.execute(conn).await?.rows_affected();
        if !script.uncounted && written != script.rows as u64 {
            return Err(Fault::Corrupt(format!(
                "{written} rows were written for {}",
                script.rows
            )));
        }
        Ok(())
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

/// The rows that two statements over one set bring, the second after the first, in one call. Those of the first
/// have so many columns; those of the second have another number of them.
pub(super) async fn fetch_both<T, O, P>(
    conn: &mut SqliteConnection,
    statements: [&'static str; 2],
    columns: usize,
    rows: &[T],
    first: impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
    second: impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
) -> Result<(Vec<O>, Vec<P>), Fault>
where
    O: for<'r> FromRow<'r, SqliteRow>,
    P: for<'r> FromRow<'r, SqliteRow>,
{
    let mut found = (Vec::new(), Vec::new());
    for chunk in rows.chunks(MOST) {
        let mut script = Script::default();
        script.add(statements[0], chunk, &first)?;
        script.add(statements[1], chunk, &second)?;
        let query = sqlx::query_with(AssertSqlSafe(script.text), script.arguments);
        for row in conn.fetch_all(query).await? {
            if row.len() == columns {
                found.0.push(O::from_row(&row)?);
            } else {
                found.1.push(P::from_row(&row)?);
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
