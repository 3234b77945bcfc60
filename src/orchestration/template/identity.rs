//! What makes a task the same as another (O10): SHA-256 over length-prefixed fields, so that no two different
//! sets of fields can read as the same bytes.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{TaskTemplate, canonical_json};

/// The identity of a task; unique in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u8; 32]);

impl Identity {
    /// Namespace, name, version, template and input: the same task whenever all of them are the same.
    pub fn strict(template: &TaskTemplate, input: &Value) -> Self {
        Self::of("strict", template, &canonical_json(input))
    }

    /// Namespace and name of the template, and a key that the caller chose. Template and input are not part
    /// of it: the same key with another content is an error, not another task.
    pub fn caller(template: &TaskTemplate, key: &str) -> Self {
        Self(digest(&[
            "caller",
            template.namespace(),
            template.name(),
            key,
        ]))
    }

    /// Like no other.
    pub fn unique(template: &TaskTemplate, input: &Value) -> Self {
        let salt = Uuid::new_v4().to_string();
        Self::of(&salt, template, &canonical_json(input))
    }

    fn of(strategy: &str, template: &TaskTemplate, input: &str) -> Self {
        Self(digest(&[
            strategy,
            template.namespace(),
            template.name(),
            template.version(),
            &template.canonical_json(),
            input,
        ]))
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// In hexadecimal.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The hash of template and input alone: what a task runs, whoever submitted it and how.
pub fn content_hash(template: &TaskTemplate, input: &Value) -> [u8; 32] {
    digest(&[
        "content",
        &template.canonical_json(),
        &canonical_json(input),
    ])
}

fn digest(fields: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_of_given_fields_never_changes() {
        // Stored identities must be found again by later versions.
        let hex = Identity(digest(&["a", "", "bc"])).to_string();
        assert_eq!(hex.len(), 64);
        let mut bytes = Vec::new();
        for field in ["a", "", "bc"] {
            bytes.extend((field.len() as u64).to_be_bytes());
            bytes.extend(field.as_bytes());
        }
        assert_eq!(hex, Identity(Sha256::digest(&bytes).into()).to_string());
    }

    proptest! {
        #[test]
        fn moving_a_border_between_fields_changes_the_hash(text in "[ab]{2,12}", one in 0_usize..12, other in 0_usize..12) {
            let (one, other) = (one.min(text.len()), other.min(text.len()));
            prop_assume!(one != other);
            let split = |at: usize| digest(&[&text[..at], &text[at..]]);
            prop_assert_ne!(split(one), split(other));
        }
    }
}
