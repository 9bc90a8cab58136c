//! Which row belongs to which post.

use std::sync::Arc;

use crate::{
    column::{Column, ROWS},
    index::PostId,
    vectors::prefetch,
};

/// Post numbers of a page of the table: 16 KiB, there only if one of them is in the index.
const PAGE: usize = 4096;

/// What a row holds; the bits of one byte.
pub(crate) mod has {
    /// The row belongs to a post.
    pub(crate) const POST: u8 = 1;
    /// Its vector.
    pub(crate) const VECTOR: u8 = 2;
    /// Its perceptual hash.
    pub(crate) const HASH: u8 = 4;
    /// Its colours.
    pub(crate) const COLOURS: u8 = 8;
    /// There was too little to hash.
    pub(crate) const NEAR_BLANK: u8 = 16;
    /// All that a row can hold.
    pub(crate) const ANYTHING: u8 = 31;
}

/// Post numbers and rows, both ways. Rows of removed posts are used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    pages: Vec<Option<Arc<Page>>>,
    free: Vec<u32>,
    rows: u32,
    posts: u64,
}

/// The rows of [`PAGE`] neighbouring posts, each plus 1; 0 for none.
#[derive(Clone, Debug)]
struct Page {
    rows: [u32; PAGE],
    used: usize,
}

/// Post number and kind of each row.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    posts: Column,
    kinds: Column,
}

impl Slots {
    /// Posts held.
    pub(crate) fn posts(&self) -> u64 {
        self.posts
    }

    /// Rows in use or free again.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    pub(crate) fn bytes(&self) -> u64 {
        let pages = self.pages.iter().flatten().count() * size_of::<Page>();
        let lists = self.pages.capacity() * size_of::<Option<Arc<Page>>>()
            + self.free.capacity() * size_of::<u32>();
        (pages + lists) as u64
    }

    pub(crate) fn get(&self, post: PostId) -> Option<u32> {
        let page = self.pages.get(post as usize / PAGE)?.as_ref()?;
        page.rows[post as usize % PAGE].checked_sub(1)
    }

    /// Gives a post that has none a row: a free one, or the next.
    pub(crate) fn take(&mut self, post: PostId) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.rows += 1;
            self.rows - 1
        });
        self.bind(post, slot);
        slot
    }

    /// Binds a row that is already there, as when loading.
    pub(crate) fn restore(&mut self, slot: u32, post: Option<PostId>) {
        self.rows = self.rows.max(slot + 1);
        match post {
            Some(post) => self.bind(post, slot),
            None => self.free.push(slot),
        }
    }

    /// Takes a post's row away.
    pub(crate) fn release(&mut self, post: PostId) -> Option<u32> {
        let slot = self.get(post)?;
        let entry = &mut self.pages[post as usize / PAGE];
        let page = Arc::make_mut(entry.as_mut()?);
        page.rows[post as usize % PAGE] = 0;
        page.used -= 1;
        if page.used == 0 {
            *entry = None;
        }
        self.free.push(slot);
        self.posts -= 1;
        Some(slot)
    }

    /// All posts and their rows, by post number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PostId, u32)> {
        self.pages
            .iter()
            .enumerate()
            .filter_map(|(index, page)| Some((index, page.as_ref()?)))
            .flat_map(|(index, page)| {
                let first = index * PAGE;
                page.rows
                    .iter()
                    .enumerate()
                    .filter(|(_, row)| **row > 0)
                    .map(move |(at, row)| ((first + at) as PostId, row - 1))
            })
    }

    fn bind(&mut self, post: PostId, slot: u32) {
        let index = post as usize / PAGE;
        if self.pages.len() <= index {
            self.pages.resize(index + 1, None);
        }
        let page = self.pages[index].get_or_insert_with(|| {
            Arc::new(Page {
                rows: [0; PAGE],
                used: 0,
            })
        });
        let page = Arc::make_mut(page);
        page.rows[post as usize % PAGE] = slot + 1;
        page.used += 1;
        self.posts += 1;
    }
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self {
            posts: Column::new(size_of::<PostId>()),
            kinds: Column::new(1),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.posts.bytes() + self.kinds.bytes()
    }

    pub(crate) fn columns(&self) -> [&Column; 2] {
        [&self.posts, &self.kinds]
    }

    pub(crate) fn columns_mut(&mut self) -> [&mut Column; 2] {
        [&mut self.posts, &mut self.kinds]
    }

    /// The post of a row; meaningless if the row is free.
    pub(crate) fn post(&self, slot: u32) -> PostId {
        let bytes = self.posts.row(slot).first_chunk();
        bytes.map_or(0, |bytes| PostId::from_le_bytes(*bytes))
    }

    pub(crate) fn kind(&self, slot: u32) -> u8 {
        self.kinds.row(slot)[0]
    }

    /// Asks for a block before it is needed: what was scanned since has driven it from the cache.
    pub(crate) fn prefetch(&self, block: usize) {
        prefetch(self.kinds.block(block));
        prefetch(self.posts.block(block));
    }

    pub(crate) fn holds(&self, slot: u32, part: u8) -> bool {
        self.kind(slot) & part == part
    }

    pub(crate) fn set(&mut self, slot: u32, post: PostId, kind: u8) {
        self.posts
            .row_mut(slot)
            .copy_from_slice(&post.to_le_bytes());
        self.kinds.row_mut(slot)[0] = kind;
    }
}

/// Blocks needed for so many rows.
pub(crate) fn blocks(rows: u32) -> usize {
    (rows as usize).div_ceil(ROWS)
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn rows_of_removed_posts_are_used_again() {
        let mut slots = Slots::default();
        assert_eq!(
            (slots.take(7), slots.take(5), slots.take(90_000)),
            (0, 1, 2)
        );
        assert_eq!(slots.release(5), Some(1));
        assert_eq!((slots.release(5), slots.get(5)), (None, None));
        assert_eq!(slots.take(6), 1);
        assert_eq!(
            slots.iter().collect::<Vec<_>>(),
            [(6, 1), (7, 0), (90_000, 2)]
        );
        assert_eq!((slots.posts(), slots.rows()), (3, 3));
    }

    #[test]
    fn the_largest_number_costs_little() {
        let mut slots = Slots::default();
        slots.take(u32::MAX);
        assert!(slots.bytes() < 17 << 20, "{}", slots.bytes());
        slots.release(u32::MAX);
        assert_eq!(slots.iter().count(), 0);
    }
}
