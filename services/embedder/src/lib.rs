//! An embedding node: leases tasks from the store, turns the samples of the library into vectors, and
//! embeds single pictures that are sent to it.
