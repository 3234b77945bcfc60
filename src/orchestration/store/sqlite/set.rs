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

/// Rows of a set that is executed together with any others.
const FEW: usize = 4;

/// Parameters of a script of such sets.
const SMALL: usize = 64;

/// Brings how much the statement before it has written.
const COUNT: &str = "SELECT changes();";

/// Statements that go to the connection's thread together, with their arguments in order of appearance.
#[derive(Default)]
pub(super) struct Script {
    text: String,
    arguments: SqliteArguments,
    /// Rows of the sets: each is to write one row.
    rows: usize,
    /// Has statements that write nothing, or nobody knows how much.
    uncounted: bool,
    /// Whether each set is followed by a row that says how much it has written.
    counts: bool,
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
    /// One that counts what it writes where its rows are fetched.
    pub(super) fn counting() -> Self {
        Self {
            counts: true,
            ..Self::default()
        }
    }

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
        if self.counts {
            self.text.push_str(COUNT);
        }
        self.rows += chunk.len();
        Ok(())
    }

    /// Adds a statement over a set of few rows, which writes nothing.
    pub(super) fn reading<T>(
        &mut self,
        statement: &'static str,
        rows: &[T],
        bind: impl for<'b, 'a> Fn(&'b mut Binds<'a>, &T) -> Bound<'b, 'a>,
    ) -> Result<(), Fault> {
        self.uncounted = true;
        self.add(statement, rows, &bind)
    }

    /// Adds a statement without parameters.
    pub(super) fn statement(&mut self, statement: &'static str) {
        let _ = write!(self.text, "{statement};");
        self.uncounted = true;
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

    /// Whether the sets in it are so small that there are few different texts of them with others behind.
    pub(super) fn is_small(&self) -> bool {
        self.arguments.len() <= SMALL
    }

    /// Executes what was added, and brings the rows of all its statements.
    pub(super) async fn fetch(self, conn: &mut SqliteConnection) -> Result<Vec<SqliteRow>, Fault> {
        // Only this crate's own literals are in it, and parameters.
        let query = sqlx::query_with(AssertSqlSafe(self.text), self.arguments);
        Ok(conn.fetch_all(query).await?)
    }

    /// Executes what was added, unless its sets are small.
    pub(super) async fn run_unless_small(
        &mut self,
        conn: &mut SqliteConnection,
    ) -> Result<(), Fault> {
        if !self.is_small() {
            self.run(conn).await?;
        }
        Ok(())
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
        let mut script = std::mem::take(self);
        if script.counts {
            // A row that says how much was written would count as that much again.
            script.text = script.text.replace(COUNT, "");
        }
        // Only this crate's own literals are in it, and parameters.
        let query = sqlx::query_with(AssertSqlSafe(script.text), script.arguments);
        let written = query.execute(conn).await?.rows_affected();
        if script.uncounted {
            return Ok(());
        }
        check_written(written, script.rows)
    }
}

fn check_written(written: u64, rows: usize) -> Result<(), Fault> {
    if written == rows as u64 {
        return Ok(());
    }
    Err(Fault::Corrupt(format!(
        "{written} rows were written for {rows}"
    )))
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

/// The rows that two statements over one set bring, the second after the first, in one call with what `before` has
/// to write (it counts), if both are small. Those of the first have so many columns; those of the second have another number of
/// them, and more than one.
pub(super) async fn fetch_both<T, O, P>(
    conn: &mut SqliteConnection,
    mut before: Script,
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
    if rows.len() > FEW {
        before.run(conn).await?;
    }
    for chunk in rows.chunks(MOST) {
        let mut script = std::mem::take(&mut before);
        let to_write = script.rows;
        script.counts = false;
        script.add(statements[0], chunk, &first)?;
        script.add(statements[1], chunk, &second)?;
        let mut written: u64 = 0;
        for row in script.fetch(conn).await? {
            match row.len() {
                1 => written += row.try_get::<i64, _>(0)?.unsigned_abs(),
                many if many == columns => found.0.push(O::from_row(&row)?),
                _ => found.1.push(P::from_row(&row)?),
            }
        }
        check_written(written, to_write)?;
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
