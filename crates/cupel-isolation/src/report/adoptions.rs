use cupel_tenant_db::{Adopted, Phase};
use serde_json::{Value, json};

use super::orgs::timestamp;
use super::table::{Column, table};

/// Renders how far the adoption of each table is, and what to do next.
pub fn adoption_text(tables: &[Adopted]) -> String {
    if tables.is_empty() {
        return "no tables are declared: name them in [database.tables]\n".to_owned();
    }
    let columns = [
        Column::text("table"),
        Column::text("phase"),
        Column::text("counted since"),
        Column::number("reads without"),
        Column::number("reads of others"),
        Column::number("reads of other workspaces"),
        Column::number("writes without"),
        Column::number("writes of others"),
        Column::number("writes of other workspaces"),
    ];
    let rows = tables.iter().map(|it| {
        let mut row = vec![it.table.clone(), it.phase.as_str().to_owned()];
        let counts = it.violations;
        match it.since {
            Some(since) => {
                row.push(timestamp(since));
                row.extend(
                    [
                        counts.unbound_reads,
                        counts.foreign_reads,
                        counts.outside_reads,
                        counts.unbound_writes,
                        counts.foreign_writes,
                        counts.outside_writes,
                    ]
                    .map(|count| count.to_string()),
                );
            }
            None => row.extend(["", "", "", "", "", "", ""].map(str::to_owned)),
        }
        row
    });
    format!("{}\n{}\n", table(&columns, rows), next(tables))
}

/// What to do next.
fn next(tables: &[Adopted]) -> &'static str {
    let any = |phase| tables.iter().any(|it| it.phase == phase);
    let violated = tables.iter().any(|it| it.violations.total() > 0);
    if any(Phase::Untouched) {
        "next: `cupel adopt shadow` counts what enforcement would block, and blocks nobody"
    } else if violated {
        "next: correct what the server's log shows (it says `cupel:`), then `cupel adopt validate`, which fills children, and `cupel adopt forget` to count anew"
    } else if any(Phase::Shadow) {
        "next: `cupel adopt enforce`, once this was so for as long as the service needs to do everything it does"
    } else {
        "all are isolated"
    }
}

/// Renders the same for a program: `{"tables": [{"table", "phase", "since", "violations"}]}`.
pub fn adoption_json(tables: &[Adopted]) -> Value {
    let tables: Vec<Value> = tables
        .iter()
        .map(|it| {
            json!({
                "table": it.table,
                "phase": it.phase.as_str(),
                "since": it.since.map(timestamp),
                "violations": {
                    "unbound_reads": it.violations.unbound_reads,
                    "foreign_reads": it.violations.foreign_reads,
                    "outside_reads": it.violations.outside_reads,
                    "unbound_writes": it.violations.unbound_writes,
                    "foreign_writes": it.violations.foreign_writes,
                    "outside_writes": it.violations.outside_writes,
                },
            })
        })
        .collect();
    json!({ "tables": tables })
}
