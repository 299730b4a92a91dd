use std::collections::HashMap;

use super::Expr;
use super::value::{Value, bare};

/// What a condition lets through, from nothing to everything.
///
/// The order is that of a lattice: conditions that are AND-ed are the least of them, and OR-ed the
/// greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// No row.
    Never,
    /// Rows of the organization that the context names.
    Isolates,
    /// It cannot be told from the text.
    Unknown,
    /// Whatever another setting than the context says.
    Switch,
    /// Rows of others where no organization is named.
    FailOpen,
    /// Rows of others.
    Open,
}

/// What a function that a condition calls comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContextFunction {
    /// The organization of the context, or NULL.
    Context,
    /// The organization of the context, or else a constant.
    WithDefault,
    /// Another setting.
    OtherSetting,
}

/// What is known of the database that a condition stands in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) tenant_column: String,
    /// The settings that name the organization.
    pub(crate) contexts: Vec<String>,
    /// Functions by name, with their schema.
    pub(crate) functions: HashMap<String, ContextFunction>,
}

/// Judges conditions of one kind of surroundings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a Surroundings);

impl Reader<'_> {
    /// Judges the text of a condition.
    pub(crate) fn judge(self, text: &str) -> Class {
        self.class(&Expr::read(text))
    }

    /// Judges what a function's text comes to, if it is one expression.
    pub(crate) fn context_function(self, text: &str) -> Option<ContextFunction> {
        match self.value(&Expr::read(text)) {
            Value::Context => Some(ContextFunction::Context),
            Value::ContextOr => Some(ContextFunction::WithDefault),
            Value::Setting => Some(ContextFunction::OtherSetting),
            _ => None,
        }
    }

    fn class(self, expr: &Expr) -> Class {
        match expr {
            Expr::And(parts) => parts.iter().map(|it| self.class(it)).min().unwrap_or(Class::Open),
            Expr::Or(parts) => parts.iter().map(|it| self.class(it)).max().unwrap_or(Class::Never),
            Expr::Bool(true) => Class::Open,
            Expr::Bool(false) | Expr::Null => Class::Never,
            Expr::Cast { of, .. } => self.class(of),
            Expr::Op(sign, sides) if sign == "=" => match sides.as_slice() {
                [left, right] => self.equal(left, right),
                _ => Class::Unknown,
            },
            // Of several, each is compared.
            Expr::Any(left, right)
                if self.value(left) == Value::Tenant && matches!(&**right, Expr::Array(_)) =>
            {
                let Expr::Array(items) = &**right else { return Class::Unknown };
                items.iter().map(|it| self.equal(left, it)).max().unwrap_or(Class::Never)
            }
            Expr::Any(left, right) => match (self.value(left), self.value(right)) {
                (Value::Tenant, Value::Context) => Class::Isolates,
                (Value::Tenant, Value::ContextOr) => Class::FailOpen,
                _ => self.predicate(&[left, right]),
            },
            Expr::Not(inner) => match &**inner {
                Expr::Bool(value) => self.class(&Expr::Bool(!value)),
                Expr::Not(inner) => self.class(inner),
                Expr::Null => Class::Never,
                Expr::Distinct(left, right) => self.equal(left, right),
                // Somebody is named, so every row.
                Expr::IsNull(of) if self.value(of) == Value::Context => Class::Open,
                Expr::And(parts) => parts
                    .iter()
                    .map(|it| self.class(&Expr::Not(Box::new(it.clone()))))
                    .max()
                    .unwrap_or(Class::Never),
                Expr::Or(parts) => parts
                    .iter()
                    .map(|it| self.class(&Expr::Not(Box::new(it.clone()))))
                    .min()
                    .unwrap_or(Class::Open),
                Expr::Op(_, sides) => self.predicate(&sides.iter().collect::<Vec<_>>()),
                Expr::Any(left, right) => self.predicate(&[left, right]),
                Expr::IsNull(of) => self.predicate(&[of]),
                other => self.predicate(&[other]),
            },
            Expr::IsNull(of) => match self.value(of) {
                Value::Context => Class::FailOpen,
                // The rows of nobody.
                Value::Tenant => Class::Isolates,
                _ => self.predicate(&[of]),
            },
            // A pattern made of one organization's name fits the names of others.
            Expr::Op(sign, sides) if sign.starts_with('~') && self.is_pattern_of_context(sides) => {
                Class::Open
            }
            Expr::Op(_, sides) => self.predicate(&sides.iter().collect::<Vec<_>>()),
            Expr::Distinct(left, right) => self.predicate(&[left, right]),
            Expr::Text(text) => match text.as_str() {
                "t" | "true" | "on" | "1" => Class::Open,
                _ => Class::Never,
            },
            // Where nobody is named, a comparison is NULL.
            Expr::Call(name, parts) if name.eq_ignore_ascii_case("coalesce") => {
                match parts.as_slice() {
                    [of, Expr::Bool(true)] if self.class(of) == Class::Isolates => Class::FailOpen,
                    [of, Expr::Bool(false)] => self.class(of),
                    _ => self.predicate(&[expr]),
                }
            }
            Expr::Array(_) | Expr::Opaque => Class::Unknown,
            Expr::Call(..) | Expr::Column(_) => self.predicate(&[expr]),
        }
    }

    fn equal(self, left: &Expr, right: &Expr) -> Class {
        match (self.value(left), self.value(right)) {
            (Value::Null, _) | (_, Value::Null) => Class::Never,
            (Value::Tenant, Value::Context) | (Value::Context, Value::Tenant) => Class::Isolates,
            (Value::Tenant, Value::ContextOr) | (Value::ContextOr, Value::Tenant) => {
                Class::FailOpen
            }
            (Value::Context, Value::Constant) | (Value::Constant, Value::Context) => {
                if [left, right]
                    .iter()
                    .any(|it| matches!(bare(it), Expr::Text(text) if text.is_empty()))
                {
                    Class::FailOpen
                } else {
                    Class::Switch
                }
            }
            _ => self.predicate(&[left, right]),
        }
    }

    fn is_pattern_of_context(self, sides: &[Expr]) -> bool {
        let made_of_context = |it: &Expr| match bare(it) {
            Expr::Op(_, parts) => parts.iter().any(|part| self.value(part) == Value::Context),
            it => self.value(it) == Value::Context,
        };
        matches!(sides, [left, right] if self.value(left) == Value::Tenant && made_of_context(right))
    }

    /// Any other condition on these operands: whatever it lets through, it is not by organization.
    fn predicate(self, operands: &[&Expr]) -> Class {
        let values: Vec<Value> = operands.iter().map(|it| self.value(it)).collect();
        let has = |value| values.contains(&value);
        if has(Value::Unknown) {
            Class::Unknown
        } else if has(Value::Setting) {
            Class::Switch
        } else if has(Value::Context) && has(Value::Row) {
            Class::Unknown
        } else if has(Value::ContextOr) {
            Class::FailOpen
        } else {
            Class::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings() -> Surroundings {
        Surroundings {
            tenant_column: "org_id".to_owned(),
            contexts: vec!["app.current_org_id".to_owned()],
            functions: HashMap::from([("app.org".to_owned(), ContextFunction::Context)]),
        }
    }

    #[test]
    fn conditions_are_told_apart() {
        let known = surroundings();
        let context = "current_setting('app.current_org_id'::text, true)";
        for (text, expected) in [
            ("(org_id = ( SELECT app.org() AS org))".to_owned(), Class::Isolates),
            (format!("(org_id = (NULLIF({context}, ''::text))::uuid)"), Class::Isolates),
            (format!("((org_id)::text = {context})"), Class::Isolates),
            (format!("((n = 3) AND (org_id = {context}))"), Class::Isolates),
            (format!("(org_id = ANY (ARRAY[{context}]))"), Class::Isolates),
            (format!("(org_id IN ( SELECT {context} AS current_setting))"), Class::Isolates),
            (format!("(NOT (org_id IS DISTINCT FROM {context}))"), Class::Isolates),
            (format!("(org_id = (({context})::jsonb ->> 'org'::text))"), Class::Isolates),
            (format!("((org_id = {context}) OR false)"), Class::Isolates),
            ("false".to_owned(), Class::Never),
            ("(org_id = NULL::text)".to_owned(), Class::Never),
            ("true".to_owned(), Class::Open),
            ("(n = 3)".to_owned(), Class::Open),
            ("published".to_owned(), Class::Open),
            (format!("(org_id ~~ ({context} || '%'::text))"), Class::Open),
            ("(NOT hidden)".to_owned(), Class::Open),
            ("(org_id = org_id)".to_owned(), Class::Open),
            ("(org_id = 'acme'::text)".to_owned(), Class::Open),
            (format!("(org_id <> {context})"), Class::Open),
            ("(owner = CURRENT_USER)".to_owned(), Class::Open),
            (format!("({context} IS NOT NULL)"), Class::Open),
            (format!("((org_id = {context}) OR (n = 3))"), Class::Open),
            (format!("((org_id = {context}) OR ({context} IS NULL))"), Class::FailOpen),
            (format!("((org_id = {context}) OR ({context} = ''::text))"), Class::FailOpen),
            (format!("(org_id = COALESCE({context}, 'acme'::text))"), Class::FailOpen),
            (format!("(org_id = COALESCE({context}, org_id))"), Class::FailOpen),
            ("(current_setting('app.admin'::text, true) = 'on'::text)".to_owned(), Class::Switch),
            ("(org_id = current_setting('app.tenant'::text, true))".to_owned(), Class::Switch),
            ("(org_id IN ( SELECT m.org_id FROM app.members m))".to_owned(), Class::Unknown),
            (
                "(EXISTS ( SELECT 1 FROM app.members m WHERE (m.id = t.id)))".to_owned(),
                Class::Unknown,
            ),
            ("app.allowed(org_id)".to_owned(), Class::Unknown),
            (format!("(org_id = ({context})::character varying(3))"), Class::Unknown),
            (format!("(org_id = left({context}, 2))"), Class::Unknown),
            (format!("(tenant = {context})"), Class::Unknown),
            (format!("CASE WHEN true THEN (org_id = {context}) ELSE true END"), Class::Unknown),
            ("not ) sql".to_owned(), Class::Unknown),
        ] {
            assert_eq!(Reader(&known).judge(&text), expected, "{text}");
        }
    }
}
