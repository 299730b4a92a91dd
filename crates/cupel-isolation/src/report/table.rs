use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

/// A column of a [`table`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// Whether its numbers are aligned to the right.
    pub right: bool,
    /// The most characters in a line of it; longer text is wrapped.
    pub width: Option<u16>,
}

impl Column {
    /// A column of text.
    pub const fn text(title: &'static str) -> Self {
        Self { title, right: false, width: None }
    }

    /// A column of text that is wrapped at `width` characters.
    pub const fn wrapped(title: &'static str, width: u16) -> Self {
        Self { title, right: false, width: Some(width) }
    }

    /// A column of numbers.
    pub const fn number(title: &'static str) -> Self {
        Self { title, right: true, width: None }
    }
}

/// Lays out rows in columns, without lines, indented by two spaces.
pub fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // The width of a report does not depend on the terminal, so that logs compare.
    table.force_no_tty().set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.title));
    table.add_rows(rows);
    for (column, spec) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if spec.right {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if let Some(width) = spec.width {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(width + 2)));
        }
    }
    let lines = table.lines().map(|line| format!("  {}", line.trim_end()));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
