//! How often the right picture was found, by change and channel.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    change::{Change, Kind},
    trial::CHANNELS,
};

const BEGIN: &str = "<!-- retrieval: begin -->";
const END: &str = "<!-- retrieval: end -->";

/// Counts of one change and one channel.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    asked: u32,
    first: u32,
    in_ten: u32,
}

/// A row for each change, a column for each channel.
#[derive(Debug)]
pub struct Table {
    rows: Vec<(Change, [Cell; CHANNELS.len()])>,
}

impl Table {
    /// Nothing asked yet.
    #[must_use]
    pub fn new(changes: &[Change]) -> Self {
        let empty = [Cell::default(); CHANNELS.len()];
        Self {
            rows: changes.iter().map(|change| (*change, empty)).collect(),
        }
    }

    /// Adds where the right picture stood, from 0; `None` if it was not among the best.
    pub(super) fn add(&mut self, change: Change, channel: usize, place: Option<usize>) {
        let row = self.rows.iter_mut().find(|(known, _)| *known == change);
        if let Some(cell) = row.and_then(|(_, cells)| cells.get_mut(channel)) {
            cell.asked += 1;
            cell.first += u32::from(place == Some(0));
            cell.in_ten += u32::from(place.is_some_and(|place| place < 10));
        }
    }

    /// Share of all questions of a kind that the default blend answered with the right picture first.
    #[must_use]
    pub fn blended_recall(&self, kind: Kind) -> f64 {
        let of_kind = self.rows.iter().filter(|(change, _)| change.kind() == kind);
        let (first, asked) = of_kind.fold((0, 0), |(first, asked), (_, cells)| {
            (first + cells[0].first, asked + cells[0].asked)
        });
        f64::from(first) / f64::from(asked.max(1))
    }

    /// As Markdown: recall@1 / recall@10.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from("| change |");
        for (name, _) in CHANNELS {
            let _ = write!(text, " {name} |");
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(CHANNELS.len()));
        for (change, cells) in &self.rows {
            let _ = write!(text, "\n| {} |", change.name());
            for cell in cells {
                let share = |count: u32| f64::from(count) / f64::from(cell.asked.max(1));
                let _ = write!(
                    text,
                    " {:.2} / {:.2} |",
                    share(cell.first),
                    share(cell.in_ten)
                );
            }
        }
        text.push('\n');
        text
    }
}

/// Puts a text between the marks of a document.
///
/// # Errors
/// If the document lacks them or cannot be written.
pub fn write_between_marks(document: &Path, text: &str) -> Result<()> {
    let old = fs::read_to_string(document)
        .with_context(|| format!("cannot read {}", document.display()))?;
    let missing = || format!("{} needs the lines {BEGIN} and {END}", document.display());
    let (before, rest) = old.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    fs::write(document, format!("{before}{BEGIN}\n{text}{END}{after}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_first_places_of_the_blend_alone() {
        let change = Change::Encoded(80);
        let mut table = Table::new(&[change, Change::Flipped]);
        for place in [Some(0), Some(3), None, Some(0)] {
            table.add(change, 0, place);
            table.add(change, 1, Some(0));
        }
        table.add(Change::Flipped, 0, None);
        assert!((table.blended_recall(Kind::Encoding) - 0.5).abs() < 1e-9);
        let text = table.markdown();
        assert!(text.contains("| 0.50 / 0.75 | 1.00 / 1.00 |"), "{text}");
    }

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let document = folder.path().join("page.md");
        fs::write(&document, format!("a\n{BEGIN}\nold\n{END}\nb\n")).expect("writes");
        write_between_marks(&document, "new\n").expect("has marks");
        let text = fs::read_to_string(&document).expect("reads");
        assert_eq!(text, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        fs::write(&document, "no marks").expect("writes");
        assert!(write_between_marks(&document, "new").is_err());
    }
}
