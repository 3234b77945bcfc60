//! A value that is set once.

use super::toy::model;
use crate::mailbox::SetOnce;
use loom::sync::Arc;
use loom::thread;

#[test]
fn one_of_two_sets_it_and_readers_see_all_of_it() {
    model(|| {
        let value = Arc::new(SetOnce::<Box<u32>>::default());
        let setters: Vec<_> = [1, 2]
            .map(|n| {
                let value = Arc::clone(&value);
                thread::spawn(move || value.set(Box::new(n)).is_ok().then_some(n))
            })
            .into();
        let seen = value.get().map(|n| **n);
        let set: Vec<_> = setters
            .into_iter()
            .filter_map(|setter| setter.join().unwrap())
            .collect();
        assert_eq!(set.len(), 1);
        assert_eq!(value.get().map(|n| **n), Some(set[0]));
        assert!(seen.is_none() || seen == Some(set[0]));
    });
}
