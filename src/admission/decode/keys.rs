//! Values that come again and again, allocated once: keys, and the object without any.

use std::cell::RefCell;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use portcullis_policy::Value;

/// Keys a thread remembers, so that `containers` is allocated once and not once an object.
const INTERNED_MAX: usize = 1024;

thread_local! {
    static KEYS: RefCell<HashMap<Box<str>, Value, RandomState>> = RefCell::new(HashMap::default());
    // One for each thread: counting the references to one of all threads would be a queue.
    static EMPTY: Value = Value::new_object();
}

/// An object without members, shared.
pub(super) fn empty() -> Value {
    EMPTY.with(Value::clone)
}

/// A key as an engine value; common ones are shared.
pub fn interned(key: &str) -> Value {
    if key.len() > 48 {
        return Value::String(key.into());
    }
    KEYS.with_borrow_mut(|keys| {
        if let Some(known) = keys.get(key) {
            return known.clone();
        }
        let value = Value::String(key.into());
        if keys.len() < INTERNED_MAX {
            keys.insert(key.into(), value.clone());
        }
        value
    })
}
