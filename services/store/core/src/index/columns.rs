//! What is known of every post besides its tags, packed and dense by post id.
//!
//! 10 bytes a post: width 2, height 2, file length 4, tag count 2. A post with
//! a side or a length that does not fit (a side from 65,535 pixels, a file
//! from 4 GiB) moves to a small ordered map at about [`WIDE_BYTES`] bytes.
//! Posts live in pages of [`PAGE`], made when the first of them comes, so the
//! table grows without being copied and a stray id costs one page, not the
//! whole range before it.

use std::collections::BTreeMap;

/// Posts a page; 40 KiB.
const PAGE: usize = 4096;
/// Key and value of one entry for a post too big for the packed form.
const WIDE_BYTES: usize = size_of::<u32>() + size_of::<Columns>();
/// In `widths`: look among the wide ones.
const WIDE: u16 = u16::MAX;

/// The measures of a post's original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Length of the file, bytes.
    pub bytes: u64,
}

impl Columns {
    /// Width times height.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

struct Page {
    widths: [u16; PAGE],
    heights: [u16; PAGE],
    bytes: [u32; PAGE],
    /// Saturating: a post with more tags counts as one with 65,535.
    tags: [u16; PAGE],
}

/// The columns of all posts.
#[derive(Default)]
pub(super) struct Table {
    pages: Vec<Option<Box<Page>>>,
    wide: BTreeMap<u32, Columns>,
}

impl Table {
    pub(super) fn set(&mut self, post: u32, columns: Columns) {
        let packed = pack(columns);
        let (page, row) = self.page_mut(post);
        let (width, height, bytes) = packed.unwrap_or((WIDE, 0, 0));
        page.widths[row] = width;
        page.heights[row] = height;
        page.bytes[row] = bytes;
        if packed.is_some() {
            self.wide.remove(&post);
        } else {
            self.wide.insert(post, columns);
        }
    }

    /// What was set; all zero for a post never seen.
    pub(super) fn get(&self, post: u32) -> Columns {
        let Some((page, row)) = self.page(post) else {
            return Columns::default();
        };
        if page.widths[row] == WIDE {
            return self.wide.get(&post).copied().unwrap_or_default();
        }
        Columns {
            width: u32::from(page.widths[row]),
            height: u32::from(page.heights[row]),
            bytes: u64::from(page.bytes[row]),
        }
    }

    pub(super) fn tag_count(&self, post: u32) -> u16 {
        self.page(post).map_or(0, |(page, row)| page.tags[row])
    }

    pub(super) fn set_tag_count(&mut self, post: u32, count: u16) {
        let (page, row) = self.page_mut(post);
        page.tags[row] = count;
    }

    /// Bytes held, without the allocator's own.
    pub(super) fn memory(&self) -> usize {
        self.pages.capacity() * size_of::<Option<Box<Page>>>()
            + self.pages.iter().flatten().count() * size_of::<Page>()
            + self.wide.len() * WIDE_BYTES
    }

    fn page(&self, post: u32) -> Option<(&Page, usize)> {
        let (page, row) = place(post);
        Some((self.pages.get(page)?.as_deref()?, row))
    }

    fn page_mut(&mut self, post: u32) -> (&mut Page, usize) {
        let (page, row) = place(post);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| {
            Box::new(Page {
                widths: [0; PAGE],
                heights: [0; PAGE],
                bytes: [0; PAGE],
                tags: [0; PAGE],
            })
        });
        (page, row)
    }
}

fn place(post: u32) -> (usize, usize) {
    let post = post as usize;
    (post / PAGE, post % PAGE)
}

fn pack(columns: Columns) -> Option<(u16, u16, u32)> {
    let width = u16::try_from(columns.width).ok().filter(|w| *w != WIDE)?;
    let height = u16::try_from(columns.height).ok()?;
    Some((width, height, u32::try_from(columns.bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Columns, PAGE, Page, Table};

    #[test]
    fn a_post_costs_ten_bytes() {
        assert_eq!(size_of::<Page>(), PAGE * 10);
    }

    #[test]
    fn every_size_comes_back_as_it_was_set() {
        let mut table = Table::default();
        let sides = [0, 1, 65_534, 65_535, 65_536, u32::MAX];
        let lengths = [0, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX];
        for width in sides {
            for height in sides {
                for bytes in lengths {
                    let columns = Columns {
                        width,
                        height,
                        bytes,
                    };
                    table.set(5, columns);
                    assert_eq!(table.get(5), columns);
                }
            }
        }
        table.set(5, Columns::default());
        assert!(table.wide.is_empty());
    }

    #[test]
    fn a_stray_id_costs_one_page() {
        let mut table = Table::default();
        table.set(u32::MAX, Columns::default());
        assert_eq!(table.pages.iter().flatten().count(), 1);
        assert_eq!(table.get(u32::MAX - 1), Columns::default());
        assert_eq!(table.get(12), Columns::default());
        assert!(table.memory() < 32 << 20);
    }
}
