//! The contract: messages, clients and servers of every service, one line a package.
//!
//! The `.proto` files under `proto/kumo/` are the source; this crate is what the compiler makes of
//! them, and depends on nothing of ours.

/// The store's services.
pub mod store {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("kumo.store.v1");
    }
}

/// Bytes of pictures.
pub mod media {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("kumo.media.v1");
    }
}

/// Tagging on demand.
pub mod tagger {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("kumo.tagger.v1");
    }
}

/// Embedding on demand.
pub mod embedder {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("kumo.embedder.v1");
    }
}

/// Look-alikes.
pub mod similarity {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("kumo.similarity.v1");
    }
}

/// What every process tells about itself.
pub mod node {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("kumo.node.v1");
    }
}

/// The encoded descriptor set of all packages, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
