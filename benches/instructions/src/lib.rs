//! Parts of the library that need no server, or nothing of it but quick answers: to be timed, and to have their
//! instructions counted, which are the same on any machine of a kind.

mod count;
mod part;

pub use count::{Counter, valgrind_is_installed};
pub use part::Part;
