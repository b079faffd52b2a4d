//! Nobody watches: the same names, without anything in them.

use diesel::result::Error as DieselError;

use crate::attempt::Attempt;
use crate::error::LockError;
use crate::name::LockName;
use crate::table::TableIdentity;

use super::Ended;

#[derive(Clone, Copy)]
pub(crate) struct Label;

impl Label {
    pub(crate) const NO_TABLE: Self = Label;
    pub(crate) const DYNAMIC: Self = Label;

    pub(crate) fn table(_table: &'static TableIdentity) -> Self {
        Label
    }
}

pub(crate) struct Observed;

impl Observed {
    pub(crate) fn asked(_name: &LockName) -> Self {
        Observed
    }

    pub(crate) fn asked_within(_name: &LockName, _outer: Option<&Observed>) -> Self {
        Observed
    }

    pub(crate) fn found_taken(&mut self) {}

    pub(crate) fn refused(self, _attempt: &Attempt, _error: &LockError) {}

    pub(crate) fn acquired(&mut self, _attempt: &Attempt, _nested: bool) {}

    pub(crate) fn reread(&self) {}

    pub(crate) fn ended(&self, _name: &LockName, _ended: Ended<'_>) {}

    pub(crate) fn scope(&self) -> Scope {
        Scope
    }
}

#[derive(Default)]
pub(crate) struct Scope;

impl Scope {
    pub(crate) fn run<R>(self, body: impl FnOnce() -> R) -> R {
        body()
    }
}

pub(crate) fn while_queued<R>(_name: &LockName, wait: impl FnOnce() -> R) -> R {
    wait()
}

pub(crate) fn look_up_failed(_server_name: &str, _error: &DieselError) {}

pub(crate) fn not_shortened(_name: &LockName, _error: &DieselError) {}

pub(crate) fn still_held(_name: &LockName) {}
