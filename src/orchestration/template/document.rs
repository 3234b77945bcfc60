//! A YAML or JSON document as a tree whose nodes know their place.

use std::rc::Rc;

use serde::de::IgnoredAny;
use serde_json::{Number, Value};

use super::MAX_DOCUMENT_BYTES;
use super::compose::{MAX_DEPTH, compose};
use super::errors::{Place, Problem, TemplateError};

/// A node and its place, which is unknown if the text was read without places.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Option<Place>,
}

/// An entry of a map.
pub(super) type Entry = (Located<Rc<str>>, Located<Node>);

/// A node of a document. Keys are unique. What an alias refers to is shared and not copied, so that a tree is
/// never larger than its document.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(Rc<str>),
    List(Rc<Vec<Located<Node>>>),
    Map(Rc<Vec<Entry>>),
}

impl Node {
    /// What it is called in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.as_ref().to_owned()),
            Self::List(items) => items.iter().map(|item| item.value.to_value()).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.value.as_ref().to_owned(), node.value.to_value()))
                .collect(),
        }
    }
}

pub(super) fn from_yaml(text: &str) -> Result<Located<Node>, TemplateError> {
    compose(sized(text)?)
}

/// JSON is read as YAML, which gives places. The few texts that are JSON and not YAML (a colon on the line
/// after its key, say) are read without places.
pub(super) fn from_json(text: &str) -> Result<Located<Node>, TemplateError> {
    let text = sized(text)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| syntax_of_json(&error))?;
    compose(text).or_else(|error| {
        // A problem of the content is one in either language; one of the syntax cannot be, so far on.
        match serde_json::from_str::<unique::Keys>(text) {
            Ok(unique::Keys(value)) if !matches!(error.problem, Problem::TooLarge) => {
                Ok(without_places(&value))
            }
            _ => Err(error),
        }
    })
}

/// A value in memory, which has no places.
pub(super) fn without_places(value: &Value) -> Located<Node> {
    let value = match value {
        Value::Null => Node::Null,
        Value::Bool(flag) => Node::Bool(*flag),
        Value::Number(number) => Node::Number(number.clone()),
        Value::String(text) => Node::Text(text.as_str().into()),
        Value::Array(items) => Node::List(Rc::new(items.iter().map(without_places).collect())),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| {
                let key = Located {
                    value: key.as_str().into(),
                    place: None,
                };
                (key, without_places(value))
            };
            Node::Map(Rc::new(entries.iter().map(entry).collect()))
        }
    };
    Located { value, place: None }
}

/// The text, if it is not too large, without the byte order mark that some editors put before it.
fn sized(text: &str) -> Result<&str, TemplateError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(TemplateError::new(Problem::TooLarge, None));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn syntax_of_json(error: &serde_json::Error) -> TemplateError {
    let place = Place {
        line: error.line() as u64,
        column: error.column() as u64,
    };
    let message = error.to_string();
    // The place is said once, by the error that this becomes.
    let message = match message.rfind(" at line ") {
        Some(end) => &message[..end],
        None => &message,
    };
    TemplateError::new(Problem::Syntax(message.to_owned()), Some(place))
}

/// Whether more lists and maps than this lie within one another.
pub(super) fn too_deep(value: &Value, limit: usize) -> bool {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        let is_collection = value.is_array() || value.is_object();
        if is_collection && depth > limit {
            return true;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(map) => open.extend(map.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    false
}

/// JSON whose objects have each key once and that is not deeper than any document may be.
pub(super) mod unique {
    use std::fmt;

    use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
    use serde_json::{Map, Value};

    use super::{MAX_DEPTH, too_deep};

    pub(in super::super) struct Keys(pub(in super::super) Value);

    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let Checked(value) = Checked::deserialize(deserializer)?;
            if too_deep(&value, MAX_DEPTH) {
                return Err(de::Error::custom("too deep"));
            }
            Ok(Self(value))
        }
    }

    struct Checked(Value);

    impl<'de> Deserialize<'de> for Checked {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(CheckedVisitor).map(Self)
        }
    }

    struct CheckedVisitor;

    impl<'de> Visitor<'de> for CheckedVisitor {
        type Value = Value;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }

        fn visit_unit<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }

        fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
            Ok(flag.into())
        }

        fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
            Ok(number.into())
        }

        fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
            Ok(number.into())
        }

        fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
            Ok(number.into())
        }

        fn visit_str<E>(self, text: &str) -> Result<Value, E> {
            Ok(text.into())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
            let mut list = Vec::new();
            while let Some(Checked(item)) = items.next_element()? {
                list.push(item);
            }
            Ok(Value::Array(list))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
            let mut map = Map::new();
            while let Some((key, Checked(value))) = entries.next_entry::<String, _>()? {
                if map.insert(key, value).is_some() {
                    return Err(de::Error::custom("a key stands twice"));
                }
            }
            Ok(Value::Object(map))
        }
    }
}
