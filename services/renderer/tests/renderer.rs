//! The shipped renderer program through the client library, on pictures made here.

#[path = "renderer/make.rs"]
mod make;

#[path = "renderer/confined.rs"]
mod confined;
#[path = "renderer/deaths.rs"]
mod deaths;
#[path = "renderer/formats.rs"]
mod formats;
#[path = "renderer/golden.rs"]
mod golden;
#[path = "renderer/hashes.rs"]
mod hashes;
#[path = "renderer/hostile.rs"]
mod hostile;
#[path = "renderer/orientation.rs"]
mod orientation;
#[path = "renderer/pool.rs"]
mod pool;
#[path = "renderer/upload.rs"]
mod upload;
