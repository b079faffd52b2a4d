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
pub struct InUse(Vec<usize>);

impl InUse {
    /// Records a model that has been reloaded under the lock, before the closure gets it.
    pub fn add<T>(&mut self, model: &T, connection: usize, key: &str) {
        let address = ptr::from_ref(model).addr();
        let new = Use {
            type_name: type_name::<T>(),
            connection,
            key: key.to_owned(),
        };
        models().entry(address).or_default().push(new);
        self.0.push(address);
    }
}

/// Whether a running closure was given `model` under this lock, on the connection with this address.
pub(crate) fn contains<T>(model: &T, connection: usize, key: &str) -> bool {
    let address = ptr::from_ref(model).addr();
    let models = models();
    models.get(&address).is_some_and(|uses| {
        uses.iter().any(|it| {
            it.type_name == type_name::<T>() && it.connection == connection && it.key == key
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

    /// The closures that are futures and are polled at this moment, the outermost first.
    static POLLED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A number that identifies this thread, or the outermost of the closures that it polls.
pub(crate) fn context() -> u64 {
    let outermost = POLLED.with_borrow(|polled| polled.first().copied());
    outermost.unwrap_or_else(thread)
}

/// Whether this is called within the closure with this number, or on the thread with this number.
pub(crate) fn is_within(number: u64) -> bool {
    number == thread() || POLLED.with_borrow(|polled| polled.contains(&number))
}

fn thread() -> u64 {
    thread_local!(static NUMBER: u64 = next_number());
    NUMBER.with(|number| *number)
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A closure that runs on this thread, until this is dropped.
pub(crate) struct Enclosing {
    before: usize,
}

impl Enclosing {
    pub(crate) fn enter<'n>(names: impl Iterator<Item = &'n LockName>) -> Self {
        Self::of(names.map(hash))
    }

    fn of(hashes: impl Iterator<Item = u64>) -> Self {
        ENCLOSING.with_borrow_mut(|enclosing| {
            let before = enclosing.len();
            enclosing.extend(hashes);
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

/// A closure that is a future, which may be polled on any thread.
pub struct EnclosingFuture {
    names: Vec<u64>,
    /// Identifies it to [`is_within`].
    pub(crate) number: u64,
}

impl EnclosingFuture {
    pub(crate) fn new<'n>(names: impl Iterator<Item = &'n LockName>) -> Self {
        EnclosingFuture {
            names: names.map(hash).collect(),
            number: next_number(),
        }
    }

    /// Polls the closure, which runs under its locks meanwhile.
    pub fn poll<R>(&self, poll: impl FnOnce() -> R) -> R {
        struct Polled;

        impl Drop for Polled {
            fn drop(&mut self) {
                POLLED.with_borrow_mut(Vec::pop);
            }
        }

        POLLED.with_borrow_mut(|polled| polled.push(self.number));
        let _polled = Polled;
        let _enclosing = Enclosing::of(self.names.iter().copied());
        poll()
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
    use super::{
        Enclosing, EnclosingFuture, InUse, LockName, contains, context, is_enclosing, is_within,
    };

    /// The addresses of two connections.
    const CONN: usize = 1;
    const OTHER: usize = 2;

    #[test]
    fn a_model_is_in_use_under_its_lock_on_its_connection_until_the_closure_ends() {
        let (model, copy) = (1_i64, 1_i64);
        let mut in_use = InUse::default();
        in_use.add(&model, CONN, "a");
        assert!(contains(&model, CONN, "a"));
        assert!(!contains(&copy, CONN, "a"));
        assert!(!contains(&model, OTHER, "a"));
        assert!(!contains(&model, CONN, "b"));
        drop(in_use);
        assert!(!contains(&model, CONN, "a"));
    }

    #[test]
    fn a_struct_is_not_its_first_field() {
        struct Outer {
            first: i64,
        }
        let outer = Outer { first: 1 };
        let mut in_use = InUse::default();
        in_use.add(&outer, CONN, "a");
        assert!(!contains(&outer.first, CONN, "a"));
    }

    #[test]
    fn one_model_is_in_use_under_several_locks() {
        let model = 1_i64;
        let mut outer = InUse::default();
        outer.add(&model, CONN, "a");
        let mut inner = InUse::default();
        inner.add(&model, CONN, "b");
        assert!(contains(&model, CONN, "a") && contains(&model, CONN, "b"));
        drop(inner);
        assert!(contains(&model, CONN, "a") && !contains(&model, CONN, "b"));
    }

    #[test]
    fn a_panic_ends_the_use() {
        let model = 1_i64;
        let run = std::panic::AssertUnwindSafe(|| {
            let mut in_use = InUse::default();
            in_use.add(&model, CONN, "a");
            let _enclosing = Enclosing::enter([LockName::named("job")].iter());
            panic!("in the closure");
        });
        std::panic::catch_unwind(run).unwrap_err();
        assert!(!contains(&model, CONN, "a"));
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

    #[test]
    fn a_closure_that_is_a_future_is_enclosing_while_it_is_polled() {
        let (outer, inner) = (LockName::named("outer"), LockName::named("inner"));
        let thread = context();
        let closure = EnclosingFuture::new([outer.clone()].iter());
        assert!(!is_enclosing(&outer));
        let in_closure = closure.poll(|| {
            assert!(is_enclosing(&outer));
            let nested = EnclosingFuture::new([inner.clone()].iter());
            nested.poll(|| assert!(is_enclosing(&outer) && is_enclosing(&inner)));
            assert!(!is_enclosing(&inner));
            assert!(is_within(closure.number) && !is_within(nested.number));
            nested.poll(|| assert!(is_within(closure.number) && is_within(nested.number)));
            assert_eq!(nested.poll(context), context());
            context()
        });
        assert_ne!(in_closure, thread);
        assert_eq!(context(), thread);
        assert!(is_within(thread) && !is_within(closure.number));
        assert!(!is_enclosing(&outer));
        // Another thread may poll it next.
        let polled = std::thread::spawn(move || closure.poll(context)).join();
        assert_eq!(polled.expect("no panic"), in_closure);
    }
}
