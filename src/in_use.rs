//! The models that closures work on at this moment, and their locks.
//!
//! A lock reloads its model, with one exception: a model that a running closure was given under
//! this very lock may have unsaved changes. Any other copy of the row may be stale.

use std::any::type_name;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::name::LockName;

/// By the model's address, not by thread, since a closure may pass its model to another thread.
static MODELS: LazyLock<Mutex<HashMap<usize, Vec<Use>>>> = LazyLock::new(Mutex::default);

#[derive(PartialEq, Eq)]
struct Use {
    /// Distinguishes a struct from its first field, which has the same address. Not the `TypeId`,
    /// since a model may borrow.
    type_name: &'static str,
    connection: usize,
    key: String,
}

/// The models that a closure works on, until this is dropped.
#[derive(Default)]
pub(crate) struct InUse(Vec<usize>);

impl InUse {
    /// Records a model that has been reloaded under the lock, before the closure gets it.
    pub(crate) fn add<T, C>(&mut self, model: &T, conn: &C, key: &str) {
        let address = ptr::from_ref(model).addr();
        let new = Use {
            type_name: type_name::<T>(),
            connection: ptr::from_ref(conn).addr(),
            key: key.to_owned(),
        };
        models().entry(address).or_default().push(new);
        self.0.push(address);
    }
}

/// Whether a running closure was given `model` under this lock, on this connection.
pub(crate) fn contains<T, C>(model: &T, conn: &C, key: &str) -> bool {
    let address = ptr::from_ref(model).addr();
    let models = models();
    models.get(&address).is_some_and(|uses| {
        uses.iter().any(|it| {
            it.type_name == type_name::<T>()
                && it.connection == ptr::from_ref(conn).addr()
                && it.key == key
        })
    })
}

fn models() -> MutexGuard<'static, HashMap<usize, Vec<Use>>> {
    // Poisoning is ignored: a panic cannot leave the map half written.
    MODELS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for InUse {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let mut models = models();
        for address in self.0.drain(..) {
            // The uses of one address end in reverse order.
            if let Some(uses) = models.get_mut(&address) {
                uses.pop();
                if uses.is_empty() {
                    models.remove(&address);
                }
            }
        }
    }
}

thread_local! {
    /// Hashes of the locks that closures on this thread run under: enough to explain a timeout.
    static ENCLOSING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A number that identifies this thread.
pub(crate) fn thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

/// A closure that runs on this thread, until this is dropped.
pub(crate) struct Enclosing {
    before: usize,
}

impl Enclosing {
    pub(crate) fn enter<'n>(names: impl Iterator<Item = &'n LockName>) -> Self {
        ENCLOSING.with_borrow_mut(|enclosing| {
            let before = enclosing.len();
            enclosing.extend(names.map(hash));
            Enclosing { before }
        })
    }
}

impl Drop for Enclosing {
    fn drop(&mut self) {
        const SMALL: usize = 64;
        ENCLOSING.with_borrow_mut(|enclosing| {
            enclosing.truncate(self.before);
            // Frees memory after a large set.
            if self.before == 0 {
                enclosing.shrink_to(SMALL);
            }
        });
    }
}

/// Whether a closure on this thread runs under a lock of this name.
pub(crate) fn is_enclosing(name: &LockName) -> bool {
    ENCLOSING.with_borrow(|enclosing| enclosing.contains(&hash(name)))
}

fn hash(name: &LockName) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::{Enclosing, InUse, LockName, contains, is_enclosing};

    #[test]
    fn a_model_is_in_use_under_its_lock_on_its_connection_until_the_closure_ends() {
        let (model, copy, conn, other) = (1_i64, 1_i64, 0_u8, 0_u8);
        let mut in_use = InUse::default();
        in_use.add(&model, &conn, "a");
        assert!(contains(&model, &conn, "a"));
        assert!(!contains(&copy, &conn, "a"));
        assert!(!contains(&model, &other, "a"));
        assert!(!contains(&model, &conn, "b"));
        drop(in_use);
        assert!(!contains(&model, &conn, "a"));
    }

    #[test]
    fn a_struct_is_not_its_first_field() {
        struct Outer {
            first: i64,
        }
        let (outer, conn) = (Outer { first: 1 }, 0_u8);
        let mut in_use = InUse::default();
        in_use.add(&outer, &conn, "a");
        assert!(!contains(&outer.first, &conn, "a"));
    }

    #[test]
    fn one_model_is_in_use_under_several_locks() {
        let (model, conn) = (1_i64, 0_u8);
        let mut outer = InUse::default();
        outer.add(&model, &conn, "a");
        let mut inner = InUse::default();
        inner.add(&model, &conn, "b");
        assert!(contains(&model, &conn, "a") && contains(&model, &conn, "b"));
        drop(inner);
        assert!(contains(&model, &conn, "a") && !contains(&model, &conn, "b"));
    }

    #[test]
    fn a_panic_ends_the_use() {
        let (model, conn) = (1_i64, 0_u8);
        let run = std::panic::AssertUnwindSafe(|| {
            let mut in_use = InUse::default();
            in_use.add(&model, &conn, "a");
            let _enclosing = Enclosing::enter([LockName::named("job")].iter());
            panic!("in the closure");
        });
        std::panic::catch_unwind(run).unwrap_err();
        assert!(!contains(&model, &conn, "a"));
        assert!(!is_enclosing(&LockName::named("job")));
    }

    #[test]
    fn an_enclosing_lock_is_known_on_its_thread_alone() {
        let name = LockName::named("job");
        let _enclosing = Enclosing::enter([name.clone()].iter());
        assert!(is_enclosing(&name));
        assert!(!is_enclosing(&LockName::named("other")));
        let elsewhere = std::thread::spawn(move || is_enclosing(&name)).join();
        assert!(!elsewhere.expect("no panic"));
    }
}
