//! The model for stateright, and what is asked of it.

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use crate::properties;
use crate::rule::Rule;
use crate::state::State;
use crate::transitions::{Action, Protocol};

/// A run: its states, and the action that leads to the next one.
pub type Run = Path<State, Action>;

impl Protocol {
    /// The shortest run that breaks a rule.
    pub fn counter_example(&self, rule: Rule) -> Option<Path<State, Action>> {
        let model = Protocol {
            rules: vec![rule],
            situations: Vec::new(),
            ..self.clone()
        };
        let checker = model.checker().finish_when(HasDiscoveries::Any);
        checker.spawn_bfs().join().discovery(rule.text())
    }

    /// Explores all states, and calls `progress` about once a second.
    pub fn explore(self, progress: impl Fn(usize, usize)) -> impl Checker<Self> {
        // With a situation still to find, the checker explores all states.
        let checker = self.checker().finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_bfs();
        while !checker.is_done() {
            std::thread::sleep(Duration::from_millis(20));
            progress(checker.state_count(), checker.unique_state_count());
        }
        checker.join()
    }
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
        let rules = self.rules.iter().map(|&rule| properties::always(rule));
        let situations = self.situations.iter().map(|&it| properties::sometimes(it));
        rules.chain(situations).collect()
    }
}
