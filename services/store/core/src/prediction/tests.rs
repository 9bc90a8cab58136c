//! The packed form of labels.

use proptest::prelude::*;

use super::{Scored, pack, pack_ratings, unpack, unpack_ratings};

proptest! {
    #[test]
    fn labels_come_back(map in proptest::collection::btree_map(1u32.., any::<u16>(), 0..100)) {
        let labels: Vec<Scored> =
            map.into_iter().map(|(tag, confidence)| Scored { tag, confidence }).collect();
        prop_assert_eq!(unpack(&pack(&labels)), Some(labels));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Some(labels) = unpack(&bytes) {
            prop_assert!(labels.is_sorted_by(|a, b| a.tag < b.tag));
        }
    }
}

#[test]
fn ratings_come_back() {
    for ratings in [None, Some([0, 1, 65_535, 256])] {
        assert_eq!(unpack_ratings(&pack_ratings(ratings)), Some(ratings));
    }
    assert_eq!(unpack_ratings(&[1, 2, 3]), None);
}
