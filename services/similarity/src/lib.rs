//! Look-alikes: vectors and hashes in memory, following the store's feed.
