//! Text → tokens.
//!
//! Booru tags contain nearly every character (`saber_(fate)`, `:)`, `^_^`), so
//! punctuation means something only where a term begins: `-`, `~`, `(` and `"`
//! there are operators, anywhere later they are part of the name. A `)` ends a
//! group only when a group is open and the word has no `(` of its own waiting.

use std::ops::Range;

use super::error::{Error, Problem};
use super::{MAX_BYTES, MAX_DEPTH};

/// One piece of a query and the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Close,
    Minus,
    Tilde,
    Or,
    And,
    Word(Word),
}

/// A tag or metatag as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// What stood before the first `:`, lower-cased, when it looks like a
    /// metatag (letters and underscores only).
    pub(super) prefix: Option<String>,
    /// The rest, ASCII lower-cased, without quotes and escapes.
    pub(super) body: String,
    /// Where the rest begins.
    pub(super) body_at: usize,
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without quotes: `*` is a wildcard.
    Bare,
    /// In quotes: every character is itself.
    Quoted,
    /// In quotes with a `*` after them.
    QuotedPrefix,
}

/// Cuts `text` into tokens. Parentheses are balanced in what it returns.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(
            Problem::TooLong,
            0,
            text,
            format!("at most {MAX_BYTES} bytes, this has {}", text.len()),
        ));
    }
    let mut lexer = Lexer {
        text,
        at: 0,
        open: Vec::new(),
        tokens: Vec::new(),
    };
    while let Some(next) = lexer.peek() {
        if next.is_whitespace() {
            lexer.at += next.len_utf8();
        } else {
            lexer.term(next)?;
        }
    }
    match lexer.open.first() {
        Some(&at) => Err(Error::new(
            Problem::UnclosedGroup,
            at,
            &text[at..],
            "add the missing `)`, or put a tag that begins with `(` in quotes",
        )),
        None => Ok(lexer.tokens),
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Where each group now open began.
    open: Vec<usize>,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// The unbroken run of text from `from`, for messages.
    fn run(&self, from: usize) -> &str {
        self.text[from..]
            .split(char::is_whitespace)
            .next()
            .unwrap_or_default()
    }

    fn term(&mut self, first: char) -> Result<(), Error> {
        match first {
            '-' => self.sign(Kind::Minus),
            '~' => self.sign(Kind::Tilde),
            '(' => self.open_group(),
            ')' => self.close_group(),
            _ => self.word(),
        }
    }

    fn push(&mut self, kind: Kind, from: usize) {
        let at = from..self.at;
        self.tokens.push(Token { kind, at });
    }

    fn sign(&mut self, kind: Kind) -> Result<(), Error> {
        let from = self.at;
        self.at += 1;
        if self.peek().is_none_or(char::is_whitespace) {
            return Err(Error::new(
                Problem::DanglingOperator,
                from,
                self.run(from),
                "write it directly before a term, as in `-comic`",
            ));
        }
        self.push(kind, from);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), Error> {
        let from = self.at;
        if self.open.len() == MAX_DEPTH {
            return Err(Error::new(
                Problem::TooDeep,
                from,
                self.run(from),
                format!("at most {MAX_DEPTH} levels"),
            ));
        }
        self.open.push(from);
        self.at += 1;
        self.push(Kind::Open, from);
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), Error> {
        let from = self.at;
        if self.open.pop().is_none() {
            return Err(Error::new(
                Problem::UnopenedGroup,
                from,
                self.run(from),
                "remove it, or put a tag that begins with `)` in quotes",
            ));
        }
        self.at += 1;
        self.push(Kind::Close, from);
        Ok(())
    }

    fn word(&mut self) -> Result<(), Error> {
        let from = self.at;
        let mut prefix = None;
        let mut body_at = from;
        let mut nested = 0_usize;
        while let Some(next) = self.peek() {
            match next {
                '"' if self.at == body_at => {
                    let (body, form) = self.quoted()?;
                    let word = Word {
                        prefix,
                        body,
                        body_at,
                        form,
                    };
                    self.push(Kind::Word(word), from);
                    return Ok(());
                }
                ':' if prefix.is_none() && is_metatag_name(&self.text[from..self.at]) => {
                    prefix = Some(self.text[from..self.at].to_ascii_lowercase());
                    body_at = self.at + 1;
                }
                '(' => nested += 1,
                ')' if nested > 0 => nested -= 1,
                ')' if !self.open.is_empty() => break,
                _ if next.is_whitespace() => break,
                _ => {}
            }
            self.at += next.len_utf8();
        }
        let body = self.text[body_at..self.at].to_ascii_lowercase();
        let kind = match (&prefix, body.as_str()) {
            (None, "or") => Kind::Or,
            (None, "and") => Kind::And,
            _ => Kind::Word(Word {
                prefix,
                body,
                body_at,
                form: Form::Bare,
            }),
        };
        self.push(kind, from);
        Ok(())
    }

    /// Reads from the opening quote to past the closing one.
    fn quoted(&mut self) -> Result<(String, Form), Error> {
        let from = self.at;
        let mut body = String::new();
        let mut chars = self.text[from + 1..].char_indices();
        let closed = loop {
            match chars.next() {
                None => break None,
                Some((offset, '"')) => break Some(from + 1 + offset),
                Some((_, '\\')) => match chars.clone().next() {
                    Some((_, escaped @ ('"' | '\\'))) => {
                        body.push(escaped);
                        chars.next();
                    }
                    _ => body.push('\\'),
                },
                Some((_, other)) => body.push(other.to_ascii_lowercase()),
            }
        };
        let Some(closed) = closed else {
            return Err(Error::new(
                Problem::UnclosedQuote,
                from,
                &self.text[from..],
                "add the missing `\"`",
            ));
        };
        self.at = closed + 1;
        let mut form = Form::Quoted;
        if self.peek() == Some('*') {
            self.at += 1;
            form = Form::QuotedPrefix;
        }
        match self.peek() {
            None => Ok((body, form)),
            Some(')') if !self.open.is_empty() => Ok((body, form)),
            Some(next) if next.is_whitespace() => Ok((body, form)),
            Some(_) => Err(Error::new(
                Problem::TextAfterQuote,
                self.at,
                self.run(self.at),
                "put a space after the quote; inside quotes write `\\\"` for a quote",
            )),
        }
    }
}

/// Only letters and underscores: so `:3` and `11:00` stay tags.
fn is_metatag_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}
