//! [`HeldAll`]: several locks on one connection, taken in order and released in reverse.

use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::backend::LockConnection;
use crate::error::LockError;
use crate::guard::Guard;
use crate::hold::{self, Hold};
use crate::name::LockName;
use crate::observe::Observed;
use crate::transaction;

use super::set::{LockSet, Rows};

pub(crate) struct HeldAll<'c, C: LockConnection> {
    conn: &'c mut C,
    /// In the order they were taken.
    holds: Vec<Hold>,
    /// Which hold each item of the set has.
    items: Vec<usize>,
    label: LockName,
    depth_before: u32,
    ended: bool,
    /// The session is of no further use.
    discard: bool,
}

impl<'c, C: LockConnection> HeldAll<'c, C> {
    /// `names` has one for each item of a set, in the set's order.
    pub(crate) fn acquire(
        conn: &'c mut C,
        names: Vec<LockName>,
        attempt: &Attempt,
    ) -> Result<Self, LockError> {
        let label = label(&names);
        let depth_before =
            transaction::depth(conn).map_err(|source| LockError::database(&label, source))?;
        let order = order(conn, &names, &label)?;
        let mut held = HeldAll {
            conn,
            holds: Vec::with_capacity(names.len()),
            items: vec![0; names.len()],
            label,
            depth_before,
            ended: false,
            discard: false,
        };
        // On an error the guard releases what it has.
        for item in order {
            held.take(&names[item], attempt)?;
            held.items[item] = held.holds.len() - 1;
        }
        Ok(held)
    }

    fn take(&mut self, name: &LockName, attempt: &Attempt) -> Result<(), LockError> {
        let last = self.holds.last();
        if last.is_some_and(|last| last.name == *name) {
            return Ok(());
        }
        let asked = Asked::after(last.map(|last| &last.observed), name.clone());
        let mut hold = Hold::acquire(self.conn, asked, attempt)?;
        // One lock by two names, such as `app.users` and `users` in `app`, is nested in itself.
        if let Some(last) = last.filter(|last| last.is_same_lock(&hold)) {
            hold.nested = last.nested;
        }
        self.holds.push(hold);
        Ok(())
    }

    /// The same on a connection that was just checked out. Where it holds one of the locks already, somebody had put it
    /// back so, and nobody knows what that was about.
    pub(crate) fn acquire_checked_out(
        conn: &'c mut C,
        names: Vec<LockName>,
        attempt: &Attempt,
    ) -> Result<Self, LockError> {
        let mut held = HeldAll::acquire(conn, names, attempt)?;
        for hold in &mut held.holds {
            held.discard |= hold.nested;
            hold.nested = false;
        }
        Ok(held)
    }

    /// The set with its models read again.
    pub(crate) fn refreshed<L: LockSet<C>>(&mut self, mut set: L) -> Result<L::Locked, LockError> {
        set.refresh(&mut Rows::new(self.conn, &self.holds, &self.items))?;
        Ok(set.into_locked())
    }

    fn end_once(&mut self) -> Result<(), LockError> {
        self.ended = true;
        let holds = &mut self.holds;
        let ended = hold::end(self.conn, &self.label, self.depth_before, |conn| {
            // All of them, also when one is lost.
            let releases = holds.iter_mut().rev().map(|hold| {
                let released = hold.release(conn);
                hold.ended(released)
            });
            releases.fold(Ok(()), Result::and)
        });
        // None was released, if not even the transaction under them could be rolled back.
        for hold in &mut self.holds {
            hold.observed.ended(&hold.name, &ended);
        }
        if self.discard {
            transaction::mark_broken(self.conn);
        }
        ended
    }
}

/// What is spoken of where it is about no lock in particular.
pub(crate) fn label(names: &[LockName]) -> LockName {
    names
        .first()
        .cloned()
        .unwrap_or_else(|| LockName::named("nothing"))
}

/// The items by their written names, which is the same order for everybody on this server.
fn order<C: LockConnection>(
    conn: &mut C,
    names: &[LockName],
    label: &LockName,
) -> Result<Vec<usize>, LockError> {
    let is_mixed =
        names.iter().any(LockName::is_in_session) && !names.iter().all(LockName::is_in_session);
    // Where all have the session's namespace, or none has, it makes no difference.
    let namespace = if is_mixed {
        conn.namespace().map_err(|source| {
            transaction::mark_broken(conn);
            LockError::database(label, source)
        })?
    } else {
        String::new()
    };
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_cached_key(|&item| names[item].written_in(&namespace));
    Ok(order)
}

impl<C: LockConnection> Guard for HeldAll<'_, C> {
    type Connection = C;

    fn parts(&mut self) -> (&LockName, &mut C) {
        (&self.label, self.conn)
    }

    fn observed(&self) -> Option<&Observed> {
        self.holds.last().map(|hold| &hold.observed)
    }

    fn end(mut self, _committed: bool) -> Result<(), LockError> {
        self.end_once()
    }
}

impl<C: LockConnection> Drop for HeldAll<'_, C> {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is told but who watches; if it fails, the connection has been marked as broken.
            drop(self.end_once());
        }
    }
}
