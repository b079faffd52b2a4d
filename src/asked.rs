//! [`Asked`]: a lock that somebody has asked for and does not have yet.

use crate::attempt::Attempt;
use crate::error::LockError;
use crate::name::LockName;
use crate::observe::Observed;

pub struct Asked {
    pub(crate) name: LockName,
    pub(crate) observed: Observed,
}

impl Asked {
    pub(crate) fn new(name: LockName) -> Self {
        Asked {
            observed: Observed::asked(&name),
            name,
        }
    }

    /// The next of several, after the one that was had last.
    pub(crate) fn after(last: Option<&Observed>, name: LockName) -> Self {
        Asked {
            observed: Observed::asked_within(&name, last),
            name,
        }
    }

    /// It is not to be had. The error is told to whoever watches, and goes to the caller.
    pub(crate) fn refused(
        self,
        attempt: &Attempt,
        error: impl FnOnce(LockName) -> LockError,
    ) -> LockError {
        let error = error(self.name);
        self.observed.refused(attempt, &error);
        error
    }
}
