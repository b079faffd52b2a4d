//! What is explored: the standard scenarios, and one for each mutant.

use crate::config::{Body, Call, Caller, Config, Faults, Form, Isolation, Server};
use crate::mutant::Mutant;
use crate::rule::Situation;

/// A name, a configuration, and the situations that some run of it must reach.
pub struct Scenario {
    pub name: &'static str,
    pub config: Config,
    pub situations: &'static [Situation],
}

const RUN: Call = Call::new(Form::Run);
const TRANSACTION: Call = Call::new(Form::Transaction);

/// A caller with a connection of its own.
fn direct(calls: &[Call]) -> Caller {
    Caller {
        calls: calls.to_vec(),
        ..Caller::default()
    }
}

fn pooled(calls: &[Call]) -> Caller {
    Caller {
        is_pooled: true,
        ..direct(calls)
    }
}

fn is_async(caller: Caller) -> Caller {
    Caller {
        is_async: true,
        ..caller
    }
}

const NONE: Faults = Faults {
    kills: 0,
    interrupts: 0,
    cuts: 0,
    timeouts: 0,
    drops: 0,
};

/// One fault of each kind that a blocking call meets.
const EACH: Faults = Faults {
    kills: 1,
    interrupts: 1,
    cuts: 1,
    timeouts: 1,
    drops: 0,
};

/// What `cargo test` explores. `size` adds callers: 0 is the standard size.
pub fn standard(server: Server, size: usize) -> Vec<Scenario> {
    let new = |callers, faults| Config::new(server, callers, faults);
    let above = |config| Config {
        isolation: Isolation::RepeatableRead,
        ..config
    };
    let more = |caller: Caller, count: usize| vec![caller; count + size];
    let mut scenarios = vec![
        Scenario {
            name: "run",
            config: new(more(direct(&[RUN]), 3), EACH),
            situations: &[
                Situation::ContendedWait,
                Situation::KilledHolder,
                Situation::FailedWaitWasGranted,
                Situation::ReportedLoss,
            ],
        },
        Scenario {
            name: "transaction",
            config: new(more(direct(&[TRANSACTION]), 3), EACH),
            situations: &[Situation::CommittedWithoutAnswer, Situation::ContendedWait],
        },
        Scenario {
            name: "theft",
            config: new(
                [
                    vec![
                        direct(&[TRANSACTION.with(Body::Theft)]),
                        direct(&[RUN.with(Body::Theft), RUN.with(Body::LeakNested)]),
                    ],
                    more(direct(&[RUN]), 1),
                ]
                .concat(),
                Faults { kills: 1, ..NONE },
            ),
            situations: &[Situation::ReportedLoss, Situation::RolledBack],
        },
        Scenario {
            name: "misuse",
            config: new(
                [
                    vec![
                        direct(&[RUN.in_transaction(), Call::new(Form::LeakedGuard)]),
                        direct(&[RUN.with(Body::LeaveOpen), TRANSACTION.in_transaction()]),
                    ],
                    more(direct(&[RUN]), 1),
                ]
                .concat(),
                Faults { kills: 1, ..NONE },
            ),
            situations: &[Situation::Refused, Situation::LeakedGuard],
        },
        Scenario {
            name: "async",
            config: new(
                [
                    vec![is_async(direct(&[TRANSACTION, RUN]))],
                    more(is_async(direct(&[RUN])), 1),
                ]
                .concat(),
                Faults {
                    drops: 2,
                    kills: 1,
                    cuts: 1,
                    ..NONE
                },
            ),
            situations: &[Situation::DroppedWaitWasGranted],
        },
        Scenario {
            name: "pool",
            config: new(
                [
                    vec![pooled(&[RUN, RUN]), pooled(&[TRANSACTION])],
                    more(pooled(&[RUN]), 1),
                    vec![direct(&[RUN])],
                ]
                .concat(),
                Faults { kills: 1, ..NONE },
            ),
            situations: &[Situation::HandedOff, Situation::Reacquired],
        },
        Scenario {
            name: "async pool",
            config: new(
                [
                    vec![
                        is_async(pooled(&[TRANSACTION])),
                        is_async(pooled(&[RUN.with(Body::Theft)])),
                    ],
                    more(is_async(pooled(&[RUN])), 1),
                ]
                .concat(),
                Faults {
                    drops: 1,
                    interrupts: 1,
                    timeouts: 1,
                    ..NONE
                },
            ),
            situations: &[
                Situation::HandedOff,
                Situation::GrantedAndDropped,
                Situation::HandedOffInTransaction,
            ],
        },
        Scenario {
            name: "deadlock",
            config: new(
                vec![
                    direct(&[RUN.nested(&[0, 1])]),
                    direct(&[RUN.nested(&[1, 0])]),
                    direct(&[TRANSACTION]),
                ],
                Faults {
                    interrupts: 1,
                    cuts: 1,
                    ..NONE
                },
            ),
            situations: &[Situation::VictimHoldsLock],
        },
        Scenario {
            name: "sets",
            config: new(
                vec![
                    direct(&[TRANSACTION.set(&[0, 1])]),
                    direct(&[TRANSACTION.set(&[1, 0])]),
                    direct(&[RUN.set(&[1, 0])]),
                ],
                Faults {
                    interrupts: 1,
                    kills: 1,
                    ..NONE
                },
            ),
            situations: &[Situation::ContendedWait],
        },
        Scenario {
            name: "leaked in pool",
            config: Config {
                connections: 1,
                is_leaked_in_pool: true,
                ..new(
                    [vec![direct(&[RUN])], more(pooled(&[RUN]), 2)].concat(),
                    Faults { kills: 1, ..NONE },
                )
            },
            situations: &[Situation::ContendedWait],
        },
    ];
    if server == Server::Postgres {
        scenarios.push(Scenario {
            name: "transaction above READ COMMITTED",
            config: above(new(more(direct(&[TRANSACTION]), 3), EACH)),
            situations: &[
                Situation::CommittedWithoutAnswer,
                Situation::FailedWaitWasGranted,
            ],
        });
        scenarios.push(Scenario {
            name: "pool above READ COMMITTED",
            config: above(new(
                [
                    vec![pooled(&[TRANSACTION.with(Body::TheftUnderNestedLock)])],
                    more(pooled(&[TRANSACTION]), 1),
                    vec![pooled(&[RUN]), direct(&[TRANSACTION])],
                ]
                .concat(),
                Faults { kills: 1, ..NONE },
            )),
            situations: &[Situation::HandedOff, Situation::HandedOffInTransaction],
        });
    }
    scenarios
}

/// A small scenario in which a mutant breaks its rule, or `None` if the server has no such
/// protection.
pub fn of_mutant(mutant: Mutant, server: Server) -> Option<Config> {
    let new = |callers: Vec<Caller>, faults| Config::new(server, callers, faults);
    let above = |config| Config {
        isolation: Isolation::RepeatableRead,
        ..config
    };
    let interrupts = |interrupts| Faults { interrupts, ..NONE };
    let drop = Faults { drops: 1, ..NONE };
    let two_runs = vec![direct(&[RUN]), direct(&[RUN])];
    let pool = vec![pooled(&[RUN]), pooled(&[RUN]), pooled(&[RUN])];
    let config = match mutant {
        Mutant::NoReload => new(two_runs, NONE),
        Mutant::OpenTransactionAllowed => {
            new(vec![direct(&[RUN.in_transaction()]), direct(&[RUN])], NONE)
        }
        Mutant::LeftOpenNotRolledBack => new(
            vec![direct(&[RUN.with(Body::LeaveOpen)]), direct(&[RUN])],
            NONE,
        ),
        Mutant::FailedRollbackReleases => new(
            vec![direct(&[RUN.with(Body::LeaveOpen)]), direct(&[RUN])],
            interrupts(1),
        ),
        Mutant::AbortedCommitIsSuccess => new(
            vec![direct(&[TRANSACTION.with(Body::IgnoreError)])],
            interrupts(1),
        ),
        Mutant::NoProofBeforeCommit => new(vec![direct(&[TRANSACTION.with(Body::Theft)])], NONE),
        Mutant::ReleaseBeforeCommit => above(new(
            vec![direct(&[TRANSACTION]), direct(&[TRANSACTION])],
            NONE,
        )),
        Mutant::UnknownCommitIsRolledBack => {
            new(vec![direct(&[TRANSACTION])], Faults { cuts: 1, ..NONE })
        }
        Mutant::LockInSnapshot => above(new(
            vec![direct(&[TRANSACTION]), direct(&[TRANSACTION])],
            NONE,
        )),
        Mutant::ReleaseAnswerIgnored => new(two_runs, Faults { kills: 1, ..NONE }),
        Mutant::FailedReleaseKeepsSession => new(vec![direct(&[RUN])], interrupts(1)),
        Mutant::StillHeldIgnored => new(vec![direct(&[RUN.with(Body::LeakNested)])], NONE),
        Mutant::PooledLockIsReentrant => Config {
            connections: 1,
            is_leaked_in_pool: true,
            ..new(vec![pooled(&[RUN])], NONE)
        },
        Mutant::FailedAttemptKeepsLock => new(vec![direct(&[RUN])], interrupts(1)),
        Mutant::FailedWaitKeepsLock => new(two_runs, interrupts(1)),
        Mutant::FailedUndoKeepsSession => new(two_runs, interrupts(2)),
        Mutant::FailedSetKeepsFirstLock => {
            let others = direct(&[RUN.nested(&[1, 0])]);
            new(
                vec![direct(&[RUN.set(&[0, 1])]), others],
                Faults {
                    timeouts: 1,
                    ..NONE
                },
            )
        }
        Mutant::UnsortedSet => new(
            vec![direct(&[RUN.set(&[0, 1])]), direct(&[RUN.set(&[1, 0])])],
            NONE,
        ),
        Mutant::DroppedFutureKeepsSession => {
            new(vec![is_async(direct(&[RUN])), direct(&[RUN])], drop)
        }
        Mutant::HandoffWithoutProof => {
            new(vec![pooled(&[RUN.with(Body::Theft)]), pooled(&[RUN])], NONE)
        }
        Mutant::CommitProofForHandoff => above(new(
            vec![
                pooled(&[TRANSACTION.with(Body::TheftUnderNestedLock)]),
                pooled(&[RUN]),
            ],
            NONE,
        )),
        Mutant::HandoffsNotCounted | Mutant::BudgetRenewedWithoutRelease => {
            new([pool, vec![direct(&[RUN])]].concat(), NONE)
        }
        Mutant::PermitNotGranted => new(pool, NONE),
        Mutant::DroppedWaiterKeepsPermit => new(pool.into_iter().map(is_async).collect(), drop),
    };
    let has_protection = match mutant {
        Mutant::LockInSnapshot | Mutant::CommitProofForHandoff | Mutant::AbortedCommitIsSuccess => {
            server == Server::Postgres
        }
        // On PostgreSQL, the ROLLBACK that failed has aborted the transaction.
        Mutant::FailedRollbackReleases => server == Server::Mysql,
        _ => true,
    };
    has_protection.then_some(Config {
        mutant: Some(mutant),
        ..config
    })
}
