//! Opening the database.

use std::path::Path;
use std::sync::Arc;

use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use postroom::orchestration::store::{Store, StoreError, without_password};

use crate::args::DatabaseArgs;
use crate::exit::Failure;

/// Opens it, and creates it if there is none.
pub(crate) async fn open(args: &DatabaseArgs) -> Result<Arc<dyn Store>, Failure> {
    if is_postgres(&args.url) {
        return postgres(args, PostgresOptions::default()).await;
    }
    if args.url.contains("://") && !args.url.starts_with("sqlite:") {
        let url = without_password(&args.url);
        let problem = format!("no such kind of database: {url}");
        return Err(Failure::usage(problem)
            .advise("Expected a file, sqlite:FILE, or postgres://USER@HOST/NAME."));
    }
    Ok(Arc::new(
        SqliteStore::open(&args.url, SqliteOptions::default()).await?,
    ))
}

/// Opens it to look into; looking creates nothing.
pub(crate) async fn open_existing(args: &DatabaseArgs) -> Result<Arc<dyn Store>, Failure> {
    if is_postgres(&args.url) {
        return postgres(args, PostgresOptions::default().create(false)).await;
    }
    let path = match args.url.strip_prefix("sqlite:") {
        Some(rest) => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            path.split_once('?').map_or(path, |(path, _)| path)
        }
        // It is refused there.
        None if args.url.contains("://") => return open(args).await,
        None => &args.url,
    };
    // Anything stranger than a missing file is left to the store, which says what is wrong.
    if matches!(Path::new(path).try_exists(), Ok(false)) {
        let problem = NoDatabase(path.to_owned());
        return Err(Failure::trouble(&problem)
            .advise("`postroom run FILE` creates one; --database names another."));
    }
    open(args).await
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

async fn postgres(
    args: &DatabaseArgs,
    options: PostgresOptions,
) -> Result<Arc<dyn Store>, Failure> {
    Ok(Arc::new(PostgresStore::open(&args.url, options).await?))
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        let failure = Self::trouble(error);
        match error {
            StoreError::BadUrl { .. } => Self::usage(error),
            StoreError::Busy { .. } => {
                failure.advise("Try again when the other process has finished.")
            }
            StoreError::Unavailable { .. } => failure.advise(
                "Whether it was carried out is not known; the same command goes on from there.",
            ),
            _ => failure,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no database {0}")]
struct NoDatabase(String);
