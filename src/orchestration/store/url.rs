//! Showing database URLs.

/// A database URL as it may be shown: without what stands between `://USER:` and `@`, and without the value of
/// every parameter that is a password.
///
/// ```
/// use postroom::orchestration::store::without_password;
///
/// let shown = without_password("postgres://me:secret@db.example/work");
/// assert_eq!(shown, "postgres://me:***@db.example/work");
/// ```
pub fn without_password(url: &str) -> String {
    let (place, parameters) = match url.split_once('?') {
        Some((place, parameters)) => (place, Some(parameters)),
        None => (url, None),
    };
    let mut shown = match place.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split_once(':').map_or(user, |(user, _)| user);
                format!("{scheme}://{user}:***@{host}")
            }
            None => place.to_owned(),
        },
        None => place.to_owned(),
    };
    for (number, parameter) in parameters
        .into_iter()
        .flat_map(|p| p.split('&'))
        .enumerate()
    {
        shown.push(if number == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((key, _)) if key.contains("pass") => {
                shown.push_str(key);
                shown.push_str("=***");
            }
            _ => shown.push_str(parameter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn o15_no_password_is_shown_wherever_it_stands() {
        for url in [
            "postgres://me:secret@host/db",
            "postgres://me:se@cret@host/db?password=secret&sslmode=require",
            "postgres:///db?user=me&password=secret",
        ] {
            let shown = without_password(url);
            assert!(
                !shown.contains("secret") && !shown.contains("se@"),
                "{shown}"
            );
            assert!(shown.contains("me"), "{shown}");
        }
        let plain = "postgres://host:5432/db?sslmode=require";
        assert_eq!(without_password(plain), plain);
    }
}
