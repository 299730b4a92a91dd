//! What the bodies of functions touch.

use std::collections::{HashMap, HashSet};

use super::{Function, Oid, Relation, Right};
use crate::audit::expr::Surroundings;

/// Relations, and with whose rights they are touched: `None` is whoever calls.
pub(super) type Touched = HashSet<(Option<Oid>, Oid)>;

/// The words of a body in lower case, without its comments.
pub(super) fn words(body: &str) -> HashSet<String> {
    without_comments(body)
        .split(|it: char| !(it.is_alphanumeric() || it == '_' || it == '$'))
        .filter(|it| !it.is_empty())
        .map(str::to_lowercase)
        .collect()
}

pub(super) fn without_comments(body: &str) -> String {
    let mut kept = String::new();
    let mut rest = body;
    while let Some(at) = rest.find("/*") {
        kept.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).and_then(|it| it.split_once("*/")).map_or("", |it| it.1);
        kept.push(' ');
    }
    kept.push_str(rest);
    kept.lines()
        .map(|line| line.split_once("--").map_or(line, |it| it.0))
        .collect::<Vec<_>>()
        .join("\n")
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
    let mut calls: HashMap<Oid, Vec<Oid>> = HashMap::new();
    for function in functions.values_mut() {
        if function.is_opaque() {
            continue;
        }
        let words = words(&function.body);
        function.verbs = verbs(&words);
        function.dynamic = function.language == "plpgsql" && words.contains("execute");
        function.reads_context =
            known.contexts.iter().any(|it| function.body.contains(it.as_str()))
                || context.iter().any(|it| words.contains(it));
        let of_row = words.contains("new") || words.contains("old");
        function.notifies =
            (words.contains("pg_notify") || words.contains("notify")).then_some(of_row);
        let named = words.iter().filter_map(|it| by_name.get(it)).flatten();
        let touched: HashSet<Oid> = if function.depends.is_empty() {
            named.copied().collect()
        } else {
            function.depends.iter().copied().filter(|it| relations.contains_key(it)).collect()
        };
        let owner = function.definer.then_some(function.owner);
        function.touches = touched.into_iter().map(|it| (owner, it)).collect();
        let called = words.iter().filter_map(|it| callees.get(it)).flatten();
        calls.insert(function.oid, called.copied().filter(|it| *it != function.oid).collect());
    }
    spread(functions, &calls);
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
fn spread(functions: &mut HashMap<Oid, Function>, calls: &HashMap<Oid, Vec<Oid>>) {
    loop {
        let mut more: Vec<(Oid, Touched, bool, u32)> = Vec::new();
        for (caller, callees) in calls {
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
