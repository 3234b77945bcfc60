//! Making connections, and what each of them is set to.

use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Postgres, Transaction};

use super::fault::{Fault, Remedy};
use super::head::Head;
use super::location;
use super::lowest::Lowest;
use super::options::PostgresOptions;
use crate::orchestration::store::StoreError;

/// Which database, and how it is used.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) options: PostgresOptions,
    connect: PgConnectOptions,
    name: String,
    pub(super) pool: PgPool,
    pub(super) lowest: Lowest,
    pub(super) head: Head,
    /// Begins a transaction of the writer's and reads the time, in one call.
    pub(super) begin: String,
}

/// The server's clock, in milliseconds.
macro_rules! clock {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}
pub(super) use clock;

pub(super) const CLOCK: &str = clock!();

/// A commit is on the disk before it is answered, whatever the database or the role is set to; what is stricter than that
/// stays. For the session, or for the transaction alone.
macro_rules! durable {
    ($local:literal) => {
        concat!(
            "set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, ",
            $local,
            ")"
        )
    };
}

/// Begins a transaction of the writer's.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

impl Place {
    pub(super) fn new(url: &str, mut options: PostgresOptions) -> Result<Self, StoreError> {
        let connect = location::parse(url, &mut options)?;
        let name = location::name(&connect);
        let settings = settings(&options);
        let connect = connect.disable_statement_logging();
        let connect = if connect.get_application_name().is_none() {
            connect.application_name("postroom")
        } else {
            connect
        };
        let (connect, set) = if options.poll_only {
            // A pooler knows few parameters, and hands a session on after every transaction.
            let connect = connect.extra_float_digits(None).statement_cache_capacity(0);
            let set = settings.iter().fold(String::new(), |set, (key, value)| {
                set + "set_config('" + key + "', '" + value + "', true), "
            });
            let durable = durable!("true");
            (connect, format!("{set}{durable}, "))
        } else {
            (connect.options(settings), String::new())
        };
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(options.patience)
            // A connection that was lost shows when it is used, and is then made anew.
            .test_before_acquire(false);
        let pool = if options.poll_only {
            pool
        } else {
            pool.after_connect(|conn, _| {
                Box::pin(async move {
                    sqlx::raw_sql(concat!("SELECT ", durable!("false")))
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
        };
        let pool = pool.connect_lazy_with(connect.clone());
        // The settings first, the time last: it is taken when the settings hold.
        let begin = format!("{BEGIN}; SELECT {set}{CLOCK} AS now");
        Ok(Self {
            head: Head::new(options.long_claim),
            options,
            connect,
            name,
            pool,
            lowest: Lowest::default(),
            begin,
        })
    }

    /// As it is shown to people.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Whether statements are prepared once and kept by name.
    pub(super) fn named(&self) -> bool {
        !self.options.poll_only
    }

    /// A connection apart from the pool.
    pub(super) async fn connection(&self) -> Result<PgConnection, sqlx::Error> {
        self.connect.connect().await
    }

    /// A pool of one for the listener.
    pub(super) fn listening(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.options.patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.connect.clone())
    }

    /// Begins a transaction; returns the time by the database's clock.
    pub(super) async fn begin(&self, conn: &mut PgConnection) -> Result<i64, sqlx::Error> {
        use sqlx::{Executor, Row};
        let begin = sqlx::raw_sql(AssertSqlSafe(self.begin.as_str()));
        let row = conn.fetch_one(begin).await?;
        row.try_get("now")
    }

    /// A connection to read with. Behind a pooler reading is a transaction too.
    pub(super) async fn reading(&self) -> Result<Reading, Fault> {
        if self.options.poll_only {
            let mut tx = self.pool.begin().await?;
            let timeout = self.options.statement_timeout.as_millis();
            sqlx::query("SELECT set_config('statement_timeout', $1, true)")
                .persistent(false)
                .bind(timeout.to_string())
                .execute(&mut *tx)
                .await?;
            Ok(Reading::Transaction(tx))
        } else {
            Ok(Reading::Connection(self.pool.acquire().await?))
        }
    }

    /// Whether what failed, and was begun at `since`, is to be tried again: returns when it is.
    pub(super) async fn again(
        &self,
        fault: Fault,
        intent: &'static str,
        since: Instant,
    ) -> Result<(), StoreError> {
        if fault.remedy() == Remedy::None || since.elapsed() >= self.options.patience {
            return Err(fault.while_doing(intent, &self.name, millis(since)));
        }
        pause().await;
        Ok(())
    }

    pub(super) fn cannot_open(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Open {
            database: self.name(),
            source: source.into(),
        }
    }
}

/// Short and random, so that those who were in each other's way are so no longer.
pub(super) async fn pause() {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(1_000..30_000))).await;
}

/// Milliseconds since then.
pub(super) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What holds in every transaction. The server gives up a statement, and a transaction whose process is
/// stopped; and plans are made for tables that grow, whatever the planner has seen of them so far.
fn settings(options: &PostgresOptions) -> Vec<(&'static str, String)> {
    let timeout = options.statement_timeout.as_millis().to_string();
    let mut settings = vec![
        ("statement_timeout", timeout.clone()),
        ("idle_in_transaction_session_timeout", timeout),
        // What is not in a transaction has them from here, whatever the database or the role is set to.
        ("default_transaction_isolation", "read committed".to_owned()),
        ("default_transaction_read_only", "off".to_owned()),
        // Planning a statement takes longer than carrying it out: once is enough.
        ("plan_cache_mode", "force_generic_plan".to_owned()),
    ];
    for planner in [
        "enable_seqscan",
        "enable_hashjoin",
        "enable_mergejoin",
        "enable_bitmapscan",
        "jit",
    ] {
        settings.push((planner, "off".to_owned()));
    }
    settings
}

/// A connection that is read with.
pub(super) enum Reading {
    Connection(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Reading {
    pub(super) fn conn(&mut self) -> &mut PgConnection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }

    /// Whether statements are prepared once and kept by name.
    pub(super) fn named(&self) -> bool {
        matches!(self, Self::Connection(_))
    }

    pub(super) async fn end(self) -> Result<(), Fault> {
        if let Self::Transaction(transaction) = self {
            transaction.commit().await?;
        }
        Ok(())
    }

    /// After a failure: the connection may be lost, and is not used again.
    pub(super) fn abandon(self) {
        if let Self::Connection(mut connection) = self {
            connection.close_on_drop();
        }
    }
}
