//! The term `similar:POST` or `similar:FILE` of a query: found and taken out here, since the store
//! knows no look-alikes.

use std::path::PathBuf;

use crate::{
    error::Error,
    query::{Kind, tokens},
};

/// A query that asks for look-alikes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Like {
    /// What they are to be like, as typed.
    pub(super) subject: PathBuf,
    /// The rest of the query, which the store understands.
    pub(super) rest: String,
}

/// Takes `similar:` out of a query; `None` if it has none.
pub(super) fn take(query: &str) -> Result<Option<Like>, Error> {
    let tokens = tokens(query)?;
    let mut likes = (0..tokens.len()).filter(|place| tokens[*place].is_metatag("similar"));
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
    if tokens.iter().any(|token| token.is_metatag("order")) {
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
pub(super) fn at_home(body: &str) -> PathBuf {
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

#[cfg(test)]
mod tests;
