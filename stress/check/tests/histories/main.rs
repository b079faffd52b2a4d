//! Histories that must be accepted, and next to each one that must be rejected: they differ in as little
//! as possible, and the rule that is broken is the only one that is.

mod story;

mod accounted;
mod deadlock;
mod exclusive;
mod handoffs;
mod idle;
mod nothing_left;
mod program;
mod prompt;
mod reading;
mod reported;
