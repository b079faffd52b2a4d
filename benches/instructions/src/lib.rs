//! Times parts of the library, and counts their instructions, which do not depend on the load of
//! the machine.

mod count;
mod part;

pub use count::{Counter, valgrind_is_installed};
pub use part::Part;
