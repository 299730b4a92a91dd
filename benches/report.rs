//! The figures of one benchmark: measure, ours, baseline, ratio, goal, met.

use std::fs;

use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use crate::args::Format;

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Goal {
    /// So many times the baseline or more, where more is better.
    AtLeast(f64),
    /// So many times the baseline or less, where less is better.
    AtMost(f64),
    /// Nothing was asked for: the ratio is reported.
    None,
}

/// One question, answered.
#[derive(Clone, Debug)]
pub struct Measure {
    name: String,
    ours: f64,
    baseline: f64,
    unit: &'static str,
    goal: Goal,
}

impl Measure {
    /// Puts two figures beside each other.
    pub fn new(name: String, ours: f64, baseline: f64, unit: &'static str, goal: Goal) -> Self {
        Self { name, ours, baseline, unit, goal }
    }

    fn ratio(&self) -> f64 {
        self.ours / self.baseline
    }

    fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::AtLeast(goal) => Some(self.ratio() >= goal),
            Goal::AtMost(goal) => Some(self.ratio() <= goal),
            Goal::None => None,
        }
    }

    fn cells(&self) -> [String; 6] {
        [
            self.name.clone(),
            format!("{:.1} {}", self.ours, self.unit),
            format!("{:.1} {}", self.baseline, self.unit),
            format!("{:.3}", self.ratio()),
            match self.goal {
                Goal::AtLeast(goal) => format!("at least {goal:.2}"),
                Goal::AtMost(goal) => format!("{goal:.2}"),
                Goal::None => "none".to_owned(),
            },
            match self.met() {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            }
            .to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let (goal, at_least) = match self.goal {
            Goal::AtLeast(goal) => (Some(goal), true),
            Goal::AtMost(goal) => (Some(goal), false),
            Goal::None => (None, false),
        };
        json!({
            "measure": self.name,
            "ours": self.ours,
            "baseline": self.baseline,
            "unit": self.unit,
            "ratio": self.ratio(),
            "goal": goal,
            "at_least": at_least,
            "met": self.met(),
        })
    }
}

/// What one side did and what it took, for whoever wants to know where a ratio comes from.
#[derive(Clone, Debug)]
pub struct Detail {
    of: String,
    figures: Vec<(&'static str, f64)>,
}

impl Detail {
    /// Names the side and its figures, with their units.
    pub fn new(of: String, figures: Vec<(&'static str, f64)>) -> Self {
        Self { of, figures }
    }
}

/// The measures of one run, and what they were taken on.
#[derive(Clone, Debug)]
pub struct Report {
    machine: String,
    conditions: Option<String>,
    results: Vec<Measure>,
    details: Vec<Detail>,
}

impl Report {
    /// Reports measures that were taken on this machine.
    pub fn new(results: Vec<Measure>) -> Self {
        Self { machine: machine(), conditions: None, results, details: Vec::new() }
    }

    /// Says what else there is to know of the run.
    #[must_use]
    pub fn under(self, conditions: String) -> Self {
        Self { conditions: Some(conditions), ..self }
    }

    /// Adds what each of the sides did.
    #[must_use]
    pub fn with_details(self, details: Vec<Detail>) -> Self {
        Self { details, ..self }
    }

    /// Prints the report.
    #[expect(clippy::print_stdout, reason = "a benchmark reports to its reader")]
    pub fn print(&self, format: Format) {
        match format {
            Format::Text => print!("{}", self.text()),
            Format::Json => println!("{:#}", self.json()),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        if let Some(conditions) = &self.conditions {
            text += &format!("{conditions}\n");
        }
        let mut results = table(["measure", "ours", "baseline", "ratio", "goal", "met"]);
        results.add_rows(self.results.iter().map(Measure::cells));
        text += &format!("\n{results}\n");
        if let Some(first) = self.details.first() {
            let labels = first.figures.iter().map(|(label, _)| *label);
            let mut details = table(["side"].into_iter().chain(labels));
            for it in &self.details {
                let figures = it.figures.iter().map(|(_, figure)| format!("{figure:.1}"));
                details.add_row([it.of.clone()].into_iter().chain(figures));
            }
            text += &format!("\n{details}\n");
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "machine": self.machine,
            "conditions": self.conditions,
            "results": self.results.iter().map(Measure::json).collect::<Value>(),
            "details": self.details.iter().map(detail_json).collect::<Value>(),
        })
    }
}

fn detail_json(detail: &Detail) -> Value {
    let of = [("side".to_owned(), json!(detail.of))];
    let figures = detail.figures.iter().map(|(label, figure)| ((*label).to_owned(), json!(figure)));
    Value::Object(of.into_iter().chain(figures).collect::<Map<_, _>>())
}

fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

/// The processor, the number of cores and the memory, as Linux tells them.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or("Linux", |name| name.trim_matches('"'));
    format!("{model}, {cores} cores, {} MiB, {system}", kilobytes / 1_024)
}

/// Returns how many processes wanted to run in the last minute, on average: of a quiet machine none.
pub fn load_average() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or_default().to_owned()
}
