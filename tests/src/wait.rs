//! Waiting for something to become so, with a deadline: tests never sleep and hope.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Asks `check` until it gives a value, at most `seconds`; panics with `what` and the last refusal.
#[expect(clippy::panic, reason = "a test that waited in vain has failed")]
pub fn until<T>(what: &str, seconds: u64, mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        match check() {
            Ok(value) => return value,
            Err(refusal) if Instant::now() > deadline => {
                panic!("waited {seconds} s until {what}; last seen: {refusal}")
            }
            Err(_) => thread::sleep(Duration::from_millis(25)),
        }
    }
}
