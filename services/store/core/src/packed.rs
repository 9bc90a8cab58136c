//! Small numbers in few bytes: LEB128 varints, and ascending lists as varints of their gaps.
//!
//! An effective tag costs 1 to 3 bytes this way in libraries of up to two million tags.

/// Appends `value`, seven bits a byte, low bits first.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a varint off the front of `bytes`; `None` if it is cut off or exceeds 32 bits.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok();
        }
    }
    None
}

/// Packs a strictly ascending list of numbers from 1 up.
pub(crate) fn pack_ascending(values: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * 2);
    let mut last = 0;
    for &value in values {
        debug_assert!(value > last, "the list must ascend from 1");
        push_varint(&mut out, value - last);
        last = value;
    }
    out
}

/// Unpacks what [`pack_ascending`] made; `None` if the bytes are not such a list.
pub(crate) fn unpack_ascending(mut bytes: &[u8]) -> Option<Vec<u32>> {
    let mut values = Vec::with_capacity(bytes.len());
    let mut last = 0u32;
    while !bytes.is_empty() {
        let gap = take_varint(&mut bytes)?;
        if gap == 0 {
            return None;
        }
        last = last.checked_add(gap)?;
        values.push(last);
    }
    values.shrink_to_fit();
    Some(values)
}

/// Small numbers side by side, four bytes each.
pub(crate) fn pack_words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// What [`pack_words`] made.
pub(crate) fn unpack_words(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ascending_lists_come_back(set in proptest::collection::btree_set(1u32.., 0..200)) {
            let list: Vec<u32> = set.into_iter().collect();
            prop_assert_eq!(unpack_ascending(&pack_ascending(&list)), Some(list));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(list) = unpack_ascending(&bytes) {
                prop_assert!(list.is_sorted());
            }
        }
    }

    #[test]
    fn a_varint_that_is_cut_off_or_too_long_is_refused() {
        assert_eq!(take_varint(&mut &[0x80][..]), None);
        assert_eq!(take_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x7f][..]), None);
        assert_eq!(
            take_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..]),
            Some(u32::MAX)
        );
    }
}
