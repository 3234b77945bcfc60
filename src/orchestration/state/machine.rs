//! What both machines share: names for states and events, and the look-up in a transition table.

use std::fmt::{Debug, Display};

/// An event that is not legal in a state. Nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {machine} that is {from} cannot {event}")]
pub struct IllegalTransition {
    /// `task` or `step`.
    pub machine: &'static str,
    /// The state it is in.
    pub from: &'static str,
    /// The event that was refused.
    pub event: &'static str,
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no state of a {machine}; the states are {known}")]
pub struct UnknownState {
    /// `task` or `step`.
    pub machine: &'static str,
    /// The text.
    pub text: String,
    /// The names of all states.
    pub known: String,
}

/// The state that `event` leads to from `from`.
pub(super) fn next<S, E>(
    machine: &'static str,
    table: &[(S, E, S)],
    from: S,
    event: E,
) -> Result<S, IllegalTransition>
where
    S: Copy + PartialEq + Into<&'static str>,
    E: Copy + PartialEq + Into<&'static str>,
{
    table
        .iter()
        .find(|(source, trigger, _)| *source == from && *trigger == event)
        .map(|(_, _, target)| *target)
        .ok_or(IllegalTransition {
            machine,
            from: from.into(),
            event: event.into(),
        })
}

/// Finds a state by its name.
pub(super) fn parse<S>(machine: &'static str, all: &[S], text: &str) -> Result<S, UnknownState>
where
    S: Copy + Into<&'static str> + Debug + Display,
{
    all.iter()
        .copied()
        .find(|state| Into::<&'static str>::into(*state) == text)
        .ok_or_else(|| UnknownState {
            machine,
            text: text.to_owned(),
            known: all
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// An enum whose variants have names, for states and events.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $name {
            /// Every one, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name, as it is stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl From<$name> for &'static str {
            fn from(value: $name) -> Self { value.as_str() }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const NAMES: &[&str] = &[$($text),+];
                let text = String::deserialize(deserializer)?;
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str() == text)
                    .ok_or_else(|| serde::de::Error::unknown_variant(&text, NAMES))
            }
        }
    };
}
pub(super) use named;
