//! Compiles the contract with protox, so that no protoc has to be installed, and leaves beside the
//! code the descriptor set for reflection and the texts of the files for clients in other languages.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: &[&str] = &[
    "kumo/store/v1/admin_service.proto",
    "kumo/store/v1/capacity_service.proto",
    "kumo/store/v1/edit_service.proto",
    "kumo/store/v1/embedding_service.proto",
    "kumo/store/v1/feed_service.proto",
    "kumo/store/v1/location_service.proto",
    "kumo/store/v1/match_service.proto",
    "kumo/store/v1/model_service.proto",
    "kumo/store/v1/node_service.proto",
    "kumo/store/v1/post_service.proto",
    "kumo/store/v1/rating.proto",
    "kumo/store/v1/source_record_service.proto",
    "kumo/store/v1/tag_service.proto",
    "kumo/store/v1/trash_service.proto",
    "kumo/store/v1/task_service.proto",
    "kumo/media/v1/media_service.proto",
    "kumo/tagger/v1/tagger_service.proto",
    "kumo/embedder/v1/embedder_service.proto",
    "kumo/similarity/v1/similarity_service.proto",
    "kumo/node/v1/process_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    fs::write(out.join("sources.rs"), sources()?)?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}

/// The files as an expression: their paths below this folder, and their texts.
fn sources() -> Result<String, Box<dyn Error>> {
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut table = String::from("&[\n");
    for file in FILES {
        let path = folder.join(file);
        table.push_str(&format!("    ({file:?}, include_str!({path:?})),\n"));
    }
    table.push(']');
    Ok(table)
}
