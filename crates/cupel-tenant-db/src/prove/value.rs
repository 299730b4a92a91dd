use crate::catalog::Column;
use crate::schema::literal;

/// Returns a value for the column in the row number `n`, as SQL: the same for the same number in every
/// organization, and another for every other. `None` if the type is not one that we can make.
pub(crate) fn value(column: &Column, n: u16) -> Option<String> {
    let text = match (column.category.as_str(), column.type_name.as_str()) {
        ("S", _) => string(column.longest, n),
        ("N", _) => (BASE + n).to_string(),
        ("B", _) => "true".to_owned(),
        ("D", "date") => format!("2000-{:02}-{:02}", n / 28 + 1, n % 28 + 1),
        ("D", kind) if kind.starts_with("time ") => format!("00:00:{n:02}"),
        ("D", _) => format!("2000-01-01 00:00:{n:02}"),
        ("T", _) => format!("{n} seconds"),
        ("I", _) => format!("10.0.0.{n}"),
        ("A", _) => "{}".to_owned(),
        ("R", _) => "empty".to_owned(),
        ("E", _) => column.label.clone()?,
        ("U", "uuid") => format!("00000000-0000-4000-8000-{n:012}"),
        ("U", "json" | "jsonb") => "{}".to_owned(),
        ("U", "bytea") => format!("\\x{n:02x}"),
        _ => return None,
    };
    Some(format!("{}::{}", literal(&text), column.type_name))
}

/// Fits a `smallint`, and is not where sequences begin.
const BASE: u16 = 31_000;

/// A valid workspace id, as short as the column wants it.
fn string(longest: Option<i32>, n: u16) -> String {
    let full = format!("cupel-canary-{n}");
    match longest.and_then(|longest| usize::try_from(longest).ok()) {
        Some(longest) if longest < full.len() => n.to_string(),
        _ => full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(category: &str, type_name: &str) -> Column {
        Column {
            name: "c".to_owned(),
            type_name: type_name.to_owned(),
            category: category.to_owned(),
            longest: None,
            label: None,
            required: true,
            generated: false,
        }
    }

    #[test]
    fn makes_values_of_the_usual_types() {
        let made = |category, kind| value(&column(category, kind), 7);
        assert_eq!(made("S", "text").unwrap(), "E'cupel-canary-7'::text");
        assert_eq!(made("N", "smallint").unwrap(), "E'31007'::smallint");
        assert_eq!(made("D", "date").unwrap(), "E'2000-01-08'::date");
        assert_eq!(made("U", "uuid").unwrap(), "E'00000000-0000-4000-8000-000000000007'::uuid");
        assert_eq!(made("U", "bytea").unwrap(), r"E'\\x07'::bytea");
        assert_eq!(made("G", "point"), None);
        let short = Column { longest: Some(3), ..column("S", "character varying(3)") };
        assert_eq!(value(&short, 11).unwrap(), "E'11'::character varying(3)");
    }
}
