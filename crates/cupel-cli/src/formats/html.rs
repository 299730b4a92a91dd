use askama::Template;
use cupel_isolation::audit::Audited;
use cupel_isolation::report::{alike, fix_lines, meaning, visible};
use cupel_isolation::{Finding, Severity};
use jiff::Timestamp;

/// The page. The template escapes every value that it writes.
#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    audited: &'a Audited,
    at: Timestamp,
    groups: Vec<Group<'a>>,
}

struct Group<'a> {
    severity: Severity,
    meaning: &'static str,
    count: usize,
    /// Whether its findings are shown before anybody asks for them.
    open: bool,
    cards: Vec<Card<'a>>,
}

/// Findings that differ in their object only.
struct Card<'a> {
    first: &'a Finding,
    findings: &'a [Finding],
}

/// Renders a page that needs nothing but itself.
pub(crate) fn html(audited: &Audited) -> Result<String, askama::Error> {
    let groups = audited.report.findings.chunk_by(|a, b| a.severity == b.severity);
    let groups = groups.filter_map(|findings| {
        let severity = findings.first()?.severity;
        let cards = alike(findings)
            .filter_map(|findings| Some(Card { first: findings.first()?, findings }));
        Some(Group {
            severity,
            meaning: meaning(severity),
            count: findings.len(),
            open: severity >= Severity::High,
            cards: cards.collect(),
        })
    });
    Page { audited, at: Timestamp::now(), groups: groups.collect() }.render()
}
