//! A YAML or JSON document as a tree whose nodes know their place.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{Location, Spanned};

use super::MAX_DOCUMENT_BYTES;
use super::errors::{Place, Problem, TemplateError};

/// A node and its place, which is unknown if the text was read without places.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Option<Place>,
}

/// A node of a document. Keys are unique.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Located<Node>>),
    Map(Vec<(Located<String>, Located<Node>)>),
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
            Self::Text(text) => Value::String(text.clone()),
            Self::List(items) => items.iter().map(|item| item.value.to_value()).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.value.clone(), node.value.to_value()))
                .collect(),
        }
    }
}

pub(super) fn from_yaml(text: &str) -> Result<Located<Node>, TemplateError> {
    check_size(text)?;
    serde_saphyr::from_str::<Spanned<Placed>>(text)
        .map(Located::from)
        .map_err(|error| {
            let place = error.location().and_then(|location| place(&location));
            let message = error.without_snippet().to_string();
            // The place is said once, by the error that this becomes.
            let message = match message.rfind(" at line ") {
                Some(end) => &message[..end],
                None => &message,
            };
            TemplateError::new(Problem::Syntax(message.to_owned()), place)
        })
}

/// JSON is read as YAML, which gives places. The few texts that are JSON and not YAML (a key beyond 1,024
/// characters, say) are read without places.
pub(super) fn from_json(text: &str) -> Result<Located<Node>, TemplateError> {
    check_size(text)?;
    let without_places = serde_json::from_str::<Plain>(text).map_err(|error| {
        let place = Place {
            line: error.line() as u64,
            column: error.column() as u64,
        };
        let message = error.to_string();
        let message = match message.rfind(" at line ") {
            Some(end) => &message[..end],
            None => &message,
        };
        TemplateError::new(Problem::Syntax(message.to_owned()), Some(place))
    })?;
    Ok(serde_saphyr::from_str::<Spanned<Placed>>(text)
        .map_or_else(|_| without_places.into(), Located::from))
}

fn check_size(text: &str) -> Result<(), TemplateError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(TemplateError::new(Problem::TooLarge, None));
    }
    Ok(())
}

fn place(location: &Location) -> Option<Place> {
    (*location != Location::UNKNOWN).then(|| Place {
        line: location.line(),
        column: location.column(),
    })
}

impl From<Spanned<String>> for Located<String> {
    fn from(spanned: Spanned<String>) -> Self {
        Self {
            place: place(&spanned.referenced),
            value: spanned.value,
        }
    }
}

impl From<String> for Located<String> {
    fn from(value: String) -> Self {
        Self { value, place: None }
    }
}

/// A node whose parts were read with their places, as YAML allows.
struct Placed(Node);

/// A node that was read without places.
struct Plain(Node);

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = NodeVisitor::<Spanned<String>, Spanned<Self>>(PhantomData);
        deserializer.deserialize_any(visitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = NodeVisitor::<String, Self>(PhantomData);
        deserializer.deserialize_any(visitor).map(Self)
    }
}

impl From<Spanned<Placed>> for Located<Node> {
    fn from(spanned: Spanned<Placed>) -> Self {
        Self {
            place: place(&spanned.referenced),
            value: spanned.value.0,
        }
    }
}

impl From<Plain> for Located<Node> {
    fn from(Plain(value): Plain) -> Self {
        Self { value, place: None }
    }
}

/// Builds a node out of keys and values of the given kinds.
struct NodeVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for NodeVisitor<K, V>
where
    K: Deserialize<'de> + Into<Located<String>>,
    V: Deserialize<'de> + Into<Located<Node>>,
{
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Node, E> {
        Number::from_f64(number)
            .map(Node::Number)
            .ok_or_else(|| E::custom(format!("{number} is not a number that JSON can hold")))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<V>()? {
            list.push(item.into());
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut keys = HashSet::new();
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<K>()? {
            let key: Located<String> = key.into();
            if !keys.insert(key.value.clone()) {
                let twice = format!("the key `{}` stands twice", key.value);
                return Err(de::Error::custom(twice));
            }
            map.push((key, entries.next_value::<V>()?.into()));
        }
        Ok(Node::Map(map))
    }
}
