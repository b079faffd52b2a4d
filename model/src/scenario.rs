//! What is explored: the standard scenarios, and one for each mutant.

use crate::config::{Body, Call, Caller, Config, Faults, Form, Isolation, Server};
use crate::mutant::Mutant;
use crate::rules::{Rule, Situation};

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

/// What `cargo test` explores, with this many callers more.
pub fn standard(server: Server, more_callers: usize) -> Vec<Scenario> {
    let new = |callers, faults| Config::new(server, callers, faults);
    let above = |config| Config {
        isolation: Isolation::RepeatableRead,
        ..config
    };
    let more = |caller: Caller, count: usize| vec![caller; count + more_callers];
    let mut scenarios = vec![
        Scenario {
            name: "run",
            config: new(more(direct(&[RUN]), 3), EACH),
            situations: &[
                Situation::ContendedWait,
                Situation::KilledHolder,
                Situation::FailedWaitWasGranted,
                Situation::LossWasReported,
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
            situations: &[Situation::LossWasReported, Situation::LossWasRolledBack],
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
                Faults {
                    kills: 1,
                    interrupts: 1,
                    ..NONE
                },
            ),
            situations: &[Situation::Refused, Situation::HeldByNoCaller],
        },
        Scenario {
            name: "async",
            config: new(
                [
                    vec![is_async(direct(&[TRANSACTION, RUN]))],
                    more(is_async(direct(&[RUN])), 2),
                ]
                .concat(),
                Faults {
                    drops: 1,
                    kills: 1,
                    ..NONE
                },
            ),
            situations: &[Situation::HeldByNoCaller],
        },
        Scenario {
            name: "pool",
            config: new(
                [
                    vec![pooled(&[TRANSACTION])],
                    more(pooled(&[RUN]), 2),
                    vec![direct(&[RUN])],
                ]
                .concat(),
                Faults {
                    kills: 1,
                    interrupts: 1,
                    ..NONE
                },
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
                    vec![direct(&[RUN])],
                ]
                .concat(),
                Faults {
                    drops: 1,
                    kills: 1,
                    timeouts: 1,
                    ..NONE
                },
            ),
            situations: &[
                Situation::HandedOff,
                Situation::DropWithGrant,
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
                    [
                        vec![direct(&[RUN]), pooled(&[RUN.with(Body::LeakNested)])],
                        more(pooled(&[RUN]), 2),
                    ]
                    .concat(),
                    Faults {
                        kills: 1,
                        interrupts: 1,
                        ..NONE
                    },
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

/// A small scenario in which a mutant breaks these rules, or `None` if the server has no such
/// protection.
pub fn of_mutant(mutant: Mutant, server: Server) -> Option<(&'static [Rule], Config)> {
    let interrupts = |interrupts| Faults { interrupts, ..NONE };
    let set = |locks| direct(&[RUN.set(locks)]);
    let run = || direct(&[RUN]);
    let run_with = |body| direct(&[RUN.with(body)]);
    let transaction = || direct(&[TRANSACTION]);
    let transaction_with = |body| direct(&[TRANSACTION.with(body)]);
    let three_pooled = || vec![pooled(&[RUN]); 3];
    let (rules, callers, faults): (&[Rule], Vec<Caller>, Faults) = match mutant {
        Mutant::NoReload => (
            &[Rule::NeverStale, Rule::NoLostUpdate],
            vec![run(), run()],
            NONE,
        ),
        Mutant::OpenTransactionAllowed => {
            let inner = direct(&[RUN.in_transaction()]);
            (&[Rule::NoLostUpdate], vec![inner, run()], NONE)
        }
        Mutant::LeftOpenNotRolledBack => (
            &[Rule::NoLostUpdate],
            vec![run_with(Body::LeaveOpen), run()],
            NONE,
        ),
        Mutant::FailedRollbackReleases => {
            let callers = vec![run_with(Body::LeaveOpen), run()];
            (&[Rule::NoLostUpdate], callers, interrupts(1))
        }
        Mutant::NoProofBeforeCommit => (
            &[Rule::NoCommitWithoutLock],
            vec![transaction_with(Body::Theft)],
            NONE,
        ),
        Mutant::ReleaseBeforeCommit => (
            &[Rule::NoCommitWithoutLock],
            vec![transaction(), transaction()],
            NONE,
        ),
        Mutant::UnknownCommitIsRolledBack => (
            &[Rule::TrueOutcome],
            vec![transaction()],
            Faults { cuts: 1, ..NONE },
        ),
        Mutant::AbortedCommitIsSuccess => (
            &[Rule::TrueOutcome],
            vec![transaction_with(Body::IgnoreError)],
            interrupts(1),
        ),
        Mutant::LockInSnapshot => (
            &[Rule::NeverStale],
            vec![transaction(), transaction()],
            NONE,
        ),
        Mutant::ReleaseAnswerIgnored => {
            let rules = &[Rule::LossReported, Rule::Exclusive];
            (rules, vec![run(), run()], Faults { kills: 1, ..NONE })
        }
        Mutant::StillHeldIgnored => (&[Rule::NothingHeld], vec![run_with(Body::LeakNested)], NONE),
        Mutant::PooledLockIsReentrant => (&[Rule::NothingHeld], vec![pooled(&[RUN])], NONE),
        Mutant::FailedReleaseKeepsSession | Mutant::FailedAttemptKeepsLock => {
            (&[Rule::NothingHeld], vec![run()], interrupts(1))
        }
        Mutant::FailedWaitKeepsLock => (&[Rule::NothingHeld], vec![run(), run()], interrupts(1)),
        Mutant::FailedUndoKeepsSession => (&[Rule::NothingHeld], vec![run(), run()], interrupts(2)),
        Mutant::FailedSetKeepsFirstLock => {
            let callers = vec![set(&[0, 1]), direct(&[RUN.nested(&[1, 0])])];
            (
                &[Rule::NothingHeld],
                callers,
                Faults {
                    timeouts: 1,
                    ..NONE
                },
            )
        }
        Mutant::UnsortedSet => (
            &[Rule::NoSetDeadlock],
            vec![set(&[0, 1]), set(&[1, 0])],
            NONE,
        ),
        Mutant::DroppedFutureKeepsSession => (
            &[Rule::NothingHeld],
            vec![is_async(run()), run()],
            Faults { drops: 1, ..NONE },
        ),
        Mutant::HandoffWithoutProof => {
            let callers = vec![pooled(&[RUN.with(Body::Theft)]), pooled(&[RUN])];
            (&[Rule::LossReported, Rule::HandoffHeld], callers, NONE)
        }
        Mutant::CommitProofForHandoff => {
            let thief = pooled(&[TRANSACTION.with(Body::TheftUnderNestedLock)]);
            (&[Rule::HandoffHeld], vec![thief, pooled(&[RUN])], NONE)
        }
        Mutant::HandoffsNotCounted | Mutant::BudgetRenewedWithoutRelease => (
            &[Rule::HandoffsBounded],
            [three_pooled(), vec![run()]].concat(),
            NONE,
        ),
        Mutant::PermitNotGranted => (&[Rule::NoForgottenWaiter], three_pooled(), NONE),
        Mutant::DroppedWaiterKeepsPermit => {
            let callers = three_pooled().into_iter().map(is_async).collect();
            (
                &[Rule::NoForgottenWaiter],
                callers,
                Faults { drops: 1, ..NONE },
            )
        }
    };
    let has_protection = match mutant {
        Mutant::LockInSnapshot | Mutant::CommitProofForHandoff | Mutant::AbortedCommitIsSuccess => {
            server == Server::Postgres
        }
        // On PostgreSQL, the ROLLBACK that failed has aborted the transaction.
        Mutant::FailedRollbackReleases => server == Server::Mysql,
        _ => true,
    };
    let mut config = Config::new(server, callers, faults);
    config.mutant = Some(mutant);
    match mutant {
        // On PostgreSQL, these transactions are under a lock of the session.
        Mutant::ReleaseBeforeCommit | Mutant::LockInSnapshot | Mutant::CommitProofForHandoff => {
            config.isolation = Isolation::RepeatableRead;
        }
        Mutant::PooledLockIsReentrant => {
            config.connections = 1;
            config.is_leaked_in_pool = true;
        }
        _ => {}
    }
    has_protection.then_some((rules, config))
}
