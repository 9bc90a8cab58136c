//! The names of a tagging model's outputs, in the formats that models are published with.

use std::collections::HashSet;

use serde::Deserialize;

use super::spec::{LabelFormat, LabelsSpec};

/// The four ratings, from harmless to explicit.
pub const RATINGS: [&str; 4] = ["general", "sensitive", "questionable", "explicit"];

/// Most labels a model may have; the store takes no more.
const MAX_LABELS: usize = 200_000;

/// Longest label in bytes.
const MAX_NAME: usize = 256;

/// What a label is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// What is seen.
    General,
    /// Who is seen.
    Character,
    /// What it belongs to.
    Copyright,
    /// Who made it.
    Artist,
    /// What kind of creature is seen.
    Species,
    /// About the file.
    Meta,
    /// One of the [`RATINGS`].
    Rating,
}

/// One output of a tagging model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Tag name as the model's makers write it; for a rating one of [`RATINGS`].
    pub name: String,
    /// What it is about.
    pub category: Category,
}

impl Category {
    /// The word used in files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Character => "character",
            Self::Copyright => "copyright",
            Self::Artist => "artist",
            Self::Species => "species",
            Self::Meta => "meta",
            Self::Rating => "rating",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [
            Self::General,
            Self::Character,
            Self::Copyright,
            Self::Artist,
            Self::Species,
            Self::Meta,
            Self::Rating,
        ]
        .into_iter()
        .find(|category| category.as_str() == word)
    }

    /// Danbooru's numbers, and 9 for ratings as the taggers have it.
    fn of_number(number: &str) -> Option<Self> {
        match number {
            "0" => Some(Self::General),
            "1" => Some(Self::Artist),
            "3" => Some(Self::Copyright),
            "4" => Some(Self::Character),
            "5" => Some(Self::Meta),
            "9" => Some(Self::Rating),
            _ => None,
        }
    }
}

/// Reads a labels file; the error says what is wrong, with the line.
pub(crate) fn parse(text: &str, spec: &LabelsSpec) -> Result<Vec<Label>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut labels = match spec.format {
        LabelFormat::Lines => lines(text),
        LabelFormat::Csv => table(text, Category::of_word)?,
        LabelFormat::SelectedTags => table(text, Category::of_number)?,
    };
    map_ratings(&mut labels, spec)?;
    check(&labels)?;
    Ok(labels)
}

fn lines(text: &str) -> Vec<Label> {
    // A line is an output, so an empty one in the middle must not shift those after it: it stays
    // and is refused by `check`.
    text.trim_end()
        .lines()
        .map(|line| Label {
            name: line.trim().to_owned(),
            category: Category::General,
        })
        .collect()
}

fn table(text: &str, category: fn(&str) -> Option<Category>) -> Result<Vec<Label>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|cause| cause.to_string())?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|field| field == name)
            .ok_or_else(|| format!("the first line must name the column '{name}'"))
    };
    let (name_column, category_column) = (column("name")?, column("category")?);
    let mut labels = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|cause| cause.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let word = record.get(category_column).unwrap_or_default();
        let category =
            category(word).ok_or_else(|| format!("line {line}: category '{word}' is not known"))?;
        labels.push(Label {
            name: record.get(name_column).unwrap_or_default().to_owned(),
            category,
        });
    }
    Ok(labels)
}

fn map_ratings(labels: &mut [Label], spec: &LabelsSpec) -> Result<(), String> {
    for (from, to) in &spec.ratings {
        let found = labels.iter_mut().find(|label| label.name == *from);
        let label = found.ok_or_else(|| {
            format!("[labels.ratings] names '{from}', which is not in the labels file")
        })?;
        label.name.clone_from(to);
        label.category = Category::Rating;
    }
    Ok(())
}

fn check(labels: &[Label]) -> Result<(), String> {
    if labels.is_empty() {
        return Err("there is no label in it".into());
    }
    if labels.len() > MAX_LABELS {
        return Err(format!("more than {MAX_LABELS} labels"));
    }
    let mut seen = HashSet::with_capacity(labels.len());
    for (index, label) in labels.iter().enumerate() {
        let name = &label.name;
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(format!(
                "label {index} ({name:?}) must have 1 to {MAX_NAME} bytes and no control characters"
            ));
        }
        if label.category == Category::Rating && !RATINGS.contains(&name.as_str()) {
            return Err(format!(
                "label {index} is a rating called '{name}'; say which of {} it means in \
                 [labels.ratings] of model.toml",
                RATINGS.join(", ")
            ));
        }
        if !seen.insert((label.category, name)) {
            return Err(format!("label {index} ('{name}') is there twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(format: LabelFormat) -> LabelsSpec {
        LabelsSpec {
            file: "labels".into(),
            format,
            ratings: [].into(),
        }
    }

    fn label(name: &str, category: Category) -> Label {
        Label {
            name: name.into(),
            category,
        }
    }

    #[test]
    fn selected_tags_are_read_with_ratings_and_quotes() {
        let text = "tag_id,name,category,count\n9999999,general,9,807858\n\
                    470575,1girl,0,4225150\n1,\"a,b\",4,12\n";
        let labels = parse(text, &spec(LabelFormat::SelectedTags)).unwrap();
        assert_eq!(
            labels,
            [
                label("general", Category::Rating),
                label("1girl", Category::General),
                label("a,b", Category::Character),
            ]
        );
    }

    #[test]
    fn our_own_table_uses_words_and_may_start_with_a_byte_order_mark() {
        let text = "\u{feff}name,category\r\nmonochrome,meta\r\nred_theme,general\r\n";
        let labels = parse(text, &spec(LabelFormat::Csv)).unwrap();
        assert_eq!(labels[0], label("monochrome", Category::Meta));
        assert_eq!(labels[1], label("red_theme", Category::General));
    }

    #[test]
    fn lines_keep_their_order_and_may_map_ratings() {
        let mut spec = spec(LabelFormat::Lines);
        spec.ratings.insert("rating:safe".into(), "general".into());
        let labels = parse("sky\nrating:safe\ncat\n\n", &spec).unwrap();
        assert_eq!(labels.len(), 3);
        assert_eq!(labels[1], label("general", Category::Rating));
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_the_reason() {
        let cases = [
            (LabelFormat::Csv, "", "column 'name'"),
            (LabelFormat::Csv, "name,category\n", "no label"),
            (LabelFormat::Csv, "name,kind\na,b\n", "column 'category'"),
            (
                LabelFormat::Csv,
                "name,category\na,0\n",
                "line 2: category '0'",
            ),
            (LabelFormat::Csv, "name,category\na\n", "record"),
            (
                LabelFormat::SelectedTags,
                "name,category\na,2\n",
                "category '2'",
            ),
            (
                LabelFormat::SelectedTags,
                "name,category\nsafe,9\n",
                "[labels.ratings]",
            ),
            (LabelFormat::Lines, "a\nb\na\n", "there twice"),
            (LabelFormat::Lines, "a\n\nb\n", "label 1"),
            (LabelFormat::Lines, "a\u{1}b\n", "control characters"),
        ];
        for (format, text, expected) in cases {
            let error = parse(text, &spec(format)).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
