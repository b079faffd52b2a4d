//! Prints a run: one line for each step, with the server's table after it.

use comfy_table::{Table, presets};

use crate::checker::Run;
use crate::config::{Config, Form};
use crate::protocol::Delivery;
use crate::state::{Report, State, Step};
use crate::transitions::Action;

/// Prints a run. Callers are letters, and sessions are numbers.
pub fn readable(config: &Config, run: &Run) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let calls = config.callers.iter().flat_map(|caller| &caller.calls);
    let locks = 1 + calls
        .flat_map(|call| call.locks)
        .copied()
        .max()
        .unwrap_or(0);
    let names = (0..locks).map(|lock| format!("LOCK {lock}"));
    let header = ["", "WHO", "WHAT"].map(str::to_owned).into_iter();
    table.set_header(header.chain(names).chain(["ROW".to_owned()]));
    let steps = run.clone().into_vec();
    for (number, pair) in steps.windows(2).enumerate() {
        let [(before, Some(action)), (after, _)] = pair else {
            continue;
        };
        let (who, what) = action_text(config, before, *action, after);
        let mut row = vec![(number + 1).to_string(), who, what];
        row.extend((0..locks).map(|lock| lock_text(after, lock)));
        row.push(row_text(after));
        table.add_row(row);
    }
    table.trim_fmt()
}

fn name(caller: u8) -> String {
    format!("caller {}", char::from(b'A' + caller))
}

fn action_text(config: &Config, before: &State, action: Action, after: &State) -> (String, String) {
    let (caller, delivery) = match action {
        Action::Kill { session } => return ("server".into(), format!("ends session {session}")),
        Action::Notice { session } => {
            let what = format!("notices that session {session} is abandoned, and ends it");
            return ("server".into(), what);
        }
        Action::Deadlock { caller } => {
            let what = format!("ends the wait of {}: deadlock", name(caller));
            return ("server".into(), what);
        }
        Action::Step { caller, delivery } => (caller, delivery),
    };
    let index = usize::from(caller);
    let mut what = step_text(config, before, index, after);
    what += match delivery {
        Delivery::Answered => "",
        Delivery::Interrupted { ran: false } => "; it is canceled",
        Delivery::Interrupted { ran: true } => "; it is canceled after it had its effect",
        Delivery::Cut { ran: false } => "; the connection fails",
        Delivery::Cut { ran: true } => "; the connection fails after it had its effect",
        Delivery::TimedOut => "; the wait times out",
        Delivery::Dropped { ran: false } => "; its future is dropped",
        Delivery::Dropped { ran: true } => "; its future is dropped after it had its effect",
    };
    let (caller, id) = (&before.callers[index], before.callers[index].session);
    let is_closed = id.is_some_and(|id| !before.db.is_reachable(id));
    if is_closed && !matches!(caller.step, Step::Start | Step::Rest | Step::HandOff) {
        what += "; the session has ended";
    }
    let records = before.records.iter().zip(&after.records);
    for (_, record) in records.filter(|(before, after)| before.report != after.report) {
        what += match record.report {
            Some(Report::Success) => "; reports success",
            Some(Report::NothingHappened) => "; reports that nothing happened",
            Some(Report::RolledBack) => "; reports a rollback",
            Some(Report::Ran) => "; reports a lost lock after the body ran",
            Some(Report::Unknown) => "; reports that the outcome is unknown",
            Some(Report::Dropped | Report::Leaked) | None => "",
        };
    }
    (name(action_caller(action)), what)
}

fn action_caller(action: Action) -> u8 {
    match action {
        Action::Step { caller, .. } | Action::Deadlock { caller } => caller,
        Action::Kill { session } | Action::Notice { session } => session,
    }
}

fn step_text(config: &Config, before: &State, index: usize, after: &State) -> String {
    let (caller, next) = (&before.callers[index], &after.callers[index]);
    let call = config.call(index, caller.call);
    let lock_at = |at: u8| call.and_then(|call| call.locks.get(usize::from(at)).copied());
    let lock = |at| lock_at(at).unwrap_or_default();
    let waits = if next.step == Step::Waiting {
        ", and waits"
    } else {
        ""
    };
    match caller.step {
        Step::Start => {
            let form = match call.map(|call| call.form) {
                Some(Form::Transaction) => ".transaction",
                Some(Form::LeakedGuard) => ".acquire",
                _ => ".run",
            };
            format!("calls {form} with a copy of the row: {}", next.copy)
        }
        Step::BeginOuter => format!("begins a transaction of its own, reads {}", next.copy),
        Step::Enqueue if next.step == Step::Queued => "enqueues for the permit".into(),
        Step::Enqueue => "takes the permit".into(),
        Step::Queued if next.handoffs > caller.handoffs => "takes the permit and the lock".into(),
        Step::Queued if next.has_permit => "takes the permit".into(),
        Step::Queued => "waits for the permit".into(),
        Step::CheckOut => "checks out a connection".into(),
        Step::Acquire => format!("requests lock {}{waits}", lock(caller.acquired)),
        Step::Waiting if next.acquired > caller.acquired => {
            format!("is granted lock {}", lock(caller.acquired))
        }
        Step::Waiting => {
            let lock = lock(caller.acquired);
            let is_granted = caller.session.is_some_and(|id| before.db.holds(id, lock));
            let end = if is_granted {
                ", which was just granted"
            } else {
                ""
            };
            format!("waits for lock {lock}{end}")
        }
        Step::Undo => format!("releases lock {}, if it is held", lock(caller.acquired)),
        Step::Begin => "BEGIN".into(),
        Step::Reload => format!("reloads the row: {}", next.copy),
        Step::Steal => format!("the body releases lock {} by raw SQL", lock(0)),
        Step::Work => format!("the body writes {}", caller.copy + 1),
        Step::Rest => "the body ends".into(),
        Step::Prove | Step::ProveForHandoff => "asks whether it holds the lock".into(),
        Step::Commit | Step::CommitOuter => "COMMIT".into(),
        Step::RollBack => "ROLLBACK".into(),
        Step::Release => format!("releases lock {}", lock(caller.acquired.saturating_sub(1))),
        Step::Reacquire => "releases the lock, and acquires it if no session waits".into(),
        Step::HandOff => "hands off the lock".into(),
        Step::Leak => "leaks its guard, and closes its connection".into(),
        Step::Done => String::new(),
    }
}

fn lock_text(state: &State, lock: u8) -> String {
    let holder = state.db.holder(lock);
    let mut text = holder.map_or("free".to_owned(), |id| format!("session {id}"));
    for (at, (id, _)) in state.db.queues[usize::from(lock)].iter().enumerate() {
        text += if at == 0 { " < " } else { ", " };
        text += &id.to_string();
    }
    text
}

fn row_text(state: &State) -> String {
    let mut text = state.db.row.to_string();
    for (id, session) in state.db.sessions.iter().enumerate() {
        let transaction = session.transaction.as_ref();
        if let Some((value, _)) = transaction.and_then(|transaction| transaction.written) {
            text += &format!(" ({value} in session {id})");
        }
    }
    text
}
