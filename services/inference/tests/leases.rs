//! The loop of a node against a store that checks every word, with the real ONNX Runtime.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "leases/device.rs"]
mod device;
#[path = "leases/media.rs"]
mod media;
#[path = "leases/node.rs"]
mod node;
#[path = "leases/served.rs"]
mod served;
#[path = "leases/state.rs"]
mod state;
#[path = "leases/store.rs"]
mod store;

#[path = "leases/absence.rs"]
mod absence;
#[path = "leases/sources.rs"]
mod sources;
#[path = "leases/work.rs"]
mod work;
