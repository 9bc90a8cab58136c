//! The similarity service against a store that can be made to go away, lie, stall and switch models.

#[path = "similarity/answering.rs"]
mod answering;
#[path = "similarity/den.rs"]
mod den;
#[path = "similarity/facts.rs"]
mod facts;
#[path = "similarity/following.rs"]
mod following;
#[path = "similarity/grouping.rs"]
mod grouping;
#[path = "similarity/node.rs"]
mod node;
#[path = "similarity/pictures.rs"]
mod pictures;
#[path = "similarity/state.rs"]
mod state;
#[path = "similarity/store.rs"]
mod store;
