//! Histories that the checker must accept, and similar ones that it must reject by one rule.

mod scenario;

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
