//! Matching: what is found by more or less, not by yes or no.

use super::Index;
use crate::PostId;

impl Index {
    /// Whether a post is there and not in the trash.
    pub fn is_live(&self, post: PostId) -> bool {
        self.live.contains(post)
    }
}
