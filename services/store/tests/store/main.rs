//! The store as its clients see it: real SQLite in a temporary folder, real gRPC on a free port.

mod catalogue;
mod embedding;
mod endurance;
mod facts;
mod following;
mod harness;
mod killing;
mod leasing;
mod matching;
mod people;
mod searching;
mod stopping;
mod subjects;
mod trash;
mod waiting;
