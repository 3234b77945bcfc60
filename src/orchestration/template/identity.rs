//! What makes a task the same as another (O10): SHA-256 over length-prefixed fields, so that no two different
//! sets of fields can read as the same bytes.
//!
//! A strict identity begins with half of the hash of template and input, and ends with half of that of all fields. So a
//! store that keeps identities in order finds such tasks by their content there, and needs no second index in which every
//! new task lies somewhere else.

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
        let input = canonical_json(input);
        let mut identity = content_of(template, &input);
        let all = Self::of("strict", template, &input);
        identity[16..].copy_from_slice(&all.0[16..]);
        Self(identity)
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
            template.canonical(),
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
    content_of(template, &canonical_json(input))
}

fn content_of(template: &TaskTemplate, input: &str) -> [u8; 32] {
    digest(&["content", template.canonical(), input])
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

    /// Stored identities must be found again by later versions. These were computed apart from this code: SHA-256
    /// over each field's length in bytes (eight bytes, the highest first) and its text; the identity of the second begins
    /// with the content's.
    #[test]
    fn identities_of_given_contents_never_change() {
        let mut template = TaskTemplate::builder("t");
        template.step("a", "h");
        let template = template.build().unwrap();
        let input = serde_json::json!({"text": "é", "n": 1});
        let expected = [
            (
                Identity(digest(&["a", "", "bc"])),
                "fb9abcb07180be92066c09ce253c0a060e4634fe3accf064b556d89a691c8e5f",
            ),
            (
                Identity::strict(&template, &input),
                "805fbadc57fb97a97580e76d3282d575dccc45bf209e81875c805f47e1b12821",
            ),
            (
                Identity::caller(&template, "order-7"),
                "4f408085dc5bc0c96109b03b4ebc4ea76b2fe255c1728f81145e4a4352557ba5",
            ),
            (
                Identity(content_hash(&template, &input)),
                "805fbadc57fb97a97580e76d3282d57507a337a9d579f90297e99c9f14e6e3fe",
            ),
        ];
        for (identity, hex) in expected {
            assert_eq!(identity.to_string(), hex);
        }
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
