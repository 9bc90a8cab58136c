//! The index against a plain list of posts that is filtered and sorted anew
//! for every question.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use roaring::RoaringBitmap;

use super::{Columns, Cursor, CursorError, Index, Order, PostDelta, Standing};
use crate::query::{Expr, Field, Plan, Query, Status, TagNames};
use crate::{Category, PostId, Rating, TagId};

const TAGS: u32 = 24;

/// Tag `t7` has id 107; even tags are artists.
struct Names;

fn category_of(tag: TagId) -> Category {
    if tag.is_multiple_of(2) {
        Category::Artist
    } else {
        Category::General
    }
}

impl TagNames for Names {
    fn id(&self, name: &str, category: Option<Category>) -> Option<TagId> {
        let tag = 100 + name.strip_prefix('t')?.parse::<u32>().ok()?;
        (tag < 100 + TAGS && category.is_none_or(|c| c == category_of(tag))).then_some(tag)
    }

    fn with_prefix(&self, prefix: &str, category: Option<Category>, limit: usize) -> Vec<TagId> {
        let named = (0..TAGS).filter(|n| format!("t{n}").starts_with(prefix));
        named
            .map(|n| n + 100)
            .filter(|tag| category.is_none_or(|c| c == category_of(*tag)))
            .take(limit)
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Post {
    tags: BTreeSet<TagId>,
    columns: Columns,
    rating: Option<Rating>,
    standing: Standing,
}

/// The plain list, and the index that must agree with it.
#[derive(Default)]
struct Library {
    posts: BTreeMap<PostId, Post>,
    index: Index,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.posts.fmt(f)
    }
}

impl Library {
    fn put(&mut self, id: PostId, post: Post) {
        let before = self.posts.get(&id).map(|old| old.tags.clone());
        let before = before.unwrap_or_default();
        let delta = PostDelta {
            post: id,
            added: post.tags.difference(&before).copied().collect(),
            removed: before.difference(&post.tags).copied().collect(),
            columns: Some(post.columns),
            rating: post.rating,
            standing: post.standing,
        };
        self.index.apply(&delta);
        // A delta that comes twice changes nothing.
        if id.is_multiple_of(3) {
            self.index.apply(&delta);
        }
        self.posts.insert(id, post);
    }

    fn search(&self, query: &Query, within: Option<&RoaringBitmap>) -> Vec<PostId> {
        let wanted = match query.status {
            Status::Active => Standing::Live,
            Status::Trash => Standing::Trashed,
        };
        let mut found: Vec<PostId> = self
            .posts
            .iter()
            .filter(|(_, post)| post.standing == wanted)
            .filter(|(id, post)| holds(&query.filter, **id, post))
            .map(|(id, _)| *id)
            .filter(|id| within.is_none_or(|set| set.contains(*id)))
            .collect();
        let bytes = |id: &PostId| self.posts[id].columns.bytes;
        let pixels = |id: &PostId| self.posts[id].columns.pixels();
        match query.order {
            Order::Oldest => {}
            Order::Newest => found.reverse(),
            Order::SizeAsc => found.sort_by_key(bytes),
            Order::PixelsAsc => found.sort_by_key(pixels),
            Order::Size => {
                found.sort_by_key(bytes);
                found.reverse();
            }
            Order::Pixels => {
                found.sort_by_key(pixels);
                found.reverse();
            }
        }
        found
    }
}

fn holds(expr: &Expr, id: PostId, post: &Post) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(|part| holds(part, id, post)),
        Expr::Or(parts) => parts.iter().any(|part| holds(part, id, post)),
        Expr::Not(part) => !holds(part, id, post),
        Expr::Tag(tag) => post.tags.iter().any(|has| {
            let name = format!("t{}", has - 100);
            let named = name == tag.name || (tag.prefix && name.starts_with(&tag.name));
            named && tag.category.is_none_or(|c| c == category_of(*has))
        }),
        Expr::Rating(ratings) => ratings.contains(post.rating),
        Expr::Number(field, ranges) => ranges.contains(match field {
            Field::Id => u64::from(id),
            Field::Width => u64::from(post.columns.width),
            Field::Height => u64::from(post.columns.height),
            Field::Size => post.columns.bytes,
            Field::Pixels => post.columns.pixels(),
            Field::TagCount => post.tags.len() as u64,
        }),
    }
}

fn plan(text: &str) -> Plan {
    let query: Query = text.parse().expect(text);
    query.plan(&Names).expect(text)
}

/// A post whose first tags are common and whose last are rare.
fn post() -> impl Strategy<Value = Post> {
    let tags = prop::collection::btree_set(
        prop_oneof![100..104_u32, 100..112_u32, 100..100 + TAGS],
        0..8,
    );
    let side = || select(vec![1_u32, 100, 100, 640, 65_535, 70_000]);
    let bytes = select(vec![1_u64, 500, 500, 2048, 1 << 20, 1 << 33]);
    let rating = (0..5_u8).prop_map(Rating::from_code);
    (
        tags,
        side(),
        side(),
        bytes,
        rating,
        select(vec![
            Standing::Live,
            Standing::Live,
            Standing::Live,
            Standing::Live,
            Standing::Trashed,
            Standing::Gone,
        ]),
    )
        .prop_map(|(tags, width, height, bytes, rating, standing)| Post {
            tags,
            columns: Columns {
                width,
                height,
                bytes,
            },
            rating,
            standing,
        })
}

/// Ids close together, or so far apart that they cross pages and containers.
fn library(posts: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Library> {
    (
        prop::collection::vec(post(), posts),
        select(vec![1_u32, 701]),
    )
        .prop_map(|(posts, stride)| {
            let mut library = Library::default();
            for (nth, post) in (1..).zip(posts) {
                library.put(nth * stride, post);
            }
            library
        })
}

fn term() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop_oneof![100..104_u32, 100..=100 + TAGS].prop_map(|tag| format!("t{}", tag - 100)),
        1 => select(vec!["t*", "t1*", "t2*", "x*", "artist:t1*", "artist:t2", "meta:t2"])
            .prop_map(str::to_owned),
        2 => select(vec!["g", "s,q", "unrated", "e,unrated", "g,s,q,e"])
            .prop_map(|ratings| format!("rating:{ratings}")),
        2 => select(vec![
            "width:100", "width:>=640", "height:<100,65535", "size:500..2048", "size:>1gb",
            "mpixels:>=1", "mpixels:0.01", "tagcount:2..4", "id:50..150", "id:<30,>=70000",
            "id:>5000000000",
        ])
        .prop_map(str::to_owned),
    ]
}

fn clause() -> impl Strategy<Value = String> {
    let sign = select(vec!["", "", "", "-", "-", "~"]);
    prop::collection::vec((sign, term()), 1..5).prop_map(|terms| {
        let terms = terms
            .into_iter()
            .map(|(sign, term)| sign.to_owned() + &term);
        terms.collect::<Vec<_>>().join(" ")
    })
}

fn query() -> impl Strategy<Value = String> {
    let filter = prop_oneof![
        1 => Just(String::new()),
        6 => clause(),
        2 => (clause(), clause()).prop_map(|(a, b)| format!("{a} or {b}")),
        2 => (clause(), clause(), clause()).prop_map(|(a, b, c)| format!("{a} -({b} or {c})")),
    ];
    let status = select(vec!["", "", "", " status:active", " status:trash"]);
    (filter, select(Order::ALL.to_vec()), status).prop_map(|(filter, order, status)| {
        if filter.contains(" or ") && !filter.contains('(') {
            format!("({filter}) order:{order}{status}")
        } else {
            format!("{filter} order:{order}{status}")
        }
    })
}

fn within() -> impl Strategy<Value = Option<RoaringBitmap>> {
    prop::option::weighted(0.2, prop::collection::vec(0..200_000_u32, 0..150))
        .prop_map(|ids| ids.map(|ids| ids.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_search_finds_what_a_plain_filter_finds(
        library in library(200..260),
        changed in prop::collection::vec((1..260_u32, post()), 0..60),
        queries in prop::collection::vec((query(), within()), 60),
        limit in 0..40_usize,
    ) {
        let mut library = library;
        for (id, post) in changed {
            library.put(id, post);
        }
        for (text, within) in queries {
            let query: Query = text.parse().expect(&text);
            let plan = query.plan(&Names).expect(&text);
            let expected = library.search(&query, within.as_ref());
            let page = library.index.search(&plan, None, limit, within.as_ref()).expect("no cursor");
            prop_assert_eq!(page.total, expected.len() as u64, "{}", &text);
            prop_assert_eq!(&page.ids[..], &expected[..limit.min(expected.len())], "{}", &text);
            prop_assert_eq!(page.next.is_some(), limit > 0 && limit < expected.len(), "{}", &text);
        }
    }

    #[test]
    fn paging_returns_every_surviving_post_once_and_in_order(
        library in library(200..260),
        text in query(),
        limit in 1..25_usize,
        changes in prop::collection::vec(prop::collection::vec((1..400_u32, post(), any::<bool>()), 0..6), 300),
    ) {
        let mut library = library;
        let query: Query = text.parse().expect(&text);
        let plan = query.plan(&Names).expect(&text);
        let mut surviving: BTreeSet<PostId> = library.search(&query, None).into_iter().collect();
        let mut seen = Vec::new();
        let mut after: Option<Cursor> = None;
        let mut changes = changes.into_iter();
        loop {
            let page = library.index.search(&plan, after.as_ref(), limit, None).expect("own cursor");
            prop_assert_eq!(page.total, library.search(&query, None).len() as u64);
            seen.extend(page.ids);
            let Some(next) = page.next else { break };
            after = Some(Cursor::from_bytes(&next.to_bytes()).expect("own bytes"));
            for (id, mut fresh, remove) in changes.next().unwrap_or_default() {
                if let Some(old) = library.posts.get(&id) {
                    // A post's content never changes, so neither do its measures.
                    fresh.columns = old.columns;
                    if remove {
                        fresh.standing = Standing::Trashed;
                    }
                }
                library.put(id, fresh);
            }
            let now: BTreeSet<PostId> = library.search(&query, None).into_iter().collect();
            surviving.retain(|id| now.contains(id));
        }
        let once: BTreeSet<PostId> = seen.iter().copied().collect();
        prop_assert_eq!(once.len(), seen.len(), "a post was returned twice: {}", text);
        prop_assert!(surviving.is_subset(&once), "a surviving post was skipped: {}", text);
        let place = |id: &PostId| {
            let key = query.order.key(library.posts[id].columns);
            query.order.place(key, *id)
        };
        prop_assert!(seen.is_sorted_by_key(place), "out of order: {}", text);
    }
}

#[test]
fn a_cursor_of_another_query_is_refused() {
    let mut library = Library::default();
    for id in 1..10 {
        let columns = Columns::default();
        let tags = BTreeSet::from([101]);
        library.put(
            id,
            Post {
                tags,
                columns,
                rating: None,
                standing: Standing::Live,
            },
        );
    }
    let page = library.index.search(&plan("t1"), None, 3, None);
    let cursor = page.expect("no cursor").next.expect("nine posts");
    let same = library
        .index
        .search(&plan("T1 order:newest"), Some(&cursor), 3, None);
    assert_eq!(same.expect("the same query").ids, [6, 5, 4]);
    for other in ["t2", "-t1", "t1 order:oldest", ""] {
        let refused = library.index.search(&plan(other), Some(&cursor), 3, None);
        let expected = CursorError::OtherQuery {
            token: plan("t1").fingerprint(),
            query: plan(other).fingerprint(),
        };
        assert_eq!(refused, Err(expected), "{other}");
    }
}

#[test]
fn a_post_in_the_trash_is_not_found_and_comes_back_whole() {
    let mut library = Library::default();
    let mut post = Post {
        tags: BTreeSet::from([101, 102]),
        columns: Columns::default(),
        rating: Some(Rating::General),
        standing: Standing::Live,
    };
    library.put(5, post.clone());
    post.standing = Standing::Trashed;
    library.put(5, post.clone());
    for query in ["", "t1", "-t3", "id:5"] {
        let page = library.index.search(&plan(query), None, 9, None);
        assert_eq!(page.expect("no cursor").total, 0, "{query}");
        let trash = plan(&format!("{query} status:trash"));
        let page = library.index.search(&trash, None, 9, None);
        assert_eq!(page.expect("no cursor").ids, [5], "{query}");
    }
    assert_eq!(library.index.tag_count(101), 1);
    post.standing = Standing::Live;
    library.put(5, post);
    let page = library.index.search(&plan("t1 t2 rating:g"), None, 9, None);
    assert_eq!(page.expect("no cursor").ids, [5]);
}

#[test]
fn memory_is_what_the_docs_promise() {
    let mut index = Index::new();
    let posts = 100_000;
    for post in 1..=posts {
        index.apply(&PostDelta {
            post,
            added: (1..=20).map(|n| 1 + (post * n) % (n * 50)).collect(),
            removed: Vec::new(),
            columns: Some(Columns {
                width: 1000,
                height: 800,
                bytes: 300_000,
            }),
            rating: Rating::from_code((post % 4) as u8),
            standing: Standing::Live,
        });
    }
    let memory = index.memory();
    assert_eq!(memory.live, u64::from(posts));
    let per_post = memory.columns as f64 / f64::from(posts);
    assert!((10.0..10.5).contains(&per_post), "{per_post} bytes a post");
    let flags = memory.flags as f64 / f64::from(posts);
    assert!(flags < 1.0, "{flags} bytes a post");
    let each = memory.postings as f64 / memory.associations as f64;
    assert!(each < 4.0, "{each} bytes an association");
}
