use super::{ContextFunction, Expr, Reader};

/// What an operand is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Context,
    ContextOr,
    Constant,
    Null,
    /// Another setting.
    Setting,
    /// Other columns, the role, the time.
    Row,
    Tenant,
    Unknown,
}

/// Functions and operators of a context that come to the same organization for the same context, and
/// to another for another.
const FAITHFUL: [&str; 8] =
    ["->>", "->", "#>>", "string_to_array", "replace", "translate", "btrim", "convert_from"];

impl Reader<'_> {
    pub(super) fn value(self, expr: &Expr) -> Value {
        match expr {
            Expr::Null => Value::Null,
            Expr::Bool(_) | Expr::Text(_) => Value::Constant,
            Expr::Column(name) if *name == self.0.tenant_column => Value::Tenant,
            Expr::Column(_) => Value::Row,
            Expr::Cast { of, whole } => match self.value(of) {
                lossy @ (Value::Tenant | Value::Context | Value::ContextOr) if !whole => {
                    match lossy {
                        Value::Tenant => Value::Row,
                        _ => Value::Unknown,
                    }
                }
                value => value,
            },
            Expr::Call(name, arguments) => self.call(name, arguments),
            Expr::Op(sign, sides) if FAITHFUL.contains(&sign.as_str()) => self.made_of(sides, true),
            Expr::Op(_, sides) => self.made_of(sides, false),
            Expr::Array(items) => match items.as_slice() {
                [one] => self.value(one),
                several => self.made_of(several, false),
            },
            Expr::Opaque => Value::Unknown,
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Any(..)
            | Expr::Distinct(..)
            | Expr::IsNull(_)
            | Expr::Not(_) => Value::Unknown,
        }
    }

    fn call(self, name: &str, arguments: &[Expr]) -> Value {
        let builtin = name.strip_prefix("pg_catalog.").unwrap_or(name).to_ascii_lowercase();
        match (builtin.as_str(), arguments) {
            ("current_setting", [setting, ..]) => match bare(setting) {
                Expr::Text(setting)
                    if self.0.contexts.iter().any(|it| it.eq_ignore_ascii_case(setting)) =>
                {
                    Value::Context
                }
                Expr::Text(_) => Value::Setting,
                _ => Value::Unknown,
            },
            ("nullif", [value, constant]) if self.value(constant) == Value::Constant => {
                self.value(value)
            }
            ("coalesce", [first, rest @ ..]) => self.coalesce(first, rest),
            ("current_user" | "session_user" | "now" | "pg_backend_pid", []) => Value::Row,
            (faithful, arguments) if FAITHFUL.contains(&faithful) => self.made_of(arguments, true),
            _ => match self.0.functions.get(name) {
                Some(ContextFunction::Context) => Value::Context,
                Some(ContextFunction::WithDefault) => Value::ContextOr,
                Some(ContextFunction::OtherSetting) => Value::Setting,
                None if name.contains('.') || arguments.is_empty() => Value::Unknown,
                None => self.made_of(arguments, false),
            },
        }
    }

    fn coalesce(self, first: &Expr, rest: &[Expr]) -> Value {
        let first = self.value(first);
        let raises = |it: &Expr| matches!(it, Expr::Call(name, _) if name == "cupel.no_tenant");
        let is_nobody = |it: &Expr| {
            raises(it)
                || matches!(bare(it), Expr::Null)
                || matches!(bare(it), Expr::Text(text) if text.is_empty())
        };
        if first == Value::Context && !rest.iter().all(is_nobody) {
            let more = rest.iter().map(|it| self.value(it)).find(|it| !matches!(it, Value::Null));
            return match more {
                Some(Value::Context) => Value::Context,
                Some(Value::Setting) => Value::Setting,
                Some(Value::Constant | Value::Row | Value::Tenant | Value::ContextOr) => {
                    Value::ContextOr
                }
                _ => Value::Unknown,
            };
        }
        first
    }

    /// What is made of several: of the context alone it is the context, if it is made faithfully.
    fn made_of(self, parts: &[Expr], faithfully: bool) -> Value {
        let values: Vec<Value> = parts.iter().map(|it| self.value(it)).collect();
        let has = |value| values.contains(&value);
        if has(Value::Unknown) {
            Value::Unknown
        } else if has(Value::Setting) {
            Value::Setting
        } else if has(Value::Context) || has(Value::ContextOr) {
            let alone = values
                .iter()
                .all(|it| matches!(it, Value::Context | Value::Constant | Value::ContextOr));
            match (faithfully && alone, has(Value::ContextOr)) {
                (true, false) => Value::Context,
                (true, true) => Value::ContextOr,
                (false, _) => Value::Unknown,
            }
        } else if has(Value::Tenant) || has(Value::Row) {
            Value::Row
        } else {
            Value::Constant
        }
    }
}

pub(super) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { of, .. } => bare(of),
        expr => expr,
    }
}
