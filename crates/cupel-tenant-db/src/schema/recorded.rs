//! What a migrated database says of itself, without asking it: nothing of the database is run to learn it.

use super::Whole;

/// What `cupel.settings()` gives, read from its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) column_type: String,
    pub(crate) app: Option<String>,
    pub(crate) admin: Option<String>,
    pub(crate) mode: String,
}

impl Recorded {
    /// Reads the body; `None` if it is not a list of texts.
    pub(crate) fn parse(body: &str) -> Option<Self> {
        let mut rest = body.trim().strip_prefix("SELECT ")?;
        let mut texts = Vec::new();
        // A later version may say more.
        while texts.len() < 4 {
            let (text, after) = match rest.strip_prefix("NULL") {
                Some(after) => (None, after),
                None => {
                    let (text, after) = quoted(rest)?;
                    (Some(text), after)
                }
            };
            texts.push(text);
            let after = after.strip_prefix("::text")?;
            rest = after.strip_prefix(", ").unwrap_or(after);
        }
        let mut texts = texts.into_iter();
        let (column_type, app, admin) = (texts.next()??, texts.next()?, texts.next()?);
        Some(Self { column_type, app, admin, mode: texts.next()?? })
    }

    /// What a migration with these settings declares, as far as they say it; `None` if this version knows
    /// no such thing.
    pub(crate) fn whole(&self, strict: bool) -> Option<Whole> {
        let column_type = crate::ColumnType::parse(&self.column_type)?;
        Some(Whole { column_type, mode: crate::ContextMode::parse(&self.mode)?, strict })
    }
}

/// A text as [`literal`](super::literal) quotes it, or without escapes, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let escapes = text.starts_with('E');
    let inner = text.strip_prefix('E').unwrap_or(text).strip_prefix('\'')?;
    let mut read = String::new();
    let mut characters = inner.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if characters.next_if(|it| it.1 == '\'').is_none() => {
                return Some((read, inner.get(at + 1..)?));
            }
            '\\' if escapes => read.push(characters.next()?.1),
            other => read.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{installation, routines};
    use crate::{ColumnType, ContextMode};

    #[test]
    fn what_a_migration_says_of_itself_is_read_back() {
        for (app, admin) in [("app", None), (r"it's \ app", Some(r#"a", 'b'::text, \'"#))] {
            for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
                let whole = Whole { column_type: ColumnType::Text, mode, strict: false };
                let made = routines(&installation(&whole, app, admin));
                let body = made.iter().find(|it| it.routine.name == "settings");
                let read = body.and_then(|it| Recorded::parse(&it.routine.body));
                let expected = Recorded {
                    column_type: "text".to_owned(),
                    app: Some(app.to_owned()),
                    admin: admin.map(str::to_owned),
                    mode: mode.as_str().to_owned(),
                };
                assert_eq!(read, Some(expected));
            }
        }
        for body in ["SELECT evil()", "SELECT 'a'", "SELECT 'a'::text, NULL::text", ""] {
            assert_eq!(Recorded::parse(body), None, "{body}");
        }
    }
}
