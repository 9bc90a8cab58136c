//! The table of names against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Category, Tag, TagTable, normalize};
use crate::fixture::Scene;

fn names() -> impl Strategy<Value = Vec<Vec<String>>> {
    proptest::collection::vec(proptest::collection::vec("[a-c]{1,4}", 0..12), 0..6)
}

proptest! {
    #[test]
    fn names_are_found_whatever_the_order_of_arrival(batches in names(), cut in 0usize..40) {
        let mut table = TagTable::default();
        let mut known: BTreeMap<String, u32> = BTreeMap::new();
        let mut next = 1;
        for batch in batches {
            let mut fresh: Vec<(String, u32)> = Vec::new();
            for name in batch {
                if !known.contains_key(&name) {
                    known.insert(name.clone(), next);
                    fresh.push((name, next));
                    next += 3;
                }
            }
            table.extend(fresh.iter().map(|(name, id)| Tag { id: *id, name, category: Category::Meta }));
        }
        let cut = cut.min(table.len());
        let last = 1 + 3 * cut as u32;
        table.truncate(cut);
        known.retain(|_, id| *id < last);
        prop_assert_eq!(table.len(), known.len());
        for (name, id) in &known {
            prop_assert_eq!(table.find(name).map(|tag| tag.id), Some(*id));
            prop_assert_eq!(table.get(*id).map(|tag| tag.name), Some(name.as_str()));
        }
        for prefix in ["", "a", "ab", "c", "zz"] {
            let found: Vec<&str> = table.with_prefix(prefix).map(|tag| tag.name).collect();
            let expected: Vec<&str> =
                known.keys().filter(|n| n.starts_with(prefix)).map(String::as_str).collect();
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_tag_keeps_the_category_it_was_made_with() {
    let mut scene = Scene::new();
    scene.run(|w| w.create_tags(&[("a", Category::Artist), ("a", Category::Artist)]));
    scene.run(|w| w.create_tags(&[("a", Category::Meta), ("b", Category::Meta)]));
    scene.reopen();
    assert_eq!(scene.tags().len(), 2);
    assert_eq!(scene.tags().find("a").unwrap().category, Category::Artist);
}

#[test]
fn names_have_one_form() {
    assert_eq!(normalize("  Long  Hair\t(x) ").unwrap(), "long_hair_(x)");
    for bad in ["", " \n", "a\u{7}b", &"x".repeat(201)] {
        assert!(normalize(bad).is_err(), "{bad:?}");
    }
}
