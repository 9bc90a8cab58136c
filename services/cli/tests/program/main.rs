//! The real `kumo` program against a small store that answers what each story wants.

mod ask;
mod fake;
mod refusals;
mod up;
