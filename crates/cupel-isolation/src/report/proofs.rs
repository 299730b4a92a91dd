use std::fmt::Write;

use cupel_tenant::{Attempt, Health, LayerName, Outcome};
use serde_json::{Value, json};

use super::table::{Column, table};
use crate::Proof;

/// One attack in both directions, as a row of the report.
struct Row<'a> {
    layer: LayerName,
    attack: &'static str,
    attempts: Vec<&'a Attempt>,
}

impl Row<'_> {
    /// The worse of the two directions.
    fn outcome(&self) -> Outcome {
        self.attempts.iter().map(|it| it.outcome).max().unwrap_or(Outcome::NotProven)
    }

    /// The control that failed, or else the first.
    fn control(&self) -> String {
        let failed = self.attempts.iter().find(|it| !it.control.is_held());
        match (failed, self.attempts.first()) {
            (Some(it), _) => format!("failed: {}", it.control.evidence()),
            (None, Some(it)) => it.control.evidence().to_owned(),
            (None, None) => String::new(),
        }
    }

    fn controls_held(&self) -> bool {
        self.attempts.iter().all(|it| it.control.is_held())
    }
}

fn rows(proof: &Proof) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for attempt in proof.attempts() {
        let same = |row: &&mut Row<'_>| row.layer == attempt.layer && row.attack == attempt.attack;
        match rows.iter_mut().find(same) {
            Some(row) => row.attempts.push(attempt),
            None => rows.push(Row {
                layer: attempt.layer,
                attack: attempt.attack,
                attempts: vec![attempt],
            }),
        }
    }
    rows.sort_by_key(|row| row.layer);
    rows
}

/// Renders a proof for a reader: the servers, a row per attack, a summary, and the evidence of
/// whatever was not blocked.
pub fn proof_text(proof: &Proof) -> String {
    let rows = rows(proof);
    let mut text = String::new();
    let servers: Vec<_> = proof.servers().iter().map(server).collect();
    let pair = proof.pair();
    let _ = writeln!(text, "{}\n{} ⇄ {}\n", servers.join(" · "), pair.first(), pair.second());
    text += &table(
        &[
            Column::text("layer"),
            Column::wrapped("attack", 62),
            Column::text("outcome"),
            Column::wrapped("control", 52),
        ],
        rows.iter().map(|row| {
            vec![
                row.layer.to_string(),
                row.attack.to_owned(),
                row.outcome().to_string(),
                row.control(),
            ]
        }),
    );
    let blocked = rows.iter().filter(|row| row.outcome() == Outcome::Blocked).count();
    let held = rows.iter().filter(|row| row.controls_held()).count();
    let _ = writeln!(
        text,
        "\n  {} attacks in both directions, {blocked} blocked, {held} controls held    {:.1} s",
        rows.len(),
        proof.took().as_secs_f64(),
    );
    for attempt in proof.attempts().iter().filter(|it| !it.is_blocked()) {
        let _ = writeln!(
            text,
            "\n{}: {}: {}\n  attacker  {}\n  victim    {}\n  evidence  {}\n  control   {}",
            attempt.outcome,
            attempt.layer,
            attempt.attack,
            attempt.attacker,
            attempt.victim,
            attempt.evidence,
            attempt.control.evidence(),
        );
    }
    text
}

fn server(health: &Health) -> String {
    format!("{} {}", health.product, health.version).trim_end().to_owned()
}

/// Renders a proof for a program: `{"attempts": […], "seconds": …}`, one element per attempt and
/// direction.
pub fn proof_json(proof: &Proof) -> Value {
    let attempts: Vec<Value> = proof.attempts().iter().map(attempt_json).collect();
    json!({ "attempts": attempts, "seconds": proof.took().as_secs_f64() })
}

fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "layer": attempt.layer.as_str(),
        "attack": attempt.attack,
        "attacker": attempt.attacker.as_str(),
        "victim": attempt.victim.as_str(),
        "outcome": attempt.outcome,
        "control": if attempt.control.is_held() { "held" } else { "failed" },
        "control_evidence": attempt.control.evidence(),
        "evidence": attempt.evidence,
    })
}
