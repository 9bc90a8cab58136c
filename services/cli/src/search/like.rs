//! The term `similar:POST` or `similar:FILE` of a query: found and taken out here, since the store
//! knows no look-alikes. Reads text as docs/SEARCH.md says.

use std::{ops::Range, path::PathBuf};

use crate::error::Error;

/// A query that asks for look-alikes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Like {
    /// What they are to be like, as typed.
    pub(super) subject: PathBuf,
    /// The rest of the query, which the store understands.
    pub(super) rest: String,
}

/// A word or an operator, and where it stands.
#[derive(Debug)]
struct Token {
    kind: Kind,
    at: Range<usize>,
    /// Open groups around it.
    depth: usize,
    /// Whether `-` or `~` stands before it.
    signed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    And,
    Or,
    /// A tag, or a metatag with its name in lower case; without quotes and escapes.
    Word {
        prefix: String,
        body: String,
    },
}

/// Takes `similar:` out of a query; `None` if it has none.
pub(super) fn take(query: &str) -> Result<Option<Like>, Error> {
    let tokens = tokens(query)?;
    let is = |token: &Token, name: &str| match &token.kind {
        Kind::Word { prefix, .. } => prefix == name,
        Kind::And | Kind::Or => false,
    };
    let mut likes = (0..tokens.len()).filter(|place| is(&tokens[*place], "similar"));
    let Some(place) = likes.next() else {
        return Ok(None);
    };
    let refuse = |text: &str| Err(Error::Usage(text.to_owned()));
    if likes.next().is_some() {
        return refuse("similar: stands once in a query");
    }
    let term = &tokens[place];
    if term.signed || term.depth > 0 {
        return refuse("similar: stands without a sign and outside parentheses");
    }
    if tokens
        .iter()
        .any(|token| token.kind == Kind::Or && token.depth == 0)
    {
        return refuse("with similar: put alternatives in parentheses: similar:12 (a or b)");
    }
    if tokens.iter().any(|token| is(token, "order")) {
        return refuse("similar: puts what is most alike first; leave order: out");
    }
    let subject = match &term.kind {
        Kind::Word { body, .. } if !body.is_empty() => at_home(body),
        _ => return refuse("similar: wants a post or a file: similar:12, similar:new.jpg"),
    };
    let is_and = |place: usize| {
        tokens
            .get(place)
            .is_some_and(|token| token.kind == Kind::And)
    };
    // An `and` joins two terms, and one of them goes.
    let (start, end) = if is_and(place + 1) {
        (term.at.start, tokens[place + 1].at.end)
    } else if place > 0 && is_and(place - 1) {
        (tokens[place - 1].at.start, term.at.end)
    } else {
        (term.at.start, term.at.end)
    };
    let rest = format!(
        "{} {}",
        query[..start].trim_end(),
        query[end..].trim_start()
    );
    let rest = rest.trim().to_owned();
    Ok(Some(Like { subject, rest }))
}

/// A path below `~`, which a shell leaves alone behind a colon.
fn at_home(body: &str) -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match (body.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(body),
    }
}

/// The term for a file whose name a shell has rid of its quotes.
pub(super) fn quoted(path: &str) -> String {
    let path = path.replace('\\', "\\\\").replace('"', "\\\"");
    format!("similar:\"{path}\"")
}

/// The words of a query, with what stands around them. What the store will refuse is left to it.
fn tokens(text: &str) -> Result<Vec<Token>, Error> {
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
            '\\' => body.extend(chars.next().map(|(_, next)| next)),
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

#[cfg(test)]
mod tests;
