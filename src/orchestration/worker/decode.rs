//! From JSON to what a handler wants to have, kindly where nothing was given.

use std::any::TypeId;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Decodes JSON text.
///
/// `()` takes no interest in the value and accepts any. `null` (nothing was given) also stands for an empty
/// object where the type wants one, so that a struct whose fields are all optional needs no input.
pub(super) fn decode<T: DeserializeOwned + 'static>(text: &str) -> Result<T, serde_json::Error> {
    if TypeId::of::<T>() == TypeId::of::<()>() {
        return serde_json::from_str("null");
    }
    match serde_json::from_str(text) {
        Err(error) if text.trim() == "null" => {
            serde_json::from_str("{}").map_err(|other| better(error, other))
        }
        decoded => decoded,
    }
}

/// Decodes a JSON value, by the rules of [`decode`].
pub(super) fn decode_value<T: DeserializeOwned + 'static>(
    value: &Value,
) -> Result<T, serde_json::Error> {
    if TypeId::of::<T>() == TypeId::of::<()>() {
        return serde_json::from_str("null");
    }
    match T::deserialize(value) {
        Err(error) if value.is_null() => {
            serde_json::from_str("{}").map_err(|other| better(error, other))
        }
        decoded => decoded,
    }
}

/// Which error helps more when neither `null` nor `{}` fits: the one that names a missing field, if any.
fn better(of_null: serde_json::Error, of_empty: serde_json::Error) -> serde_json::Error {
    if of_empty.to_string().starts_with("missing field") {
        of_empty
    } else {
        of_null
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Eq)]
    struct Order {
        id: u32,
    }

    #[derive(Debug, Deserialize, PartialEq, Eq)]
    struct Options {
        note: Option<String>,
    }

    #[test]
    fn unit_accepts_anything_and_null_is_an_empty_object() {
        decode::<()>(r#"{"id":7}"#).unwrap();
        decode_value::<()>(&json!([1])).unwrap();
        assert_eq!(decode::<Options>("null").unwrap(), Options { note: None });
        assert_eq!(
            decode_value::<Options>(&Value::Null).unwrap(),
            Options { note: None }
        );
        assert_eq!(decode::<Option<u32>>("null").unwrap(), None);
        assert_eq!(decode::<Order>(r#"{"id":7}"#).unwrap(), Order { id: 7 });
    }

    #[test]
    fn the_error_says_what_is_missing() {
        let missing = decode::<Order>("null").unwrap_err().to_string();
        assert!(missing.starts_with("missing field `id`"), "{missing}");
        let wrong = decode::<u32>("null").unwrap_err().to_string();
        assert!(wrong.contains("null, expected u32"), "{wrong}");
        let inside = decode::<Order>(r#"{"id":"x"}"#).unwrap_err().to_string();
        assert!(inside.contains("column 9"), "{inside}");
    }
}
