//! Why a query was refused, in words a person can act on.

/// A query that cannot be understood: where, what stood there, what is
/// accepted instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}: `{text}`; {accepted}{}", hint(.suggestion.as_deref()))]
pub struct Error {
    /// What is wrong.
    pub problem: Problem,
    /// Byte offset in the query text where the offending text begins.
    pub at: usize,
    /// The offending text, cut to at most [`MAX_TEXT`] bytes.
    pub text: String,
    /// What would have been accepted, as part of a sentence.
    pub accepted: String,
    /// The word that was probably meant, when one is near.
    pub suggestion: Option<String>,
}

/// Longest piece of a query that an error repeats, bytes.
pub const MAX_TEXT: usize = 64;

/// The kinds of refusal, one per rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Problem {
    /// The text is longer than [`super::MAX_BYTES`].
    #[error("query too long")]
    TooLong,
    /// More than [`super::MAX_TERMS`] terms.
    #[error("too many terms")]
    TooManyTerms,
    /// Parentheses nested deeper than [`super::MAX_DEPTH`].
    #[error("parentheses nested too deeply")]
    TooDeep,
    /// A `"` without its partner.
    #[error("quote is never closed")]
    UnclosedQuote,
    /// Text directly after a closing `"`.
    #[error("text directly after a quote")]
    TextAfterQuote,
    /// A `(` without its partner.
    #[error("parenthesis is never closed")]
    UnclosedGroup,
    /// A `)` without its partner.
    #[error("parenthesis was never opened")]
    UnopenedGroup,
    /// `()`.
    #[error("empty parentheses")]
    EmptyGroup,
    /// `-`, `~`, `and` or `or` without a term where it needs one.
    #[error("nothing for this to apply to")]
    DanglingOperator,
    /// A tag with no name, or a metatag with no value.
    #[error("value is missing")]
    EmptyValue,
    /// `word:` where the word is no metatag and no category.
    #[error("unknown metatag")]
    UnknownMetatag,
    /// A value `rating:` does not know.
    #[error("unknown rating")]
    UnknownRating,
    /// A value `order:` does not know.
    #[error("unknown order")]
    UnknownOrder,
    /// `order:` inside parentheses, or with `-` or `~`, or where a set gives the order.
    #[error("order applies to the whole query and cannot stand here")]
    MisplacedOrder,
    /// A second `order:`.
    #[error("order given twice")]
    RepeatedOrder,
    /// A value `status:` does not know.
    #[error("unknown status")]
    UnknownStatus,
    /// `status:` inside parentheses, or with `-` or `~`.
    #[error("status applies to the whole query and cannot stand here")]
    MisplacedStatus,
    /// A second `status:`.
    #[error("status given twice")]
    RepeatedStatus,
    /// A number or range that cannot be read.
    #[error("not a number or range")]
    BadNumber,
    /// A range that no number is in.
    #[error("range contains nothing")]
    EmptyRange,
    /// A `*` anywhere but at the end of a tag, or alone.
    #[error("wildcard cannot stand here")]
    BadWildcard,
    /// A wildcard matching more than [`super::MAX_WILDCARD_TAGS`] tags.
    #[error("wildcard matches too many tags")]
    BroadWildcard,
}

impl Error {
    pub(super) fn new(
        problem: Problem,
        at: usize,
        text: &str,
        accepted: impl Into<String>,
    ) -> Self {
        Self {
            problem,
            at,
            text: cut(text).to_owned(),
            accepted: accepted.into(),
            suggestion: None,
        }
    }

    /// A word that should have been one of `words`, with the nearest of them
    /// as the suggestion when it is near enough to be a slip.
    pub(super) fn unknown(problem: Problem, at: usize, text: &str, words: &[&str]) -> Self {
        let mut error = Self::new(problem, at, text, format!("accepted: {}", words.join(", ")));
        error.suggestion = nearest(text, words).map(str::to_owned);
        error
    }
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// The word nearest to `typed` within two slips, a slip being a letter added,
/// dropped, changed or swapped with its neighbour; short words allow one.
fn nearest<'a>(typed: &str, words: &[&'a str]) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    if typed.len() > MAX_TEXT {
        return None;
    }
    words
        .iter()
        .map(|word| (slips(typed.as_bytes(), word.as_bytes()), *word))
        .filter(|&(slips, word)| {
            slips
                <= if word.len().min(typed.len()) < 5 {
                    1
                } else {
                    2
                }
        })
        .filter(|_| typed.len() > 1)
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, word)| word)
}

/// Optimal string alignment distance, over bytes.
fn slips(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = above;
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{Error, Problem, nearest, slips};

    #[test]
    fn a_slip_is_added_dropped_changed_or_swapped() {
        for (a, b, distance) in [
            ("rating", "rating", 0),
            ("ratign", "rating", 1),
            ("rting", "rating", 1),
            ("ratting", "rating", 1),
            ("xating", "rating", 1),
            ("", "id", 2),
        ] {
            assert_eq!(slips(a.as_bytes(), b.as_bytes()), distance, "{a} {b}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let words = ["rating", "order", "id", "width"];
        assert_eq!(nearest("RATIGN", &words), Some("rating"));
        assert_eq!(nearest("oder", &words), Some("order"));
        assert_eq!(nearest("re", &words), None);
        assert_eq!(nearest("d", &words), None);
    }

    #[test]
    fn an_error_reads_as_one_sentence_and_stays_short() {
        let error = Error::unknown(Problem::UnknownMetatag, 3, "ratign", &["rating", "order"]);
        assert_eq!(
            error.to_string(),
            "unknown metatag at byte 3: `ratign`; accepted: rating, order; did you mean `rating`?"
        );
        let long = Error::new(Problem::TooLong, 0, &"é".repeat(100), "x");
        assert!(long.text.len() <= super::MAX_TEXT);
    }
}
