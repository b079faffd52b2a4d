//! `docs/benchmarks.md`, and the recorded results from which it is made: a file for each server in
//! `docs/benchmarks/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use test_server::ServerKind;

use super::{Recording, page, recording, write};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks")
}

/// Records the results of a benchmark, and redraws those of its charts that the page shows.
pub(crate) fn record(server: ServerKind, recording: &Recording, charts: &Path) -> Result<()> {
    recording.add_to(&directory().join(format!("{server}.json")))?;
    for finding in &recording.findings {
        let shown = directory().join(chart_name(server, &finding.id));
        if shown.exists() {
            fs::copy(charts.join(format!("{}.svg", finding.id)), shown)?;
        }
    }
    write_page()
}

pub(crate) fn write_page() -> Result<()> {
    write(&directory().with_extension("md"), &generate()?)
}

fn generate() -> Result<String> {
    let mut servers = Vec::new();
    for kind in ServerKind::ALL {
        let recordings = recording::read(&directory().join(format!("{kind}.json")))?;
        servers.push((kind, recordings));
    }
    page::generate(&servers, |server, id| {
        let chart = chart_name(server, id);
        directory()
            .join(&chart)
            .exists()
            .then(|| format!("benchmarks/{chart}"))
    })
}

fn chart_name(server: ServerKind, finding: &str) -> String {
    format!("{server}-{finding}.svg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_what_the_recorded_results_give() {
        let page = fs::read_to_string(directory().with_extension("md")).expect("a page");
        let generated = generate().expect("a page");
        assert!(
            page == generated,
            "docs/benchmarks.md is not up to date: run `cargo xtask bench --page`"
        );
    }
}
