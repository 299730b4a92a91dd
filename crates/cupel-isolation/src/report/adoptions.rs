use cupel_tenant_db::{Adopted, Phase, Violations};
use serde_json::{Value, json};

use super::orgs::timestamp;
use super::table::{Column, table};

/// Renders how far the adoption of each table is, and what to do next.
pub fn adoption_text(tables: &[Adopted]) -> String {
    if tables.is_empty() {
        return "no tables are declared: name them in [database.tables]\n".to_owned();
    }
    // Two columns more only where they say something.
    let outside =
        tables.iter().any(|it| it.violations.outside_reads + it.violations.outside_writes > 0);
    let counts = |it: &Violations| {
        [
            ("reads without", Some(it.unbound_reads)),
            ("reads of others", Some(it.foreign_reads)),
            ("reads of other workspaces", outside.then_some(it.outside_reads)),
            ("writes without", Some(it.unbound_writes)),
            ("writes of others", Some(it.foreign_writes)),
            ("writes of other workspaces", outside.then_some(it.outside_writes)),
        ]
        .into_iter()
        .filter_map(|(name, count)| Some((name, count?)))
    };
    let columns: Vec<Column> = ["table", "phase", "counted since"]
        .map(Column::text)
        .into_iter()
        .chain(counts(&Violations::default()).map(|(name, _)| Column::number(name)))
        .collect();
    let rows = tables.iter().map(|it| {
        let since = it.since.map(timestamp);
        let counted =
            |(_, count): (_, u64)| since.as_ref().map_or_else(String::new, |_| count.to_string());
        let mut row = vec![it.table.clone(), it.phase.as_str().to_owned()];
        row.push(since.clone().unwrap_or_default());
        row.extend(counts(&it.violations).map(counted));
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
