//! [`HeldAll`]: several locks on one connection, acquired in order and released in reverse.

use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::backend::LockConnection;
use crate::error::LockError;
use crate::guard::{Guard, Parts};
use crate::hold::{self, Hold, Work};
use crate::in_use::InUse;
use crate::name::LockName;
use crate::observe::Observed;
use crate::transaction::Depth;

use super::set::{LockSet, Rows};

/// Locks that are held, and the connection that they are held on.
pub(crate) struct HeldAll<'c, C: LockConnection> {
    conn: &'c mut C,
    /// In the order of their names.
    holds: Vec<Hold>,
    /// Which of them each item of the set has, in the order of the set.
    items: Vec<usize>,
    /// What errors are about that are not of one lock.
    label: LockName,
    before: Depth,
    work: Work,
    ended: bool,
}

impl<'c, C: LockConnection> HeldAll<'c, C> {
    pub(crate) fn acquire(
        conn: &'c mut C,
        names: Vec<LockName>,
        attempt: &Attempt,
    ) -> Result<Self, LockError> {
        let label = label(&names);
        check(&names, attempt)?;
        let before = Depth::of(conn).map_err(|source| LockError::before(&label, source))?;
        let order = hold::guarded(conn, |conn| order(conn, &names, &label))?;
        let mut held = HeldAll {
            conn,
            holds: Vec::with_capacity(names.len()),
            items: vec![0; names.len()],
            label,
            before,
            work: Work::Plain,
            ended: false,
        };
        // On an error the guard releases what it has.
        for item in order {
            held.take(&names[item], attempt)?;
            held.items[item] = held.holds.len() - 1;
        }
        Ok(held)
    }

    /// The next lock. The server counts one lock that two names mean, such as `app.users` and `users` in `app`.
    fn take(&mut self, name: &LockName, attempt: &Attempt) -> Result<(), LockError> {
        let last = self.holds.last();
        if last.is_some_and(|last| last.name == *name) {
            return Ok(());
        }
        let asked = Asked::after(last.map(|last| &last.observed), name.clone());
        let hold = Hold::acquire(self.conn, asked, attempt)?;
        self.holds.push(hold);
        Ok(())
    }

    /// On a connection that has just been checked out: see [`Hold::is_of_check_out`].
    pub(crate) fn acquire_checked_out(
        conn: &'c mut C,
        names: Vec<LockName>,
        attempt: &Attempt,
    ) -> Result<Self, LockError> {
        let mut held = HeldAll::acquire(conn, names, attempt)?;
        for index in 0..held.holds.len() {
            let (before, hold) = held.holds.split_at_mut(index);
            if !before
                .last()
                .is_some_and(|last| last.is_same_lock(&hold[0]))
            {
                hold[0].is_of_check_out();
            }
        }
        Ok(held)
    }

    /// The set as its closure gets it, and in use.
    pub(crate) fn reloaded<L: LockSet<C>>(
        &mut self,
        mut set: L,
    ) -> Result<(L::Locked, InUse), LockError> {
        let mut rows = Rows::new(self.conn, &self.holds, &self.items);
        set.refresh(&mut rows)?;
        let in_use = rows.into_in_use();
        Ok((set.into_locked(), in_use))
    }

    fn end_once(&mut self) -> Result<(), LockError> {
        self.ended = true;
        hold::end(self.conn, &mut self.holds, self.before, self.work)
    }
}

/// What an error is about that is not of one lock.
pub(crate) fn label(names: &[LockName]) -> LockName {
    names
        .first()
        .cloned()
        .unwrap_or_else(|| LockName::named("nothing"))
}

/// A name that no server will be asked for is refused before anything is waited for.
pub(crate) fn check(names: &[LockName], attempt: &Attempt) -> Result<(), LockError> {
    for name in names {
        if let Err(error) = name.wanted() {
            return Err(Asked::new(name.clone()).refused(attempt, |_| error));
        }
    }
    Ok(())
}

/// The order that all callers acquire in. It goes by the names as MySQL compares them, which folds their case; MariaDB does
/// not, and there the names themselves decide among those that differ by case alone.
fn order<C: LockConnection>(
    conn: &mut C,
    names: &[LockName],
    label: &LockName,
) -> Result<Vec<usize>, LockError> {
    let is_mixed =
        names.iter().any(LockName::is_in_session) && !names.iter().all(LockName::is_in_session);
    // Where all have the session's namespace, or none has, it makes no difference.
    let namespace = if is_mixed {
        conn.namespace()
            .map_err(|source| LockError::before(label, source))?
    } else {
        String::new()
    };
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_cached_key(|&item| {
        let name = names[item].written_in(&namespace);
        (name.to_ascii_lowercase(), name)
    });
    Ok(order)
}

impl<C: LockConnection> Guard for HeldAll<'_, C> {
    type Connection = C;

    fn parts(&mut self) -> Parts<'_, C> {
        Parts {
            conn: self.conn,
            holds: &self.holds,
            label: &self.label,
            before: self.before,
            work: &mut self.work,
        }
    }

    fn observed(&self) -> Option<&Observed> {
        self.holds.last().map(|hold| &hold.observed)
    }

    fn end(mut self) -> Result<(), LockError> {
        self.end_once()
    }
}

impl<C: LockConnection> Drop for HeldAll<'_, C> {
    fn drop(&mut self) {
        if !self.ended {
            // `Drop` cannot return an error: telemetry records it, and a failed release has ended the session.
            drop(hold::quietly(|| self.end_once()));
        }
    }
}
