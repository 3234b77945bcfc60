//! What actors and messages are called.

use std::borrow::{Borrow, Cow};
use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

/// What an actor is called in reports, errors and logs: a `str` that is cheap to clone.
///
/// ```
/// use postroom::actor::ActorName;
///
/// let name = ActorName::from("orders");
/// assert_eq!(name, "orders");
/// assert!(name.starts_with("ord"));
///
/// // Of a text that is known when the program is compiled: nothing is allocated or counted.
/// const PAYMENTS: ActorName = ActorName::from_static("payments");
/// assert_eq!(PAYMENTS.as_str(), "payments");
/// ```
#[derive(Clone)]
pub struct ActorName(Repr);

/// Most actors have the name of their type. Starting and ending them is then spared a count that all of them would
/// share.
#[derive(Clone)]
enum Repr {
    Static(&'static str),
    /// By one more step, so that a name takes no more than a reference to text does.
    Shared(Arc<Arc<str>>),
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<ActorName>() == 16);

impl ActorName {
    /// A name that is known when the program is compiled: it is neither copied nor counted.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(Repr::Static(name))
    }

    /// The text.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(name) => name,
            Repr::Shared(name) => name,
        }
    }

    /// As the value of a label.
    #[cfg(feature = "metrics")]
    pub(crate) fn label(&self) -> metrics::SharedString {
        match &self.0 {
            Repr::Static(name) => metrics::SharedString::const_str(name),
            Repr::Shared(name) => metrics::SharedString::from(Arc::<str>::clone(name)),
        }
    }
}

impl Deref for ActorName {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ActorName {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for ActorName {
    fn borrow(&self) -> &str {
        self
    }
}

/// Copies the text, which may live shorter than the name: see [`ActorName::from_static`].
impl From<&str> for ActorName {
    fn from(name: &str) -> Self {
        Arc::<str>::from(name).into()
    }
}

impl From<Box<str>> for ActorName {
    fn from(name: Box<str>) -> Self {
        Arc::<str>::from(name).into()
    }
}

impl From<String> for ActorName {
    fn from(name: String) -> Self {
        Arc::<str>::from(name).into()
    }
}

impl From<Arc<str>> for ActorName {
    fn from(name: Arc<str>) -> Self {
        Self(Repr::Shared(Arc::new(name)))
    }
}

impl From<ActorName> for Arc<str> {
    fn from(name: ActorName) -> Self {
        match name.0 {
            Repr::Static(name) => name.into(),
            Repr::Shared(name) => Self::clone(&name),
        }
    }
}

impl From<&ActorName> for ActorName {
    fn from(name: &ActorName) -> Self {
        name.clone()
    }
}

impl From<Cow<'static, str>> for ActorName {
    #[inline]
    fn from(name: Cow<'static, str>) -> Self {
        match name {
            Cow::Borrowed(name) => Self::from_static(name),
            Cow::Owned(name) => name.into(),
        }
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl fmt::Debug for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq for ActorName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ActorName {}

impl PartialEq<str> for ActorName {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for ActorName {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<String> for ActorName {
    fn eq(&self, other: &String) -> bool {
        **self == **other
    }
}

impl PartialEq<ActorName> for str {
    fn eq(&self, other: &ActorName) -> bool {
        *self == **other
    }
}

impl PartialEq<ActorName> for &str {
    fn eq(&self, other: &ActorName) -> bool {
        **self == **other
    }
}

impl PartialEq<ActorName> for String {
    fn eq(&self, other: &ActorName) -> bool {
        **self == **other
    }
}

impl PartialOrd for ActorName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ActorName {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

/// The same as of its text, by which it is looked up.
impl Hash for ActorName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

thread_local! {
    /// A type's name and its last segment. Programs start many actors of one type, and finding that is a noticeable part
    /// of starting them.
    static SHORT: Cell<(&'static str, &'static str)> = const { Cell::new(("", "")) };
}

/// The last segment of a type's name, without its generic arguments.
pub(crate) fn short_type_name<T: ?Sized>() -> &'static str {
    let name = std::any::type_name::<T>();
    let (last, short) = SHORT.get();
    if ptr::eq(last, name) {
        return short;
    }
    // By characters, for which searching is a simple scan.
    let plain = name.find('<').map_or(name, |end| &name[..end]);
    let short = plain.rfind(':').map_or(plain, |colon| &plain[colon + 1..]);
    SHORT.set((name, short));
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn names_are_their_text_however_they_were_made() {
        let made: [ActorName; 7] = [
            ActorName::from_static("orders"),
            "orders".into(),
            String::from("orders").into(),
            Box::<str>::from("orders").into(),
            Arc::<str>::from("orders").into(),
            Cow::Borrowed("orders").into(),
            Cow::<str>::Owned(String::from("orders")).into(),
        ];
        let places = HashMap::from([(made[0].clone(), 1)]);
        for name in &made {
            assert_eq!((name, places[name], places["orders"]), (&made[0], 1, 1));
            assert_eq!(
                format!("{name} {name:?} {name:>8}"),
                "orders \"orders\"   orders"
            );
        }
        assert!(made[1] < ActorName::from_static("payments"));
    }

    #[test]
    fn a_type_is_called_by_its_last_segment() {
        assert_eq!(short_type_name::<ActorName>(), "ActorName");
        assert_eq!(short_type_name::<Vec<Option<u8>>>(), "Vec");
        assert_eq!(short_type_name::<u8>(), "u8");
    }
}
