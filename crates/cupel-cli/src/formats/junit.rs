use cupel_isolation::Severity;
use cupel_isolation::audit::Audited;
use cupel_isolation::report::{fix_lines, visible};
use quick_junit::{
    NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite,
};

/// Renders a test case per finding: failed where it is denied, skipped where it is not. Where nothing was
/// found one case passes, for a suite without cases is an error to some readers.
pub(crate) fn junit(audited: &Audited, deny: Severity) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new("cupel audit");
    suite.add_properties(
        [
            ("server", format!("PostgreSQL {}", audited.report.server)),
            ("database", audited.database.clone()),
            ("role", audited.app_role.clone()),
            ("tables", audited.tables.to_string()),
            ("known", audited.known.to_string()),
        ]
        .map(|(name, value)| Property::new(name, visible(&value).as_ref())),
    );
    for finding in &audited.report.findings {
        let mut status = if finding.severity >= deny {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        } else {
            TestCaseStatus::skipped()
        };
        let object = visible(&finding.object);
        let (allows, fix) = (visible(&finding.allows), fix_lines(&finding.fix).join("\n        "));
        status
            .set_type(finding.severity.as_str())
            .set_message(visible(&finding.problem).as_ref())
            .set_description(format!("object  {object}\nallows  {allows}\nfix     {fix}"));
        let mut case = TestCase::new(format!("{} {object}", finding.rule), status);
        case.set_classname(format!("cupel.{}.{}", finding.layer, finding.rule));
        suite.add_test_case(case);
    }
    if audited.report.findings.is_empty() {
        suite.add_test_case(TestCase::new("nothing found", TestCaseStatus::success()));
    }
    let mut report = Report::new("cupel");
    report.add_test_suite(suite);
    report.to_string()
}
