use std::borrow::Cow;
use std::fmt::Write;

use cupel_tenant::{Finding, Severity};
use cupel_tenant_db::PolicyCheck;
use serde_json::{Value, json};

use crate::audit::Audited;

/// Renders what an audit found for a reader: the worst first, each with what it allows and its fix.
pub fn audit_text(audited: &Audited) -> String {
    let findings = &audited.report.findings;
    let mut text = String::new();
    for group in findings.chunk_by(|a, b| a.severity == b.severity) {
        let Some(severity) = group.first().map(|it| it.severity) else { continue };
        let _ = writeln!(text, "{} {severity}: {}\n", group.len(), meaning(severity));
        for findings in alike(group) {
            text += &alike_text(findings);
        }
    }
    let Audited { database, app_role, tenant_column, tables, .. } = audited;
    let which = match audited.declared {
        true => "as declared".to_owned(),
        false => format!("with {tenant_column}"),
    };
    let tables = if *tables == 1 { "1 table".to_owned() } else { format!("{tables} tables") };
    let found = match (counts(findings), audited.known) {
        (found, known) if !findings.is_empty() && known > 0 => format!("{found}, {known} known"),
        (found, _) if !findings.is_empty() => found,
        (_, 0) => "nothing found".to_owned(),
        (_, known) => format!("nothing new found, {known} known"),
    };
    let policies = match audited.report.policies {
        Some(PolicyCheck::Made) => ", policies against those that this server makes",
        Some(PolicyCheck::Recorded) => ", policies against what the migration recorded",
        Some(PolicyCheck::Unread) => {
            ", policies against nothing: who asked may not read the migration's record"
        }
        _ => "",
    };
    let looked = format!(
        "{tables} {which}, role {app_role}{policies}; {database}, PostgreSQL {}",
        audited.report.server
    );
    let _ = writeln!(text, "{found}; looked at {}", visible(&looked));
    text
}

/// Returns neighbours that differ in their object and its fix only, together.
pub fn alike(findings: &[Finding]) -> impl Iterator<Item = &[Finding]> {
    findings.chunk_by(|a, b| {
        (a.severity, a.rule, &a.problem, &a.allows) == (b.severity, b.rule, &b.problem, &b.allows)
    })
}

fn alike_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for (at, finding) in findings.iter().enumerate() {
        if at == 0 {
            let level = match finding.severity {
                Severity::Critical | Severity::High => "error",
                Severity::Medium | Severity::Low => "warning",
                _ => "note",
            };
            let _ = writeln!(text, "{level}[{}]: {}", finding.rule, visible(&finding.problem));
        }
        let _ = writeln!(text, "  object  {}", visible(&finding.object));
        if at == 0 {
            let _ = writeln!(text, "  allows  {}", visible(&finding.allows));
        }
        let fix = fix_lines(&finding.fix).join("\n          ");
        let _ = writeln!(text, "  fix     {fix}");
    }
    text + "\n"
}

/// Returns the fix of a finding with each of its statements on a line of its own, and as [`visible`] as the
/// rest.
pub fn fix_lines(fix: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut quote = None;
    let mut rest = fix.chars();
    while let Some(it) = rest.next() {
        let Some(line) = lines.last_mut() else { break };
        line.push(it);
        match quote {
            Some(open) if open == it => quote = None,
            None if it == '\'' || it == '"' => quote = Some(it),
            // A statement begins with a word in capitals; after another semicolon goes on what is said.
            None if it == ';' => {
                let next = rest.as_str().strip_prefix(' ').unwrap_or_default();
                if next.len() > 2 && next.chars().take(3).all(|it| it.is_ascii_uppercase()) {
                    rest.next();
                    lines.push(String::new());
                }
            }
            _ => {}
        }
    }
    if let [_, .., last] = &mut lines[..] {
        last.push(';');
    }
    lines.iter().map(|line| visible(line).into_owned()).collect()
}

/// Returns how many findings there are of each severity, as `2 critical, 1 low`.
fn counts(findings: &[Finding]) -> String {
    let counts = Severity::ALL.into_iter().rev().filter_map(|severity| {
        let count = findings.iter().filter(|it| it.severity == severity).count();
        (count > 0).then(|| format!("{count} {severity}"))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// Returns what findings of a severity come to, in words.
pub fn meaning(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "an organization reads or writes rows of another now",
        Severity::High => {
            "an organization can learn what exists elsewhere, or is one step from its rows"
        }
        Severity::Medium => "a second mistake would break isolation",
        Severity::Low => "isolation holds, and would hold better",
        _ => "isolation holds, and a reader may want to know",
    }
}

/// Renders the same for a program:
/// `{"server", "tables", "policies", "findings": [{"rule", "severity", "object", "title", "allows", "fix", "fingerprint"}]}`.
pub fn audit_json(audited: &Audited) -> Value {
    let findings: Vec<Value> = audited
        .report
        .findings
        .iter()
        .map(|it| {
            json!({
                "rule": it.rule,
                "severity": it.severity,
                "object": it.object,
                "title": it.problem,
                "allows": it.allows,
                "fix": it.fix,
                "fingerprint": it.fingerprint(),
            })
        })
        .collect();
    let policies = audited.report.policies.map(|it| match it {
        PolicyCheck::Made => "made",
        PolicyCheck::Recorded => "recorded",
        _ => "unread",
    });
    json!({
        "server": audited.report.server,
        "tables": audited.tables,
        "policies": policies,
        "findings": findings,
    })
}

/// Returns text of a stranger, such as the name of a table, with every character written out that would
/// steer a terminal, break a line or turn the direction of reading.
pub fn visible(text: &str) -> Cow<'_, str> {
    let steers = |it: char| {
        it.is_control()
            || matches!(it, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for it in text.chars() {
        if steers(it) {
            safe.extend(it.escape_default());
        } else {
            safe.push(it);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_of_a_fix_has_a_line() {
        assert_eq!(fix_lines("add a policy; then see"), ["add a policy; then see"]);
        assert_eq!(fix_lines("DROP TABLE a"), ["DROP TABLE a"]);
        assert_eq!(
            fix_lines(
                "ALTER TABLE \"x; DROP y\" ENABLE ROW LEVEL SECURITY; REVOKE ALL ON a FROM b"
            ),
            ["ALTER TABLE \"x; DROP y\" ENABLE ROW LEVEL SECURITY;", "REVOKE ALL ON a FROM b;"]
        );
    }

    #[test]
    fn what_would_steer_a_terminal_is_written_out() {
        assert_eq!(visible("public.façade <b>"), "public.façade <b>");
        assert_eq!(visible("a\u{1b}[2J\nb\u{202e}c"), "a\\u{1b}[2J\\nb\\u{202e}c");
    }
}
