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

/// The `.proto` files themselves: path, such as `kumo/store/v1/rating.proto`, and text. What they
/// import besides each other comes with every protobuf compiler.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_contract_is_among_the_sources() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders = vec![folder.join("kumo")];
        let mut found = Vec::new();
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).expect("is there") {
                let path = entry.expect("can be listed").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(folder).expect("lies below it");
                    found.push(name.to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        let mut known: Vec<&str> = SOURCES.iter().map(|(path, _)| *path).collect();
        known.sort_unstable();
        assert_eq!(found, known);
        for (path, text) in SOURCES {
            assert!(text.contains("syntax = \"proto3\";"), "{path}");
        }
    }
}
