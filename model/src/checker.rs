//! The protocol as a model for stateright, and what is asked of it.

use std::thread;
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use crate::config::Config;
use crate::rules::{Rule, Situation};
use crate::state::State;
use crate::transitions::{Action, Protocol};

/// A run: its states, and the actions between them.
pub type Run = Path<State, Action>;

/// Explores all states, unless a rule is broken. Calls `progress` with the numbers of steps and of
/// states so far.
pub fn explore(
    config: &Config,
    situations: &[Situation],
    progress: impl Fn(usize, usize),
) -> impl Checker<Protocol> {
    let rules = Rule::ALL.iter().map(|rule| rule.text());
    let situations = situations.iter().map(|situation| situation.text());
    let protocol = Protocol {
        config: config.clone(),
        properties: rules.chain(situations).collect(),
    };
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs();
    while !checker.is_done() {
        thread::sleep(Duration::from_millis(20));
        progress(checker.state_count(), checker.unique_state_count());
    }
    checker.join()
}

/// The shortest run that breaks a rule.
pub fn counter_example(config: &Config, rule: Rule) -> Option<Run> {
    let protocol = Protocol {
        config: config.clone(),
        properties: vec![rule.text()],
    };
    let checker = protocol.checker().finish_when(HasDiscoveries::Any);
    checker.spawn_bfs().join().discovery(rule.text())
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(&self.config)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.next(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let rules = Rule::ALL.iter().map(|rule| rule.property());
        let all = rules.chain(Situation::ALL.iter().map(|it| it.property()));
        all.filter(|property| self.properties.contains(&property.name))
            .collect()
    }
}
