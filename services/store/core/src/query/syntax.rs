//! The syntax tree, and its one canonical spelling.
//!
//! `Display` writes every tree in exactly one way, which (length and nesting
//! limits aside) reads back as the same tree. Page tokens are tied to a query
//! by a hash of that spelling, so it may only change together with the version
//! of [`crate::index::Cursor`].

use std::fmt;

use super::number::{Field, Ranges, write_ranges};
use crate::index::Order;
use crate::{Category, Rating};

/// A whole query: which posts, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which posts; an empty [`Expr::And`] means all.
    pub filter: Expr,
    /// In which order.
    pub order: Order,
    /// In the trash or not.
    pub status: Status,
}

/// Where a search looks: the trash is a place of its own, and no search finds
/// posts of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Status {
    /// Posts that are not in the trash.
    #[default]
    Active,
    /// Posts in the trash, and only these.
    Trash,
}

/// A condition on a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Every part holds; with no parts, always.
    And(Vec<Expr>),
    /// At least one part holds.
    Or(Vec<Expr>),
    /// The part does not hold.
    Not(Box<Expr>),
    /// The post has the tag, or one of the tags.
    Tag(TagTerm),
    /// The post's rating is one of these.
    Rating(RatingSet),
    /// The number lies in one of the ranges.
    Number(Field, Ranges),
}

/// A tag, or all tags with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagTerm {
    /// Name in normal form, or its beginning when `prefix` is set.
    pub name: String,
    /// Only tags of this category.
    pub category: Option<Category>,
    /// `name` is only a beginning (`blue_*`).
    pub prefix: bool,
    /// Where the name begins in the query text, bytes; not part of the
    /// canonical spelling.
    pub at: usize,
}

/// A set of ratings, "unrated" being one of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RatingSet(u8);

impl RatingSet {
    const UNRATED: u8 = 1 << 4;

    /// Adds a rating, or "unrated".
    #[must_use]
    pub const fn with(self, rating: Option<Rating>) -> Self {
        Self(match rating {
            Some(rating) => self.0 | 1 << rating.code(),
            None => self.0 | Self::UNRATED,
        })
    }

    /// Whether a post with this rating, or none, is meant.
    pub const fn contains(self, rating: Option<Rating>) -> bool {
        match rating {
            Some(rating) => self.0 & 1 << rating.code() != 0,
            None => self.0 & Self::UNRATED != 0,
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = matches!(&self.filter, Expr::And(parts) if parts.is_empty());
        match &self.filter {
            // Else `order:` would read as part of the last alternative.
            filter @ Expr::Or(_) => write!(f, "({filter})")?,
            filter => write!(f, "{filter}")?,
        }
        if !nothing {
            f.write_str(" ")?;
        }
        write!(f, "order:{}", self.order)?;
        // The spelling of searches outside the trash is older than the trash.
        match self.status {
            Status::Active => Ok(()),
            Status::Trash => write!(f, " status:{}", self.status.as_str()),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => list(f, parts, " "),
            Self::Or(parts) => list(f, parts, " or "),
            Self::Not(part) => {
                f.write_str("-")?;
                match **part {
                    Self::Not(_) => write!(f, "({part})"),
                    _ => part.operand(f),
                }
            }
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Rating(ratings) => write!(f, "rating:{ratings}"),
            Self::Number(field, ranges) => {
                write!(f, "{}:", field.name())?;
                write_ranges(f, *field, ranges)
            }
        }
    }
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 2] = [Self::Active, Self::Trash];

    /// The name, as typed after `status:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Trash => "trash",
        }
    }

    /// The status with this exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl Expr {
    fn operand(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(_) | Self::Or(_) => write!(f, "({self})"),
            _ => write!(f, "{self}"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, parts: &[Expr], between: &str) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        part.operand(f)?;
    }
    Ok(())
}

impl fmt::Display for TagTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(category) = self.category {
            write!(f, "{}:", category.as_str())?;
        }
        let name = self.name.replace('\\', "\\\\").replace('"', "\\\"");
        let star = if self.prefix { "*" } else { "" };
        write!(f, "\"{name}\"{star}")
    }
}

impl fmt::Display for RatingSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rated = Rating::ALL.into_iter().map(|r| (Some(r), r.as_str()));
        let mut comma = "";
        for (rating, name) in rated.chain([(None, "unrated")]) {
            if self.contains(rating) {
                write!(f, "{comma}{name}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}
