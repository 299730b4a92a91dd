//! What the bodies of functions touch.

use std::collections::{HashMap, HashSet};

use super::{Function, Oid, Relation, Right};
use crate::audit::expr::Surroundings;

/// Relations, and with whose rights they are touched: `None` is whoever calls.
pub(super) type Touched = HashSet<(Option<Oid>, Oid)>;

/// The words of a body in lower case, without its comments.
pub(super) fn words(body: &str) -> HashSet<String> {
    words_of(&without_comments(body))
}

fn words_of(code: &str) -> HashSet<String> {
    code.split(|it: char| !(it.is_alphanumeric() || it == '_' || it == '$'))
        .filter(|it| !it.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// The body with a space for each comment. What looks like one inside quotes is none.
pub(super) fn without_comments(body: &str) -> String {
    let mut kept = String::new();
    let mut rest = body;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else {
            let escapes = first == '\'' && kept.ends_with(['e', 'E']);
            let length = match first {
                '\'' | '"' => quoted(rest, first, escapes),
                _ => first.len_utf8(),
            };
            kept.push_str(rest.get(..length).unwrap_or_default());
            rest = rest.get(length..).unwrap_or_default();
            continue;
        };
        kept.push(' ');
        rest = rest.get(length..).unwrap_or_default();
    }
    kept
}

/// The length of what stands between two quotes, with them. Two quotes in a row are the end of one such text and the
/// beginning of another, which is as good here; behind an `E`, a backslash takes the next character with it.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut escaped = false;
    for (at, it) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if escapes && it == '\\' {
            escaped = true;
        } else if it == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of the comment that the text begins with. They nest.
fn comment(text: &str) -> usize {
    let mut depth = 0;
    let signs = text.match_indices("/*").map(|it| (it.0, 1));
    let mut signs: Vec<(usize, i32)> =
        signs.chain(text.match_indices("*/").map(|it| (it.0, -1))).collect();
    signs.sort_unstable();
    for (at, step) in signs {
        depth += step;
        if depth == 0 {
            return at + 2;
        }
    }
    text.len()
}

/// Functions of the server and of what comes with it that run the text they are given.
const RUNNERS: [&str; 23] = [
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstabn",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_rewrite",
    "ts_stat",
    "xpath_table",
];

/// Whether a body calls the function: its name stands before a parenthesis, with its schema or without one.
fn calls(code: &str, function: &Function) -> bool {
    let bare = function.name.get(function.schema.len() + 1..).unwrap_or_default();
    let lower = code.to_lowercase();
    let is_part = |it: char| it.is_alphanumeric() || it == '_' || it == '$';
    lower.match_indices(&bare.to_lowercase()).any(|(at, name)| {
        let before = lower.get(..at).unwrap_or_default().trim_end_matches('"');
        let after = lower.get(at + name.len()..).unwrap_or_default().trim_start_matches('"');
        if !after.trim_start().starts_with('(') || before.ends_with(is_part) {
            return false;
        }
        match before.strip_suffix('.') {
            Some(schema) => schema.trim_end_matches('"').ends_with(&function.schema.to_lowercase()),
            None => true,
        }
    })
}

/// Whether a body names the relation. A name that is not one word is looked for as it is.
fn names(lower: &str, words: &HashSet<String>, name: &str) -> bool {
    let is_word = |it: char| it.is_alphanumeric() || it == '_' || it == '$';
    if name.chars().all(is_word) { words.contains(name) } else { lower.contains(name) }
}

/// Says what each function touches. A body that is text is searched for the names of tables and views:
/// a name that stands in it by chance counts as touched.
pub(super) fn resolve(
    functions: &mut HashMap<Oid, Function>,
    relations: &HashMap<Oid, Relation>,
    reads: &HashMap<Oid, Vec<Oid>>,
    known: &Surroundings,
) {
    let mut by_name: HashMap<String, Vec<Oid>> = HashMap::new();
    for relation in relations.values().filter(|it| it.is_of_orgs() || reads.contains_key(&it.oid)) {
        by_name.entry(relation.name.to_lowercase()).or_default().push(relation.oid);
    }
    let mut callees: HashMap<String, Vec<Oid>> = HashMap::new();
    for function in functions.values() {
        let last = function.name.rsplit('.').next().unwrap_or_default();
        callees.entry(last.to_lowercase()).or_default().push(function.oid);
    }
    let context: Vec<String> = known
        .functions
        .keys()
        .filter_map(|it| it.rsplit('.').next())
        .map(str::to_lowercase)
        .collect();
    let mut called_by: HashMap<Oid, Vec<Oid>> = HashMap::new();
    for function in functions.values_mut() {
        if function.is_opaque() {
            continue;
        }
        let code = without_comments(&function.body);
        let lower = code.to_lowercase();
        let words = words_of(&code);
        function.verbs = verbs(&words);
        function.dynamic = function.language == "plpgsql" && words.contains("execute")
            || RUNNERS.iter().any(|it| words.contains(*it));
        function.sets = words.contains("set_config");
        function.reads_context = known.contexts.iter().any(|it| code.contains(it.as_str()))
            || context.iter().any(|it| words.contains(it));
        let of_row = words.contains("new") || words.contains("old");
        function.notifies =
            (words.contains("pg_notify") || words.contains("notify")).then_some(of_row);
        let named = by_name.iter().filter(|it| names(&lower, &words, it.0)).flat_map(|it| it.1);
        let touched: HashSet<Oid> = if function.depends.is_empty() {
            named.copied().collect()
        } else {
            function.depends.iter().copied().filter(|it| relations.contains_key(it)).collect()
        };
        let owner = function.definer.then_some(function.owner);
        function.touches = touched.into_iter().map(|it| (owner, it)).collect();
        let called = words.iter().filter_map(|it| callees.get(it)).flatten();
        called_by.insert(function.oid, called.copied().filter(|it| *it != function.oid).collect());
    }
    for (caller, callees) in &called_by {
        let Some(body) = functions.get(caller).map(|it| without_comments(&it.body)) else {
            continue;
        };
        let called =
            callees.iter().filter_map(|it| functions.get(it)).filter(|it| calls(&body, it));
        let called: Vec<Oid> = called.map(|it| it.oid).collect();
        if let Some(caller) = functions.get_mut(caller) {
            caller.calls = called;
        }
    }
    spread(functions, &called_by);
}

/// What statements with these words may do to rows. Whatever touches a table may read it.
fn verbs(words: &HashSet<String>) -> u32 {
    let does = |verbs: &[&str]| verbs.iter().any(|it| words.contains(*it));
    let all = does(&["execute", "merge", "copy"]);
    [
        (Right::Select, true),
        (Right::Insert, all || does(&["insert"])),
        (Right::Update, all || does(&["update"])),
        (Right::Delete, all || does(&["delete", "truncate"])),
    ]
    .into_iter()
    .filter(|it| it.1)
    .fold(0, |bits, it| bits | it.0.bit())
}

/// Hands what a callee touches to its callers, until nothing is new.
fn spread(functions: &mut HashMap<Oid, Function>, called_by: &HashMap<Oid, Vec<Oid>>) {
    loop {
        let mut more: Vec<(Oid, Touched, bool, u32)> = Vec::new();
        for (caller, callees) in called_by {
            let Some(function) = functions.get(caller) else { continue };
            let owner = function.definer.then_some(function.owner);
            let called = callees.iter().filter_map(|it| functions.get(it));
            let mut dynamic = function.dynamic;
            let mut verbs = function.verbs;
            let mut touched = HashSet::new();
            for callee in called {
                dynamic |= callee.dynamic && !callee.definer;
                verbs |= callee.verbs;
                let seen = callee.touches.iter().map(|(by, what)| (by.or(owner), *what));
                touched.extend(seen.filter(|it| !function.touches.contains(it)));
            }
            if !touched.is_empty() || dynamic != function.dynamic || verbs != function.verbs {
                more.push((*caller, touched, dynamic, verbs));
            }
        }
        if more.is_empty() {
            return;
        }
        for (caller, touched, dynamic, verbs) in more {
            if let Some(function) = functions.get_mut(&caller) {
                function.touches.extend(touched);
                function.dynamic = dynamic;
                function.verbs = verbs;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_taken_out_and_nothing_else() {
        for (body, kept) in [
            ("a -- b\nc", "a  \nc"),
            ("a /* b /* c */ d */ e", "a   e"),
            ("a ' -- ' b", "a ' -- ' b"),
            ("a 'it''s -- ' b -- c", "a 'it''s -- ' b  "),
            (r"a E'it\'s -- ' b", r"a E'it\'s -- ' b"),
            ("a \"/* b\" c", "a \"/* b\" c"),
            ("a /* b", "a  "),
            ("a 'b", "a 'b"),
        ] {
            assert_eq!(without_comments(body), kept, "{body}");
        }
    }
}
