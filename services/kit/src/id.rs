//! Resource names such as `posts/123`.

use crate::code::{Code, Fault};

/// A resource name that does not have the form expected.
#[derive(Debug, thiserror::Error)]
#[error("{got:?} is no resource name of the form {collection}NUMBER")]
pub struct BadName {
    collection: &'static str,
    got: String,
}

impl Fault for BadName {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }
    fn reason(&self) -> &'static str {
        "BAD_RESOURCE_NAME"
    }
}

/// Reads the number of a name like `posts/123`; `collection` is `posts/`, with its slash.
///
/// # Errors
/// Anything but the collection followed by a decimal number without sign or leading zero.
pub fn parse<N: std::str::FromStr + ToString>(
    collection: &'static str,
    name: &str,
) -> Result<N, BadName> {
    name.strip_prefix(collection)
        .and_then(|digits| {
            let number: N = digits.parse().ok()?;
            // "+1" and "007" parse as numbers, but a resource has one name only.
            (number.to_string() == digits).then_some(number)
        })
        .ok_or_else(|| BadName {
            collection,
            got: name.chars().take(100).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_is_accepted() {
        assert_eq!(parse::<u32>("posts/", "posts/12").ok(), Some(12));
        for bad in [
            "posts/",
            "posts/+1",
            "posts/012",
            "posts/-1",
            "post/1",
            "posts/4294967296",
        ] {
            assert!(parse::<u32>("posts/", bad).is_err(), "{bad}");
        }
    }
}
