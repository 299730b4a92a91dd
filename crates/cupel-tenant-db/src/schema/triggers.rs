//! The triggers on tables of the schema `cupel`, read out of the statements that make them.

/// A trigger that a migration makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MadeTrigger {
    /// With its schema.
    pub(crate) table: String,
    pub(crate) name: String,
    /// The function that it runs, with its schema.
    pub(crate) function: String,
    /// The statement that makes it. Its parts are in the order in which the server writes them out.
    pub(crate) definition: String,
    /// Whether no setting of a session keeps it from firing.
    pub(crate) always: bool,
}

impl MadeTrigger {
    /// The statement that lets it fire as the migration does.
    pub(crate) fn enable(&self) -> String {
        let always = if self.always { "ALWAYS " } else { "" };
        format!("ALTER TABLE {} ENABLE {always}TRIGGER {}", self.table, self.name)
    }
}

/// What is made by these statements.
pub(crate) fn triggers(sql: &str) -> Vec<MadeTrigger> {
    let statements = sql.split("CREATE OR REPLACE TRIGGER ").skip(1);
    let statements = statements.filter_map(|it| it.split(';').next());
    let made = statements.filter_map(|statement| {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|it| *it == word)?;
            words.get(at + 1).map(|it| (*it).to_owned())
        };
        let mut trigger = MadeTrigger {
            table: after("ON")?,
            name: (*words.first()?).to_owned(),
            function: after("FUNCTION")?.trim_end_matches("()").to_owned(),
            definition: format!("CREATE TRIGGER {}", words.join(" ")),
            always: true,
        };
        trigger.always = sql.contains(&format!("{};", trigger.enable()));
        Some(trigger)
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Whole, installation};

    #[test]
    fn every_trigger_of_the_schema_is_read() {
        let sql = installation(&Whole::default(), "app", Some("admin"));
        let made = triggers(&sql);
        assert_eq!(made.len(), sql.matches(" TRIGGER ").count() - 1, "one is enabled by itself");
        let read: Vec<_> =
            made.iter().map(|it| (&*it.table, &*it.name, &*it.function, it.always)).collect();
        let expected = [
            ("cupel.access_log", "keep", "cupel.keep_access_log", true),
            ("cupel.organizations", "count_refusal", "cupel.count_refusal", false),
        ];
        assert_eq!(read, expected);
    }
}
