//! What an unquoted YAML scalar means: the core schema of YAML 1.2.2, section 10.3.2.
//!
//! Two readings are left out because they surprise: `no`, `yes`, `on` and `off` are texts, as YAML 1.2 has
//! it, and a whole number with leading zeros is a text, since it is somebody's identifier or file mode.

use serde_json::Number;

use super::document::Node;

/// The meaning of an unquoted scalar, or why it has none.
pub(super) fn resolve(text: &str) -> Result<Node, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Node::Null),
        "true" | "True" | "TRUE" => return Ok(Node::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Node::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is not a number that JSON can hold"));
    }
    if let Some(number) = prefixed(text) {
        return number.map(|number| Node::Number(number.into()));
    }
    if !is_decimal(unsigned) {
        return Ok(Node::Text(text.into()));
    }
    let whole = text
        .parse::<u64>()
        .map(Number::from)
        .or_else(|_| text.parse::<i64>().map(Number::from));
    if let Ok(whole) = whole {
        return Ok(Node::Number(whole));
    }
    text.parse()
        .ok()
        .and_then(Number::from_f64)
        .map(Node::Number)
        .ok_or_else(|| "the number is out of range".to_owned())
}

/// Hexadecimal and octal whole numbers.
fn prefixed(text: &str) -> Option<Result<u64, String>> {
    let (digits, radix) = match text.get(..2)? {
        "0x" => (&text[2..], 16),
        "0o" => (&text[2..], 8),
        _ => return None,
    };
    let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    is_number.then(|| {
        u64::from_str_radix(digits, radix).map_err(|_| "the number is out of range".to_owned())
    })
}

/// Whether this is a number without its sign: digits, a fraction, an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let has_digits = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    let is_whole = fraction.is_none() && exponent.is_none();
    let exponent_is_sound = exponent.is_none_or(|exponent| {
        let power = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !power.is_empty() && digits(power)
    });
    has_digits
        && digits(whole)
        && fraction.is_none_or(digits)
        && exponent_is_sound
        && !(is_whole && whole.len() > 1 && whole.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn value(text: &str) -> Value {
        resolve(text).unwrap().to_value()
    }

    #[test]
    fn scalars_mean_what_the_core_schema_says() {
        for (text, expected) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("True", json!(true)),
            ("no", json!("no")),
            ("on", json!("on")),
            ("0", json!(0)),
            ("-12", json!(-12)),
            ("+12", json!(12)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("0644", json!("0644")),
            ("1_000", json!("1_000")),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-1.5e-3", json!(-0.0015)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
            (".", json!(".")),
            ("-", json!("-")),
            ("e5", json!("e5")),
            ("1e", json!("1e")),
            ("0x", json!("0x")),
            ("0xg", json!("0xg")),
            ("1.0.0", json!("1.0.0")),
            ("2020-01-01", json!("2020-01-01")),
            ("é", json!("é")),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
        for text in [".inf", "-.Inf", ".NaN", "1e999", "0xffffffffffffffffff"] {
            assert!(resolve(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_back_exactly(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            prop_assert_eq!(value(&json!(number).to_string()), json!(number));
        }

        #[test]
        fn whole_numbers_are_read_back_exactly(number in any::<i64>()) {
            prop_assert_eq!(value(&number.to_string()), json!(number));
        }
    }
}
