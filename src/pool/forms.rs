//! The `_from` forms of all terminals: the same with a connection from a pool.

mod all;
mod model_lock;
mod request;

pub use all::lock_all_from;
