//! In which order posts are returned, and how a reader goes on from where a
//! page ended.
//!
//! A cursor names the last post returned by its place in the order (key and
//! id), not by a count. So posts that come and go between pages shift nothing:
//! a post that stays is returned exactly once. What a key is made of (id, byte
//! length, dimensions) belongs to a post's content and does not change.

use super::Columns;
use crate::query::Plan;

/// An order of posts. Equal keys are told apart by id, so each is total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// Highest id first.
    #[default]
    Newest,
    /// Lowest id first.
    Oldest,
    /// Most bytes first, then highest id.
    Size,
    /// Fewest bytes first, then lowest id.
    SizeAsc,
    /// Most pixels first, then highest id.
    Pixels,
    /// Fewest pixels first, then lowest id.
    PixelsAsc,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 6] = [
        Self::Newest,
        Self::Oldest,
        Self::Size,
        Self::SizeAsc,
        Self::Pixels,
        Self::PixelsAsc,
    ];

    /// The name, as typed after `order:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Size => "size",
            Self::SizeAsc => "size_asc",
            Self::Pixels => "mpixels",
            Self::PixelsAsc => "mpixels_asc",
        }
    }

    /// The order with this exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == name)
    }

    /// The number in a cursor; never reused for another order.
    const fn code(self) -> u8 {
        match self {
            Self::Newest => 0,
            Self::Oldest => 1,
            Self::Size => 2,
            Self::SizeAsc => 3,
            Self::Pixels => 4,
            Self::PixelsAsc => 5,
        }
    }

    /// Whether the id alone decides.
    pub(super) const fn is_by_id(self) -> bool {
        matches!(self, Self::Newest | Self::Oldest)
    }

    const fn is_descending(self) -> bool {
        matches!(self, Self::Newest | Self::Size | Self::Pixels)
    }

    /// What a post is sorted by, before its id.
    pub(super) fn key(self, columns: Columns) -> u64 {
        match self {
            Self::Newest | Self::Oldest => 0,
            Self::Size | Self::SizeAsc => columns.bytes,
            Self::Pixels | Self::PixelsAsc => columns.pixels(),
        }
    }

    /// A post's place: smaller comes first.
    pub(super) const fn place(self, key: u64, id: u32) -> (u64, u32) {
        if self.is_descending() {
            (!key, !id)
        } else {
            (key, id)
        }
    }

    /// The inverse of [`Self::place`]: flipping twice is no flip.
    pub(super) const fn at_place(self, place: (u64, u32)) -> (u64, u32) {
        self.place(place.0, place.1)
    }
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The end of a page: the next one begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub(super) order: Order,
    /// Of the query it belongs to ([`crate::query::Plan::fingerprint`]).
    pub(super) fingerprint: u64,
    pub(super) key: u64,
    pub(super) id: u32,
}

/// Why a cursor cannot be used. Both are the caller's doing, never a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not something [`Cursor::to_bytes`] made in this version.
    #[error("page token of {length} bytes is not one of ours; start from the first page")]
    Malformed {
        /// How many bytes there were.
        length: usize,
    },
    /// A cursor from the pages of another query.
    #[error(
        "page token belongs to another query ({token:016x}, this one is {query:016x}); \
         send the query it came from, or start from the first page"
    )]
    OtherQuery {
        /// Fingerprint in the token.
        token: u64,
        /// Fingerprint of the query it was sent with.
        query: u64,
    },
}

impl Cursor {
    /// Refuses a cursor that came from another query.
    pub(super) fn belongs_to(&self, plan: &Plan) -> Result<(), CursorError> {
        if self.fingerprint == plan.fingerprint() && self.order == plan.order() {
            return Ok(());
        }
        Err(CursorError::OtherQuery {
            token: self.fingerprint,
            query: plan.fingerprint(),
        })
    }

    /// Length of the byte form.
    pub const BYTES: usize = 22;
    /// Raised whenever the layout or the canonical spelling of queries changes.
    const VERSION: u8 = 1;

    /// Version, order, fingerprint, key, id; integers little-endian.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = Self::VERSION;
        bytes[1] = self.order.code();
        bytes[2..10].copy_from_slice(&self.fingerprint.to_le_bytes());
        bytes[10..18].copy_from_slice(&self.key.to_le_bytes());
        bytes[18..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote. Forged bytes of the right form
    /// only choose another place to read on from.
    ///
    /// # Errors
    /// [`CursorError::Malformed`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CursorError> {
        Self::read(bytes).ok_or(CursorError::Malformed {
            length: bytes.len(),
        })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[version, code], rest) = bytes.split_first_chunk()?;
        let (&fingerprint, rest) = rest.split_first_chunk()?;
        let (&key, id) = rest.split_first_chunk()?;
        let order = Order::ALL.into_iter().find(|order| order.code() == code)?;
        let cursor = Self {
            order,
            fingerprint: u64::from_le_bytes(fingerprint),
            key: u64::from_le_bytes(key),
            id: u32::from_le_bytes(id.try_into().ok()?),
        };
        let sound = version == Self::VERSION && (cursor.key == 0 || !order.is_by_id());
        sound.then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cursor, CursorError, Order};

    fn cursor() -> Cursor {
        Cursor {
            order: Order::Size,
            fingerprint: 0x0123_4567_89ab_cdef,
            key: 1 << 40,
            id: 77,
        }
    }

    #[test]
    fn every_order_survives_its_name_and_its_number() {
        for order in Order::ALL {
            assert_eq!(Order::from_name(order.as_str()), Some(order));
            let cursor = Cursor {
                order,
                key: 0,
                ..cursor()
            };
            assert_eq!(Cursor::from_bytes(&cursor.to_bytes()), Ok(cursor));
        }
    }

    #[test]
    fn a_cursor_survives_its_bytes_and_no_shorter_longer_or_other_ones() {
        let bytes = cursor().to_bytes();
        assert_eq!(Cursor::from_bytes(&bytes), Ok(cursor()));
        for length in 0..Cursor::BYTES {
            assert_eq!(
                Cursor::from_bytes(&bytes[..length]),
                Err(CursorError::Malformed { length })
            );
        }
        let long = [&bytes[..], &[0]].concat();
        assert!(Cursor::from_bytes(&long).is_err());
        for (at, value) in [(0, 0), (0, 2), (1, 6), (1, 255), (1, 0)] {
            let mut other = bytes;
            other[at] = value;
            assert!(Cursor::from_bytes(&other).is_err(), "byte {at} = {value}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_or_read_exactly(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(cursor) = Cursor::from_bytes(&bytes) {
                prop_assert_eq!(&cursor.to_bytes()[..], &bytes[..]);
            }
        }

        #[test]
        fn hostile_bytes_of_the_right_length_never_panic(mut bytes in any::<[u8; Cursor::BYTES]>(), code in 0_u8..8) {
            bytes[0] = 1;
            bytes[1] = code;
            if let Ok(cursor) = Cursor::from_bytes(&bytes) {
                prop_assert_eq!(cursor.to_bytes(), bytes);
            }
        }
    }
}
