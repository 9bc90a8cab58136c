//! Pages: their size, and the tokens that name where the next one begins.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::Error;

/// The size of a page: `default` for 0, never more than `most`.
pub(super) fn size(asked: i32, default: u32, most: u32) -> Result<u32, Error> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(most)),
        Err(_) => Err(Error::field("page_size", &asked, "0 or more")),
    }
}

/// Bytes as a token.
pub(super) fn token(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a token; `None` for the first page.
pub(super) fn bytes(token: &str) -> Result<Option<Vec<u8>>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let decoded = (token.len() <= 100).then(|| URL_SAFE_NO_PAD.decode(token).ok());
    decoded.flatten().map(Some).ok_or_else(|| bad(token))
}

/// A place in a list: which list, and the number of the last item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// What the list is of; a token of another list is refused.
    pub(super) list: [u8; 6],
    /// Last number.
    pub(super) after: u64,
}

impl Place {
    pub(super) fn token(self) -> String {
        let mut bytes = [0; 14];
        bytes[..6].copy_from_slice(&self.list);
        bytes[6..].copy_from_slice(&self.after.to_le_bytes());
        token(&bytes)
    }

    /// Reads a token; `None` for the first page.
    pub(super) fn read(token: &str) -> Result<Option<Self>, Error> {
        let Some(bytes) = bytes(token)? else {
            return Ok(None);
        };
        let whole: [u8; 14] = bytes.try_into().map_err(|_| bad(token))?;
        let (list, after) = whole.split_at(6);
        let (Ok(list), Ok(after)) = (list.try_into(), after.try_into()) else {
            return Err(bad(token));
        };
        Ok(Some(Self {
            list,
            after: u64::from_le_bytes(after),
        }))
    }
}

/// A token that is none of ours.
pub(super) fn bad(token: &str) -> Error {
    Error::PageToken {
        token: token.chars().take(100).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_token_and_others_do_not() {
        let place = Place {
            list: *b"locate",
            after: u64::MAX - 1,
        };
        assert_eq!(Place::read(&place.token()).ok(), Some(Some(place)));
        assert_eq!(Place::read("").ok(), Some(None));
        for text in ["x", "AAAA", "!!!!", &"A".repeat(500)] {
            assert!(Place::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_a_default_and_a_ceiling() {
        assert_eq!(size(0, 100, 1_000).ok(), Some(100));
        assert_eq!(size(7, 100, 1_000).ok(), Some(7));
        assert_eq!(size(i32::MAX, 100, 1_000).ok(), Some(1_000));
        assert!(size(-1, 100, 1_000).is_err());
    }
}
