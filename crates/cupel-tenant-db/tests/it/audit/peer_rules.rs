//! Every rule of pgrls 0.57.1: which of ours stands for it, or why what it says is no hole between
//! organizations.

use std::collections::BTreeSet;

use super::cases;

/// Its rule, ours, and what is to be said where ours finds nothing on what it names.
pub(crate) const RULES: &[(&str, &[&str], &str)] = &[
    ("SEC001", &["T1", "T6", "T7"], "nothing is granted on it, or it was declared as shared"),
    ("SEC002", &["T2"], "its rows are no organization's"),
    (
        "SEC003",
        &["P2"],
        "PUBLIC is bound by the condition like everybody: P2 judges what that lets through",
    ),
    ("SEC004", &["P3"], "a restrictive policy closes what the inverted check opens"),
    ("SEC005", &["P2", "P4"], "a restrictive policy holds it, or it lets nothing through"),
    (
        "SEC006",
        &["P2"],
        "USING is the check where there is none; a restrictive policy holds the rest",
    ),
    ("SEC007", &["P2", "P3", "P4", "P5", "P12"], ""),
    (
        "SEC008",
        &["P2"],
        "a restrictive policy holds it, or it binds another role than the application's",
    ),
    ("SEC009", &["T3"], "the table is closed, and nobody reaches anything"),
    ("SEC010", &["T3"], "it lets nothing through"),
    ("SEC011", &["P2"], "a restrictive policy holds it"),
    ("SEC012", &["T3"], "the table is closed, and nobody reaches anything"),
    (
        "SEC013",
        &["S4", "S9"],
        "its function is the owner's, and runs with the rights of whoever writes",
    ),
    (
        "SEC014",
        &["F1", "F5", "F6", "S9"],
        "row security binds its owner, the application cannot call it, or it touches no tenant table",
    ),
    ("SEC015", &["F5"], "the application cannot call it"),
    ("SEC016", &["R1", "A1"], "the application cannot become the role"),
    ("SEC017", &["F2", "F8"], "the application cannot call it"),
    ("SEC018", &["P2", "P5"], "it compares with a role, and a restrictive policy holds it"),
    ("SEC019", &["P10"], ""),
    ("SEC020", &["P2"], "a restrictive policy holds it"),
    ("SEC021", &["P2"], "a restrictive policy holds it"),
    ("SEC022", &[], "what no policy permits is refused"),
    ("SEC023", &["R1"], "the application cannot become the role"),
    (
        "SEC024",
        &["P4", "P5"],
        "a setting without a prefix is none of the context's: P4 or P5 where it decides",
    ),
    ("SEC025", &["P5", "P6"], "a restrictive policy holds it, whatever the other table says"),
    ("SEC026", &["P2"], "a restrictive policy holds it"),
    ("SEC027", &["P2", "P5"], "a restrictive policy holds it"),
    ("SEC028", &["P2"], "a restrictive policy holds it"),
    ("SEC029", &["R1"], "the membership does not let the application become the role"),
    ("SEC030", &["T4"], ""),
    ("SEC031", &["P2", "P12"], "it restricts nothing, and opens nothing"),
    ("SEC032", &["T1", "T5"], "nothing is granted on it"),
    ("SEC033", &["P4", "P5"], "a restrictive policy holds it"),
    ("SEC034", &["P5"], "a restrictive policy holds it"),
    ("SEC035", &["K2"], "the application cannot write it"),
    ("SEC036", &["P5"], "a restrictive policy holds it"),
    ("SEC037", &[], "it lets nothing through"),
    (
        "SEC038",
        &["P2", "P3"],
        "a restrictive policy holds it, or it binds another role than the application's",
    ),
    ("SEC039", &["P2"], "the condition binds the role: P2 judges what it lets through"),
    ("SEC040", &["P2"], "a restrictive policy holds it"),
    ("SEC041", &["T5"], "nothing is granted on the partition"),
    (
        "SEC042",
        &["F1", "F5", "F6", "S9"],
        "row security binds its owner, or it touches no tenant table",
    ),
    ("SEC043", &["T5", "T9"], "nothing is granted on the child"),
    ("SEC044", &["G2"], ""),
    ("SEC045", &[], "a column is an organization's own to read: no other reaches it"),
    ("SEC046", &["P8"], ""),
    (
        "SEC047",
        &["K1"],
        "the key carries the organization, so another's row and a missing one look the same",
    ),
    ("SEC048", &["R3", "T2"], ""),
    ("SEC049", &["T1", "T6"], "nothing is granted to the application"),
    ("SEC050", &["P2"], "a restrictive policy holds it"),
    ("SEC051", &["S3", "T1"], ""),
    ("SEC052", &["V1"], "the application cannot reach the view"),
    ("SEC053", &["T10"], "the application cannot reach the table"),
    ("SEC054", &["V2"], "the application cannot reach the view"),
    ("SEC055", &["P10"], "without a context neither form lets rows through"),
    ("PERF001", &["P9"], ""),
    ("PERF002", &["P9"], ""),
    ("PERF003", &["X2"], "speed"),
    ("PERF004", &["X2"], "speed"),
    ("PERF005", &["X2"], "speed"),
    ("HYG001", &[], "the server refuses such a policy, and drops it with the column"),
    ("HYG002", &[], "a name"),
    ("HYG003", &[], "a duplicate lets nothing more through"),
    ("HYG004", &[], "a test"),
    ("VIEW001", &["V1"], "the application cannot reach the view"),
    (
        "VIEW002",
        &["V1"],
        "where the view reads with the caller's rights, the policies of its tables are the barrier",
    ),
    ("VIEW003", &["V2"], "the application cannot reach it, or V1 finds the view by which it does"),
    ("VIEW004", &["F1", "V1"], "row security binds the function's owner"),
];

#[test]
fn audit_answers_every_rule_of_pgrls_once() {
    let names: BTreeSet<&str> = RULES.iter().map(|it| it.0).collect();
    assert_eq!((names.len(), RULES.len()), (68, 68));
    let ours: BTreeSet<&str> = cases().map(|it| it.rule).collect();
    for (name, stands, answer) in RULES {
        assert!(!stands.is_empty() || !answer.is_empty(), "{name}");
        let unknown = stands.iter().find(|it| !ours.contains(**it));
        assert_eq!(unknown, None, "{name}");
    }
}
