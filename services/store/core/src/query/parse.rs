//! Tokens → syntax tree.
//!
//! ```text
//! query  := clause ("or" clause)*          or binds loosest
//! clause := term ("and"? term)*            all of them; all `~` terms of one
//! term   := "~"? "-"* (word | "(" query ")")    clause form one alternative
//! ```
//!
//! The recursion is as deep as parentheses are nested, which the lexer bounds.

use std::str::FromStr;

use super::MAX_TERMS;
use super::error::{Error, Problem};
use super::lex::{Form, Kind, Token, Word, lex};
use super::number::{Field, Ranges};
use super::syntax::{Expr, Query, RatingSet, Status, TagTerm};
use crate::index::Order;
use crate::{Category, Rating};

/// Everything that may stand before a `:`, for messages and suggestions.
const METATAGS: &[&str] = &[
    "rating", "order", "status", "id", "width", "height", "size", "mpixels", "tagcount",
];

const RATINGS: &[&str] = &[
    "g",
    "s",
    "q",
    "e",
    "general",
    "sensitive",
    "questionable",
    "explicit",
    "unrated",
];

impl FromStr for Query {
    type Err = Error;

    /// Reads a query; see docs/SEARCH.md for the language.
    fn from_str(text: &str) -> Result<Self, Error> {
        read(text, false)
    }
}

impl Query {
    /// Reads a query about a set of posts that gives the order, so that the query may not.
    ///
    /// # Errors
    /// As for any query, and [`Problem::MisplacedOrder`] for an `order:`.
    pub fn of_ranked(text: &str) -> Result<Self, Error> {
        read(text, true)
    }
}

fn read(text: &str, ranked: bool) -> Result<Query, Error> {
    let mut parser = Parser {
        text,
        tokens: lex(text)?.into_iter().peekable(),
        depth: 0,
        terms: 0,
        ranked,
        order: None,
        status: None,
    };
    let filter = match parser.tokens.peek() {
        Some(_) => parser.alternatives()?,
        None => Expr::And(Vec::new()),
    };
    Ok(Query {
        filter,
        order: parser.order.unwrap_or_default(),
        status: parser.status.unwrap_or_default(),
    })
}

struct Parser<'a> {
    text: &'a str,
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    terms: usize,
    /// The order is given from outside.
    ranked: bool,
    order: Option<Order>,
    status: Option<Status>,
}

/// How a term was marked.
struct Sign {
    tilde: bool,
    minus: bool,
}

impl Parser<'_> {
    fn error(&self, problem: Problem, token: &Token, accepted: &str) -> Error {
        Error::new(
            problem,
            token.at.start,
            &self.text[token.at.clone()],
            accepted,
        )
    }

    fn next_is(&mut self, kind: &Kind) -> Option<Token> {
        self.tokens.next_if(|token| token.kind == *kind)
    }

    fn alternatives(&mut self) -> Result<Expr, Error> {
        let mut parts = vec![self.clause()?];
        while let Some(or) = self.next_is(&Kind::Or) {
            let more = !self.at_clause_end();
            if more {
                parts.push(self.clause()?);
            }
            // A side with nothing but `order:` would match every post.
            let empty = |part: &Expr| matches!(part, Expr::And(of) if of.is_empty());
            if !more || parts.iter().any(empty) {
                return Err(self.error(
                    Problem::DanglingOperator,
                    &or,
                    "write `or` between two terms; put it in quotes if it is a tag",
                ));
            }
        }
        Ok(one_or(parts, Expr::Or))
    }

    fn at_clause_end(&mut self) -> bool {
        matches!(
            self.tokens.peek().map(|token| &token.kind),
            None | Some(Kind::Close | Kind::Or)
        )
    }

    fn clause(&mut self) -> Result<Expr, Error> {
        let mut all = Vec::new();
        let mut any = Vec::new();
        let mut first = true;
        while first || !self.at_clause_end() {
            if let Some(and) = self.next_is(&Kind::And)
                && (first || self.at_clause_end())
            {
                return Err(self.error(
                    Problem::DanglingOperator,
                    &and,
                    "write `and` between two terms; put it in quotes if it is a tag",
                ));
            }
            first = false;
            let sign = self.sign()?;
            if let Some(expr) = self.operand(&sign)? {
                let expr = if sign.minus {
                    Expr::Not(Box::new(expr))
                } else {
                    expr
                };
                if sign.tilde { &mut any } else { &mut all }.push(expr);
            }
        }
        if !any.is_empty() {
            all.push(one_or(any, Expr::Or));
        }
        Ok(one_or(all, Expr::And))
    }

    fn sign(&mut self) -> Result<Sign, Error> {
        let tilde = self.next_is(&Kind::Tilde).is_some();
        let mut minus = false;
        while self.next_is(&Kind::Minus).is_some() {
            minus = !minus;
        }
        match self.next_is(&Kind::Tilde) {
            Some(token) => Err(self.error(
                Problem::DanglingOperator,
                &token,
                "write one `~`, before any `-`",
            )),
            None => Ok(Sign { tilde, minus }),
        }
    }

    /// A word or a group; `None` for `order:` and `status:`, which are no conditions.
    fn operand(&mut self, sign: &Sign) -> Result<Option<Expr>, Error> {
        let Some(token) = self.tokens.next() else {
            let end = Token {
                kind: Kind::Close,
                at: self.text.len()..self.text.len(),
            };
            return Err(self.error(Problem::DanglingOperator, &end, "a term must follow"));
        };
        match &token.kind {
            Kind::Open => self.group(&token).map(Some),
            Kind::Word(word) => {
                self.terms += 1;
                if self.terms > MAX_TERMS {
                    let accepted = format!("at most {MAX_TERMS} in one query");
                    return Err(self.error(Problem::TooManyTerms, &token, &accepted));
                }
                match word.prefix.as_deref() {
                    Some("order") => self.set_order(&token, word, sign).map(|()| None),
                    Some("status") => self.set_status(&token, word, sign).map(|()| None),
                    _ => self.condition(&token, word).map(Some),
                }
            }
            Kind::Close | Kind::Minus | Kind::Tilde | Kind::Or | Kind::And => {
                Err(self.error(Problem::DanglingOperator, &token, "a term must stand here"))
            }
        }
    }

    fn group(&mut self, open: &Token) -> Result<Expr, Error> {
        if self.next_is(&Kind::Close).is_some() {
            return Err(self.error(
                Problem::EmptyGroup,
                open,
                "write terms inside, or put the tag in quotes",
            ));
        }
        self.depth += 1;
        let expr = self.alternatives()?;
        self.depth -= 1;
        // The lexer closed every group it opened, and `alternatives` stops
        // nowhere else while one is open.
        self.next_is(&Kind::Close);
        Ok(expr)
    }

    fn set_status(&mut self, token: &Token, word: &Word, sign: &Sign) -> Result<(), Error> {
        if self.depth > 0 || sign.minus || sign.tilde {
            let accepted = "write it once, outside parentheses, without a sign";
            return Err(self.error(Problem::MisplacedStatus, token, accepted));
        }
        if self.status.is_some() {
            return Err(self.error(Problem::RepeatedStatus, token, "write it once"));
        }
        let names = Status::ALL.map(Status::as_str);
        let status = Status::from_name(&word.body).ok_or_else(|| {
            Error::unknown(Problem::UnknownStatus, word.body_at, &word.body, &names)
        })?;
        self.status = Some(status);
        Ok(())
    }

    fn set_order(&mut self, token: &Token, word: &Word, sign: &Sign) -> Result<(), Error> {
        if self.ranked {
            let accepted = "the set is in the order wanted; leave this out";
            return Err(self.error(Problem::MisplacedOrder, token, accepted));
        }
        if self.depth > 0 || sign.minus || sign.tilde {
            let accepted = "write it once, outside parentheses, without a sign";
            return Err(self.error(Problem::MisplacedOrder, token, accepted));
        }
        if self.order.is_some() {
            return Err(self.error(Problem::RepeatedOrder, token, "write it once"));
        }
        let names = Order::ALL.map(Order::as_str);
        let order = Order::from_name(&word.body).ok_or_else(|| {
            Error::unknown(Problem::UnknownOrder, word.body_at, &word.body, &names)
        })?;
        self.order = Some(order);
        Ok(())
    }

    fn condition(&self, token: &Token, word: &Word) -> Result<Expr, Error> {
        let Some(prefix) = word.prefix.as_deref() else {
            return self.tag(token, word, None);
        };
        if let Some(category) = category(prefix) {
            return self.tag(token, word, Some(category));
        }
        if prefix == "rating" {
            return ratings(word).map(Expr::Rating);
        }
        if let Some(field) = Field::from_name(prefix) {
            return Ranges::parse(field, &word.body, word.body_at)
                .map(|ranges| Expr::Number(field, ranges));
        }
        let categories = Category::ALL.map(Category::as_str);
        let known = [METATAGS, &categories].concat();
        let mut error = Error::unknown(Problem::UnknownMetatag, token.at.start, prefix, &known);
        error.accepted += "; a tag with a colon in it goes in quotes";
        Err(error)
    }

    fn tag(&self, token: &Token, word: &Word, category: Option<Category>) -> Result<Expr, Error> {
        let (name, prefix) = match word.form {
            Form::Quoted => (word.body.as_str(), false),
            Form::QuotedPrefix => (word.body.as_str(), true),
            Form::Bare => match word.body.strip_suffix('*') {
                Some(name) => (name, true),
                None => (word.body.as_str(), false),
            },
        };
        let wild_inside = word.form == Form::Bare && name.contains('*');
        // The form in which tags are stored, so that a name finds its tag.
        let name = crate::tag::normal_form(name);
        if name.is_empty() && !prefix {
            return Err(self.error(Problem::EmptyValue, token, "write a tag's name"));
        }
        if name.is_empty() || wild_inside {
            return Err(self.error(
                Problem::BadWildcard,
                token,
                "a `*` may end a tag, as in `blue_*`; a tag with `*` in its name goes in quotes",
            ));
        }
        Ok(Expr::Tag(TagTerm {
            name,
            category,
            prefix,
            at: word.body_at,
        }))
    }
}

/// A category by its name or its usual short form.
fn category(name: &str) -> Option<Category> {
    match name {
        "char" => Some(Category::Character),
        "copy" => Some(Category::Copyright),
        "art" => Some(Category::Artist),
        _ => Category::from_name(name),
    }
}

fn ratings(word: &Word) -> Result<RatingSet, Error> {
    let mut set = RatingSet::default();
    let mut at = word.body_at;
    for name in word.body.split(',') {
        let rating = match name {
            "unrated" => None,
            _ => Some(Rating::from_name(name).ok_or_else(|| {
                let problem = if name.is_empty() {
                    Problem::EmptyValue
                } else {
                    Problem::UnknownRating
                };
                Error::unknown(problem, at, name, RATINGS)
            })?),
        };
        set = set.with(rating);
        at += name.len() + 1;
    }
    Ok(set)
}

/// A list of one is that one.
fn one_or(mut parts: Vec<Expr>, list: fn(Vec<Expr>) -> Expr) -> Expr {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        list(parts)
    }
}

#[cfg(test)]
mod tests;
