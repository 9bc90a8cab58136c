//! Syntax tree → plan: names become ids, and nothing else is left to look up.

use super::error::{Error, Problem};
use super::number::{Field, Ranges};
use super::syntax::{Expr, Query, RatingSet, Status, TagTerm};
use crate::index::Order;
use crate::tag::TagTable;
use crate::{Category, TagId};

/// Most tags one wildcard may stand for.
pub const MAX_WILDCARD_TAGS: usize = 1000;

/// Where tag names are looked up. Names come in normal form (lower case,
/// underscores for white space); following aliases is the implementor's part.
pub trait TagNames {
    /// The tag called `name`, of that category if one is given.
    fn id(&self, name: &str, category: Option<Category>) -> Option<TagId>;

    /// Up to `limit` tags whose name begins with `prefix`, of that category if
    /// one is given, in any order.
    fn with_prefix(&self, prefix: &str, category: Option<Category>, limit: usize) -> Vec<TagId>;
}

impl TagNames for TagTable {
    fn id(&self, name: &str, category: Option<Category>) -> Option<TagId> {
        let tag = self.find(name)?;
        category.is_none_or(|c| c == tag.category).then_some(tag.id)
    }

    fn with_prefix(&self, prefix: &str, category: Option<Category>, limit: usize) -> Vec<TagId> {
        self.with_prefix(prefix)
            .filter(|tag| category.is_none_or(|c| c == tag.category))
            .take(limit)
            .map(|tag| tag.id)
            .collect()
    }
}

/// A query ready to be carried out by [`crate::index::Index::search`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    root: Node,
    order: Order,
    status: Status,
    fingerprint: u64,
}

/// A condition over ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// Any of these tags; no tag at all matches nothing.
    Tags(Vec<TagId>),
    Rating(RatingSet),
    Number(Field, Ranges),
}

impl Query {
    /// Looks up every tag. A tag nobody knows matches no post; it is no error,
    /// so a saved search survives the last use of its tag.
    ///
    /// # Errors
    /// [`Problem::BroadWildcard`] when a wildcard stands for more than
    /// [`MAX_WILDCARD_TAGS`] tags.
    pub fn plan(&self, names: &impl TagNames) -> Result<Plan, Error> {
        Ok(Plan {
            root: node(&self.filter, names)?,
            order: self.order,
            status: self.status,
            fingerprint: fnv1a(self.to_string().as_bytes()),
        })
    }
}

impl Plan {
    /// The order in which posts are returned.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Whether posts in the trash are meant, or those outside.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Binds cursors to a set of posts besides the query, by the set's fingerprint.
    #[must_use]
    pub fn bound_to(self, set: u64) -> Self {
        let both = [self.fingerprint.to_le_bytes(), set.to_le_bytes()].concat();
        Self {
            fingerprint: fnv1a(&both),
            ..self
        }
    }

    /// Hash of the query's canonical spelling: the same for the same query in
    /// every process and at every start, whatever tags exist.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }
}

fn node(expr: &Expr, names: &impl TagNames) -> Result<Node, Error> {
    let nodes = |parts: &[Expr]| -> Result<Vec<Node>, Error> {
        parts.iter().map(|part| node(part, names)).collect()
    };
    Ok(match expr {
        Expr::And(parts) => Node::And(nodes(parts)?),
        Expr::Or(parts) => Node::Or(nodes(parts)?),
        Expr::Not(part) => Node::Not(Box::new(node(part, names)?)),
        Expr::Tag(tag) => Node::Tags(tags(tag, names)?),
        Expr::Rating(ratings) => Node::Rating(*ratings),
        Expr::Number(field, ranges) => Node::Number(*field, ranges.clone()),
    })
}

fn tags(tag: &TagTerm, names: &impl TagNames) -> Result<Vec<TagId>, Error> {
    if !tag.prefix {
        return Ok(names.id(&tag.name, tag.category).into_iter().collect());
    }
    let mut found = names.with_prefix(&tag.name, tag.category, MAX_WILDCARD_TAGS + 1);
    if found.len() > MAX_WILDCARD_TAGS {
        return Err(Error::new(
            Problem::BroadWildcard,
            tag.at,
            &format!("{}*", tag.name),
            format!("at most {MAX_WILDCARD_TAGS} tags may match, write more of the name"),
        ));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// FNV-1a, 64 bits: the standard library's hashers may change between
/// releases, and a page token must outlive an upgrade.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::{MAX_WILDCARD_TAGS, Plan, TagNames, fnv1a};
    use crate::query::{Problem, Query};
    use crate::{Category, TagId};

    /// `many_0` … `many_1000`, and `blue` as an artist.
    struct Names;

    impl TagNames for Names {
        fn id(&self, name: &str, category: Option<Category>) -> Option<TagId> {
            let artist = category.is_none_or(|c| c == Category::Artist);
            (name == "blue" && artist).then_some(7)
        }

        fn with_prefix(&self, prefix: &str, _: Option<Category>, limit: usize) -> Vec<TagId> {
            let many = (1..=1001).filter(|_| "many_".starts_with(prefix));
            many.take(limit).collect()
        }
    }

    fn plan(text: &str) -> Plan {
        let query: Query = text.parse().expect(text);
        query.plan(&Names).expect(text)
    }

    #[test]
    fn the_same_query_has_the_same_fingerprint_however_it_is_spelled() {
        assert_eq!(
            plan("Blue  -x").fingerprint(),
            plan("\"blue\" -x order:newest").fingerprint()
        );
        assert_ne!(plan("blue -x").fingerprint(), plan("blue x").fingerprint());
        assert_ne!(
            plan("blue").fingerprint(),
            plan("blue order:oldest").fingerprint()
        );
        assert_ne!(
            plan("blue").fingerprint(),
            plan("artist:blue").fingerprint()
        );
        assert_ne!(
            plan("a b or c").fingerprint(),
            plan("a ~b ~c").fingerprint()
        );
    }

    #[test]
    fn fingerprints_never_change_between_releases() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(plan("").fingerprint(), fnv1a(b"order:newest"));
    }

    #[test]
    fn a_wildcard_for_too_many_tags_is_refused_where_it_stands() {
        let query: Query = "blue many_*".parse().expect("valid");
        let error = query.plan(&Names).expect_err("1,001 tags");
        assert_eq!((error.problem, error.at), (Problem::BroadWildcard, 5));
        assert_eq!(MAX_WILDCARD_TAGS, 1000);
    }
}
