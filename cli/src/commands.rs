//! A module for each command.

pub(crate) mod check;
pub(crate) mod end;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod watch;
pub(crate) mod who;
