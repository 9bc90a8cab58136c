//! The words of a query, for what a command does with one before the store reads it. Reads text as
//! docs/SEARCH.md says.

use std::ops::Range;

use crate::error::Error;

/// A word or an operator, and where it stands.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: Range<usize>,
    /// Open groups around it.
    pub(crate) depth: usize,
    /// Whether `-` or `~` stands before it.
    pub(crate) signed: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    And,
    Or,
    /// A tag, or a metatag with its name in lower case; without quotes and escapes.
    Word {
        prefix: String,
        body: String,
    },
}

impl Token {
    /// Whether it is this metatag, whatever its value.
    pub(crate) fn is_metatag(&self, name: &str) -> bool {
        match &self.kind {
            Kind::Word { prefix, .. } => prefix == name,
            Kind::And | Kind::Or => false,
        }
    }
}

/// The words of a query, with what stands around them. What the store will refuse is left to it.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    let (mut at, mut depth, mut signed) = (0, 0_usize, false);
    while let Some(next) = text[at..].chars().next() {
        match next {
            '-' | '~' => signed = true,
            '(' => {
                depth += 1;
                signed = false;
            }
            ')' if depth > 0 => depth -= 1,
            _ if next.is_whitespace() => signed = false,
            _ => {
                let (kind, end) = word(text, at, depth)?;
                tokens.push(Token {
                    kind,
                    at: at..end,
                    depth,
                    signed,
                });
                signed = false;
                at = end;
                continue;
            }
        }
        at += next.len_utf8();
    }
    Ok(tokens)
}

/// Reads the word that begins at `from`, and says where it ends.
fn word(text: &str, from: usize, depth: usize) -> Result<(Kind, usize), Error> {
    let (mut at, mut body_at) = (from, from);
    let mut prefix = String::new();
    let mut nested = 0_usize;
    while let Some(next) = text[at..].chars().next() {
        match next {
            '"' if at == body_at => {
                let (body, end) = in_quotes(text, at, &prefix)?;
                return Ok((Kind::Word { prefix, body }, end));
            }
            ':' if prefix.is_empty() && is_metatag_name(&text[from..at]) => {
                prefix = text[from..at].to_ascii_lowercase();
                body_at = at + 1;
            }
            '(' => nested += 1,
            ')' if nested > 0 => nested -= 1,
            ')' if depth > 0 => break,
            _ if next.is_whitespace() => break,
            _ => {}
        }
        at += next.len_utf8();
    }
    let body = text[body_at..at].to_owned();
    let kind = match (prefix.as_str(), body.to_ascii_lowercase().as_str()) {
        ("", "or") => Kind::Or,
        ("", "and") => Kind::And,
        _ => Kind::Word { prefix, body },
    };
    Ok((kind, at))
}

fn is_metatag_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    !text.is_empty() && text.bytes().all(allowed)
}

/// Reads from the opening quote to past the closing one.
fn in_quotes(text: &str, from: usize, prefix: &str) -> Result<(String, usize), Error> {
    let mut body = String::new();
    let mut chars = text[from + 1..].char_indices();
    while let Some((place, next)) = chars.next() {
        match next {
            '"' => return Ok((body, from + 1 + place + 1)),
            '\\' => match chars.clone().next() {
                Some((_, escaped @ ('"' | '\\'))) => {
                    body.push(escaped);
                    chars.next();
                }
                _ => body.push('\\'),
            },
            _ => body.push(next),
        }
    }
    match prefix {
        "similar" => Err(Error::Usage(
            "the quotes behind similar: are not closed".to_owned(),
        )),
        // The store says where, and what it would take.
        _ => Ok((body, text.len())),
    }
}
