//! The rights that a migration grants in the schema `cupel`, read out of the statements that grant them.

/// One right of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// As GRANT takes it: `SCHEMA`, `TABLE`, `ROUTINE` or `PARAMETER`.
    pub(crate) kind: &'static str,
    /// `None` for what is in no schema.
    pub(crate) schema: Option<String>,
    /// Without the arguments of a routine: no two of ours have one name.
    pub(crate) name: String,
    pub(crate) privilege: String,
    pub(crate) role: String,
}

/// What is granted by these statements and not revoked by a later one. Memberships are not looked at.
pub(crate) fn grants(sql: &str) -> Vec<Grant> {
    // Between two `$$` is a body, which is run by others.
    let statements = sql.split("$$").step_by(2).flat_map(|it| it.split(";\n"));
    let mut granted = Vec::new();
    for statement in statements {
        let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(text) = statement.strip_prefix("GRANT ") {
            granted.extend(parsed(text, " TO "));
        } else if let Some(text) = statement.strip_prefix("REVOKE ") {
            let revoked: Vec<_> = parsed(text, " FROM ").collect();
            granted.retain(|it| !revoked.contains(it));
        }
    }
    granted
}

/// Each right of a statement that names several, on several objects; none of one that names no object.
fn parsed<'a>(text: &'a str, to: &str) -> impl Iterator<Item = Grant> + use<'a> {
    let parts = text.split_once(" ON ").and_then(|(rights, rest)| {
        let (objects, role) = rest.rsplit_once(to)?;
        let role = role.trim_end_matches(';').trim_matches('"').replace("\"\"", "\"");
        Some((rights, objects, role))
    });
    parts.into_iter().flat_map(|(rights, objects, role)| {
        let (kind, objects) = match objects.split_once(' ') {
            Some(("SCHEMA", names)) => ("SCHEMA", names),
            Some(("FUNCTION" | "PROCEDURE", names)) => ("ROUTINE", names),
            Some(("PARAMETER", names)) => ("PARAMETER", names),
            _ => ("TABLE", objects),
        };
        names(objects).into_iter().flat_map(move |name| {
            let role = role.clone();
            let (schema, name) = match name.split_once('.') {
                Some((schema, name)) => (Some(schema.to_owned()), name.to_owned()),
                None => (None, name),
            };
            rights.split(", ").map(move |privilege| Grant {
                kind,
                schema: schema.clone(),
                name: name.clone(),
                privilege: privilege.to_owned(),
                role: role.clone(),
            })
        })
    })
}

/// The names of a list, without what stands in parentheses.
fn names(list: &str) -> Vec<String> {
    let mut depth = 0;
    let outside = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    let list: String = list.chars().filter(outside).collect();
    list.split(',').map(|it| it.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContextMode;
    use crate::schema::{Whole, installation};

    #[test]
    fn every_right_is_read() {
        let whole = Whole { mode: ContextMode::Register, ..Whole::default() };
        let granted = grants(&installation(&whole, "app", Some("Admin")));
        let has = |kind, name: &str, privilege: &str, role: &str| {
            granted.iter().any(|it| {
                (it.kind, it.name.as_str(), it.privilege.as_str(), it.role.as_str())
                    == (kind, name, privilege, role)
            })
        };
        for (kind, name, privilege, role) in [
            ("SCHEMA", "cupel", "USAGE", "app"),
            ("SCHEMA", "cupel", "USAGE", "Admin"),
            ("SCHEMA", "cupel", "USAGE", "cupel_guard"),
            ("TABLE", "tenant_tables", "SELECT", "app"),
            ("TABLE", "seal_keys", "SELECT", "cupel_guard"),
            ("TABLE", "organizations", "DELETE", "Admin"),
            ("ROUTINE", "policies_of", "EXECUTE", "app"),
            ("ROUTINE", "log_access", "EXECUTE", "Admin"),
            ("ROUTINE", "enter", "EXECUTE", "app"),
            ("ROUTINE", "set_config", "EXECUTE", "cupel_guard"),
            ("PARAMETER", "backtrace_functions", "SET", "cupel_guard"),
        ] {
            assert!(has(kind, name, privilege, role), "{name} {privilege} {role}: {granted:#?}");
        }
        // The guard makes what it owns, and may make nothing more.
        assert!(!granted.iter().any(|it| it.privilege == "CREATE"), "{granted:#?}");
        assert!(!has("ROUTINE", "log_access", "EXECUTE", "app"));
    }
}
