//! Where a database is: what people write, and what is refused.

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::options::PostgresOptions;
use crate::orchestration::store::{StoreError, without_password};

/// What may be said in a URL beside user, password, host, port and database.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS`. What is not said is taken from the
/// environment, as `psql` does it. `poll_only` and `connections` are ours and change the options.
pub(super) fn parse(
    url: &str,
    options: &mut PostgresOptions,
) -> Result<PgConnectOptions, StoreError> {
    let refuse = |problem: String| StoreError::BadUrl {
        url: without_password(url),
        problem,
    };
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        return Err(refuse(
            "expected `postgres://USER@HOST/DATABASE`".to_owned(),
        ));
    }
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let mut kept = Vec::new();
    for parameter in parameters.split('&').filter(|part| !part.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if key == "poll_only" {
            options.poll_only = match value {
                "true" => true,
                "false" => false,
                _ => return Err(refuse("poll_only is true or false".to_owned())),
            };
        } else if key == "connections" {
            options.connections = match value.parse() {
                Ok(connections) if connections > 0 => connections,
                _ => return Err(refuse("connections is a number, at least 1".to_owned())),
            };
        } else if PARAMETERS.contains(&key) {
            if is_missing(key, value) {
                return Err(refuse(format!("{key}: there is no file {value:?}")));
            }
            kept.push(parameter);
        } else {
            return Err(refuse(format!(
                "the parameter {key:?} is not known; known are poll_only, connections, {}",
                PARAMETERS.join(", ")
            )));
        }
    }
    let parsed = format!("{place}?{}", kept.join("&"));
    let parsed: PgConnectOptions = parsed.parse().map_err(|error: sqlx::Error| {
        // The source says it without the words around it.
        let said = std::error::Error::source(&error).map(ToString::to_string);
        refuse(said.unwrap_or_else(|| error.to_string()))
    })?;
    let is_socket = parsed.get_socket().is_some() || parsed.get_host().starts_with('/');
    if is_socket {
        // Never encrypted, whatever the environment says of servers elsewhere.
        return Ok(parsed.ssl_mode(PgSslMode::Disable));
    }
    let says = |key: &str| kept.iter().any(|part| part.split('=').next() == Some(key));
    if let Ok(mode) = std::env::var("PGSSLMODE")
        && !says("sslmode")
        && mode.parse::<PgSslMode>().is_err()
    {
        // Not to be taken for the default.
        return Err(refuse(format!(
            "PGSSLMODE is {mode:?}, which is no sslmode"
        )));
    }
    let names_root = says("sslrootcert")
        || std::env::var_os("PGSSLROOTCERT").is_some_and(|file| !file.is_empty());
    Ok(match parsed.get_ssl_mode() {
        // A certificate that is named is looked at.
        PgSslMode::Require if names_root => parsed.ssl_mode(PgSslMode::VerifyCa),
        _ => parsed,
    })
}

/// Whether a file is named that is not there; the error of a connection would not say which. What is escaped is left
/// to that.
fn is_missing(key: &str, value: &str) -> bool {
    matches!(key, "sslrootcert" | "sslcert" | "sslkey")
        && !value.contains(['%', '+'])
        && !std::path::Path::new(value).exists()
}

/// As it is shown to people: without the password.
pub(super) fn name(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    let place = match options.get_socket() {
        Some(socket) => format!("{}:{}", socket.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("postgres://{user}@{place}/{database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o15_what_is_shown_has_no_password() {
        let mut options = PostgresOptions::default();
        let url = "postgres://me:secret@db.example:6432/work?poll_only=true&connections=2";
        let parsed = parse(url, &mut options).unwrap();
        assert!(options.poll_only);
        assert_eq!(options.connections, 2);
        assert_eq!(name(&parsed), "postgres://me@db.example:6432/work");
    }

    #[test]
    fn what_is_encrypted_and_checked() {
        let root = concat!("sslrootcert=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let mode = |url: &str| {
            let parsed = parse(url, &mut PostgresOptions::default()).unwrap();
            parsed.get_ssl_mode()
        };
        let require = "postgres://me@host/db?sslmode=require";
        assert!(matches!(
            mode(&format!("{require}&{root}")),
            PgSslMode::VerifyCa
        ));
        let full = format!("postgres://me@host/db?sslmode=verify-full&{root}");
        assert!(matches!(mode(&full), PgSslMode::VerifyFull));
        let socket = "postgres://me@localhost/db?host=/run&sslmode=require";
        assert!(matches!(mode(socket), PgSslMode::Disable));
    }

    #[test]
    fn o15_what_is_refused_is_told_without_passwords() {
        for (url, word) in [
            ("sqlite:a.db", "expected"),
            ("postgres://me:secret@host/db?sslmod=require", "sslmod"),
            (
                "postgres://me:secret@host/db?poll_only=maybe",
                "true or false",
            ),
            ("postgres://me:secret@host/db?connections=0", "at least 1"),
            ("postgres://me:secret@host:port/db", "port"),
            ("postgres://me:secret@host/db?sslmode=perhaps", "perhaps"),
            (
                "postgres://me:secret@host/db?sslrootcert=/nowhere/root.crt",
                "/nowhere/root.crt",
            ),
        ] {
            let error = parse(url, &mut PostgresOptions::default()).unwrap_err();
            assert!(matches!(error, StoreError::BadUrl { .. }), "{error:?}");
            let said = format!("{error} {error:?}");
            assert!(said.contains(word), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
