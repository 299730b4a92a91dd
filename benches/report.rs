//! The figures of one benchmark: measure, ours, baseline, ratio, goal, met.

use std::fs;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

/// One question, answered.
pub(crate) struct Measure {
    name: String,
    ours: f64,
    baseline: f64,
    unit: &'static str,
    goal: f64,
}

impl Measure {
    pub(crate) fn new(
        name: String,
        ours: f64,
        baseline: f64,
        unit: &'static str,
        goal: f64,
    ) -> Self {
        Self { name, ours, baseline, unit, goal }
    }

    fn ratio(&self) -> f64 {
        self.ours / self.baseline
    }

    fn met(&self) -> bool {
        self.ratio() <= self.goal
    }
}

/// The measures of one run, and the machine that they were taken on.
pub(crate) struct Report {
    machine: String,
    results: Vec<Measure>,
}

impl Report {
    pub(crate) fn new(results: Vec<Measure>) -> Self {
        Self { machine: machine(), results }
    }

    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["measure", "ours", "baseline", "ratio", "goal", "met"]);
        for it in &self.results {
            table.add_row([
                it.name.clone(),
                format!("{:.1} {}", it.ours, it.unit),
                format!("{:.1} {}", it.baseline, it.unit),
                format!("{:.3}", it.ratio()),
                format!("{:.2}", it.goal),
                if it.met() { "yes" } else { "no" }.to_owned(),
            ]);
        }
        format!("{}\n\n{table}\n", self.machine)
    }

    pub(crate) fn json(&self) -> Value {
        let results: Vec<Value> = self
            .results
            .iter()
            .map(|it| {
                json!({
                    "measure": it.name,
                    "ours": it.ours,
                    "baseline": it.baseline,
                    "unit": it.unit,
                    "ratio": it.ratio(),
                    "goal": it.goal,
                    "met": it.met(),
                })
            })
            .collect();
        json!({ "machine": self.machine, "results": results })
    }
}

/// The processor and the number of cores, as Linux tells them.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores")
}
