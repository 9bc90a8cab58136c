//! Columns that line up, without lines around them.

use tabled::{
    builder::Builder,
    settings::{Alignment, Padding, Style, object::Columns},
};

use super::escape;

/// A table being filled.
#[derive(Debug)]
pub(crate) struct Table {
    builder: Builder,
    rows: usize,
    right: Vec<usize>,
}

impl Table {
    /// A table with these headings; one that starts with `>` has its column set to the right, as
    /// numbers are.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut builder = Builder::new();
        builder.push_record(headings.map(|heading| heading.trim_start_matches('>').to_uppercase()));
        let right = (0..N).filter(|column| headings[*column].starts_with('>'));
        Self {
            builder,
            rows: 0,
            right: right.collect(),
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.builder.push_record(cells.map(|cell| escape(&cell)));
        self.rows += 1;
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The text without a last line end; `None` without rows.
    pub(super) fn render(&self) -> Option<String> {
        if self.rows == 0 {
            return None;
        }
        let mut table = self.builder.clone().build();
        table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
        for column in &self.right {
            table.modify(Columns::one(*column), Alignment::right());
        }
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        Some(lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_the_width_that_people_see() {
        let mut table = Table::new(["name", ">posts"]);
        assert_eq!(table.render(), None);
        table.row(["雲".into(), "7".into()]);
        table.row(["blue\ntheme".into(), "1,234".into()]);
        let text = table.render().expect("two rows");
        assert_eq!(
            text,
            "NAME            POSTS\n雲                  7\nblue\\u{a}theme  1,234"
        );
    }
}
