//! Where a database is: what people write, and what is refused.

use std::path::{Path, PathBuf};

use crate::orchestration::store::{StoreError, without_password};

/// Reads `sqlite:PATH`, `sqlite://PATH`, or a plain path. The path is taken as it stands.
pub(super) fn parse(url: &str) -> Result<PathBuf, StoreError> {
    let refuse = |problem: &str| {
        Err(StoreError::BadUrl {
            url: without_password(url),
            problem: problem.to_owned(),
        })
    };
    let path = match url.strip_prefix("sqlite:") {
        Some(rest) => {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            match rest.split_once('?') {
                // What is done in any case may be asked for.
                Some((path, "mode=rwc")) => path,
                Some(_) => return refuse("no parameters are known but `mode=rwc`"),
                None => rest,
            }
        }
        None if url.contains("://") => {
            return refuse("expected `sqlite:PATH`, `sqlite://PATH` or a path");
        }
        None => url,
    };
    if path.is_empty() {
        return refuse("it names no file");
    }
    if path == ":memory:" || path.starts_with("file:") {
        return refuse("expected a file; for a store in memory use `MemoryStore`");
    }
    // `./` keeps SQLite from seeing anything but a file in a relative name.
    let path = Path::new(path);
    Ok(if path.is_relative() {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_name_a_file() {
        let path = |url| parse(url).unwrap();
        for url in [
            "a b.db",
            "sqlite:a b.db",
            "sqlite://a b.db",
            "sqlite:a b.db?mode=rwc",
        ] {
            assert_eq!(path(url), Path::new("./a b.db"), "{url}");
        }
        assert_eq!(path("sqlite:///tmp/a.db"), Path::new("/tmp/a.db"));
        assert_eq!(path("/tmp/what?.db"), Path::new("/tmp/what?.db"));
    }

    #[test]
    fn what_is_refused_is_told_without_passwords() {
        for (url, word) in [
            ("", "no file"),
            ("sqlite:", "no file"),
            ("sqlite::memory:", "MemoryStore"),
            (":memory:", "MemoryStore"),
            ("sqlite:a.db?cache=shared", "mode=rwc"),
            ("postgres://me:secret@host/db", "sqlite:PATH"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
