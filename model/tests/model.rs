//! The model is explored at its standard size.

use model::config::Server;
use model::mutant::Mutant;
use model::scenario;
use model::transitions::Protocol;
use stateright::Checker;

#[test]
fn probe() {
    for server in [Server::Mysql, Server::Postgres] {
        for s in scenario::standard(server, 0) {
            let t = std::time::Instant::now();
            let p = Protocol {
                situations: s.situations.to_vec(),
                ..Protocol::new(s.config)
            };
            let c = p.explore(|_, _| {});
            eprintln!(
                "{server:?} {} total {} unique {} depth {} {:?}",
                s.name,
                c.state_count(),
                c.unique_state_count(),
                c.max_depth(),
                t.elapsed()
            );
            for (name, path) in c.discoveries() {
                let bad = model::rule::Rule::ALL.iter().any(|r| r.text() == name);
                if bad {
                    eprintln!("  BROKEN {name}");
                    for (_, a) in path.clone().into_vec() {
                        eprintln!("    {a:?}");
                    }
                    eprintln!("    {:?}", path.last_state());
                }
            }
            for s in s.situations {
                if c.discovery(s.text()).is_none() {
                    eprintln!("   MISSING {}", s.text());
                }
            }
        }
    }
}

#[test]
fn probe_mutants() {
    for &m in Mutant::ALL {
        for server in [Server::Mysql, Server::Postgres] {
            let Some(config) = scenario::of_mutant(m, server) else {
                continue;
            };
            let sound = Protocol::new(model::config::Config {
                mutant: None,
                ..config.clone()
            });
            let c = sound.explore(|_, _| {});
            for (name, path) in c.discoveries() {
                eprintln!("SOUND {m:?} {server:?} {name}: {:?}", path.into_actions())
            }
            let t = std::time::Instant::now();
            match Protocol::new(config).counter_example(m.breaks()) {
                None => eprintln!("{m:?} {server:?} NOT FOUND"),
                Some(p) => eprintln!(
                    "{m:?} {server:?} {} steps {:?}",
                    p.into_actions().len(),
                    t.elapsed()
                ),
            }
        }
    }
}
