//! The real `kumo` program against a small store that answers what each story wants.

mod ask;
mod facts;
mod fake;
mod follow;
mod refusals;
mod search;
mod similar;
mod token;
mod unread;
mod up;
