use std::collections::BTreeMap;

use cupel_isolation::audit::Audited;
use cupel_isolation::report::{fix_lines, meaning, visible};
use cupel_isolation::{Finding, Severity};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use serde_sarif::sarif::{
    ArtifactLocation, Location, LogicalLocation, Message, MultiformatMessageString,
    PhysicalLocation, PropertyBag, Region, ReportingConfiguration, ReportingDescriptor,
    Result as Found, ResultLevel, Run, Sarif, Tool, ToolComponent,
};

/// What stands in the path of a URI as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Renders a log of SARIF 2.1.0, with what GitHub's code scanning asks for beyond it: a rule's severity as
/// a number, and a place in a file.
pub(crate) fn sarif(audited: &Audited) -> Result<String, serde_json::Error> {
    let findings = &audited.report.findings;
    let mut rules: Vec<&Finding> = Vec::new();
    for finding in findings {
        // The worst come first, so that the rule is as bad as the worst of its findings.
        if !rules.iter().any(|it| it.rule == finding.rule) {
            rules.push(finding);
        }
    }
    let driver = ToolComponent::builder()
        .name("cupel audit")
        .semantic_version(env!("CARGO_PKG_VERSION"))
        .information_uri(env!("CARGO_PKG_REPOSITORY"))
        .rules(rules.iter().map(|it| rule(it)).collect::<Vec<_>>())
        .build();
    let run = Run::builder()
        .tool(Tool::builder().driver(driver).build())
        .results(findings.iter().map(found).collect::<Vec<_>>())
        .properties(properties([
            ("server", json!(audited.report.server)),
            ("database", json!(audited.database)),
            ("role", json!(audited.app_role)),
            ("known", json!(audited.known)),
        ]))
        .build();
    let log = Sarif::builder()
        .version("2.1.0")
        .schema("https://json.schemastore.org/sarif-2.1.0.json")
        .runs(vec![run])
        .build();
    serde_json::to_string_pretty(&log).map(|text| text + "\n")
}

fn rule(finding: &Finding) -> ReportingDescriptor {
    let text = |text: &str| MultiformatMessageString::builder().text(text).build();
    let level = json!(level(finding.severity).to_string());
    ReportingDescriptor::builder()
        .id(finding.rule)
        .short_description(text(&visible(&finding.problem)))
        .full_description(text(&format!("It allows {}.", visible(&finding.allows))))
        .default_configuration(ReportingConfiguration::builder().level(level).build())
        .properties(properties([
            ("security-severity", json!(score(finding.severity))),
            ("tags", json!(["security"])),
        ]))
        .build()
}

fn found(finding: &Finding) -> Found {
    let object = visible(&finding.object);
    let (problem, allows) = (visible(&finding.problem), visible(&finding.allows));
    let fix = fix_lines(&finding.fix).join("\n");
    let text = format!("{object}: {problem}. It allows {allows}.\n\n{fix}");
    Found::builder()
        .rule_id(finding.rule)
        .level(level(finding.severity))
        .message(Message::builder().text(text).build())
        .locations(vec![location(finding)])
        .partial_fingerprints(BTreeMap::from([("cupel/v1".to_owned(), finding.fingerprint())]))
        .properties(properties([
            ("severity", json!(finding.severity.as_str())),
            ("meaning", json!(meaning(finding.severity))),
            ("fix", json!(finding.fix)),
        ]))
        .build()
}

/// A database has no files; the object's name stands for one, for readers that insist on it.
fn location(finding: &Finding) -> Location {
    let uri = format!("{}/{}", finding.layer, utf8_percent_encode(&finding.object, PATH));
    let physical = PhysicalLocation::builder()
        .artifact_location(ArtifactLocation::builder().uri(uri).build())
        .region(Region::builder().start_line(1).build())
        .build();
    let logical = LogicalLocation::builder()
        .fully_qualified_name(finding.object.as_str())
        .kind("object")
        .build();
    Location::builder().physical_location(physical).logical_locations(vec![logical]).build()
}

fn properties<const N: usize>(of: [(&str, Value); N]) -> PropertyBag {
    let of = of.map(|(name, value)| (name.to_owned(), value));
    PropertyBag::builder().additional_properties(BTreeMap::from(of)).build()
}

fn level(severity: Severity) -> ResultLevel {
    match severity {
        Severity::Critical | Severity::High => ResultLevel::Error,
        Severity::Medium | Severity::Low => ResultLevel::Warning,
        _ => ResultLevel::Note,
    }
}

/// A number of the band that GitHub gives the same name.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        _ => "0.0",
    }
}
