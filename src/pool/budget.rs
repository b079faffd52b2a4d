//! [`HandoffBudget`]: how often a lock is handed off before waiters in other processes get their
//! turn.

use std::time::{Duration, Instant};

use crate::options::DEFAULT_TIMEOUT;

/// How often and for how long a lock is handed off, and how long a request waits by default.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How often, after the server has granted it.
    pub max_handoffs: u32,
    /// For how long, after the server has granted it.
    pub max_handoff_time: Duration,
    /// The timeout of a request that sets none.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_handoffs: 16,
            max_handoff_time: Duration::from_millis(100),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

impl Limits {
    /// The budget of a lock that the server has just granted. It covers the requests that wait now.
    /// Later ones do not extend it, so that a few requests in a loop cannot keep other processes
    /// out.
    pub(crate) fn budget(self, waiting: usize) -> HandoffBudget {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        HandoffBudget {
            handoffs: waiting.min(self.max_handoffs),
            until: Instant::now().checked_add(self.max_handoff_time),
        }
    }
}

/// What remains of the limits for one lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandoffBudget {
    handoffs: u32,
    /// `None` is later than an `Instant` can express.
    until: Option<Instant>,
}

impl HandoffBudget {
    /// The budget after one more handoff, if that is within the limits.
    pub(crate) fn next(self) -> Option<HandoffBudget> {
        let handoffs = self.handoffs.checked_sub(1)?;
        let in_time = self.until.is_none_or(|until| Instant::now() < until);
        in_time.then_some(HandoffBudget { handoffs, ..self })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Limits;

    fn served(max_handoffs: u32, max_handoff_time: Duration, waiting: usize) -> usize {
        let limits = Limits {
            max_handoffs,
            max_handoff_time,
            ..Limits::default()
        };
        let mut budget = limits.budget(waiting);
        let mut served = 1;
        while let Some(next) = budget.next() {
            budget = next;
            served += 1;
        }
        served
    }

    #[test]
    fn a_budget_covers_the_requests_that_were_waiting() {
        assert_eq!(served(16, Duration::MAX, 0), 1);
        assert_eq!(served(16, Duration::MAX, 3), 4);
    }

    #[test]
    fn a_budget_ends_with_the_last_handoff() {
        assert_eq!(served(16, Duration::MAX, 1_000), 17);
        assert_eq!(served(0, Duration::MAX, 1_000), 1);
    }

    #[test]
    fn a_budget_ends_with_its_time() {
        assert_eq!(served(16, Duration::ZERO, 1_000), 1);
    }
}
