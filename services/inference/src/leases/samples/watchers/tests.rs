//! Watchers that never come to an end.

use futures_util::stream;
use kit::trace::TraceContext;
use kit::{Code, Fault};

use super::*;
use crate::leases::task::{Lease, Task};

/// Two samples of eight bytes, that nobody has.
fn searches() -> Vec<Search> {
    let search = |number: u64| Search {
        task: Task {
            lease: Lease {
                task: format!("tasks/{number}").into(),
                token: (1, number),
            },
            sha256: format!("{number:064x}"),
            render_revision: 1,
            sample_bytes: 8,
            sample_sha256: [0; 32],
            paths: Vec::new(),
            addresses: Vec::new(),
            trace: TraceContext::new_root(),
        },
        addresses: Vec::new(),
        failure: None,
    };
    vec![search(1), search(2)]
}

fn piece(index: u32, length: usize, last: bool, error: &str) -> ReadSamplesResponse {
    ReadSamplesResponse {
        index,
        data: vec![7; length].into(),
        last,
        error: error.to_owned(),
    }
}

/// Reads from a watcher that sends these for ever, one each `pause`; the reasons at the end.
async fn reasons_after(pieces: &[ReadSamplesResponse], pause: Duration) -> Vec<String> {
    let pieces = pieces.iter().cloned().map(Ok).cycle();
    let stream = stream::iter(pieces).then(|piece| async move {
        tokio::time::sleep(pause).await;
        piece
    });
    let mut reading = Reading::new("http://den", searches());
    reading.patience = Duration::from_millis(200);
    let read = reading.read(Box::pin(stream), |_, _| panic!("nothing of it is right"));
    let ended = timeout(Duration::from_secs(10), read).await;
    assert!(ended.is_ok(), "it reads for ever");
    let failure = |search: Search| search.failure.expect("it failed").reason;
    reading.left().map(failure).collect()
}

#[tokio::test]
async fn a_stream_without_end_is_left() {
    let endless = [
        vec![piece(0, 0, false, "")],
        vec![piece(0, 1, false, ""), piece(1, 1, false, "")],
        vec![piece(1, 0, true, "SAMPLE_NOT_FOUND")],
    ];
    for pieces in endless {
        let reasons = reasons_after(&pieces, Duration::ZERO).await;
        assert_eq!(reasons, ["STREAM_MALFORMED"; 2], "{pieces:?}");
    }
    let wrong = reasons_after(&[piece(0, 8, true, "")], Duration::ZERO).await;
    assert_eq!(wrong, ["SAMPLE_MISMATCH", "STREAM_MALFORMED"]);
}

#[tokio::test]
async fn a_sample_that_trickles_is_given_up() {
    let trickle = [piece(0, 1, false, "")];
    let reasons = reasons_after(&trickle, Duration::from_millis(60)).await;
    assert_eq!(reasons, ["SOURCE_SLOW"; 2]);
}

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct Odd(&'static str);

impl Fault for Odd {
    fn code(&self) -> Code {
        Code::NotFound
    }
    fn reason(&self) -> &'static str {
        self.0
    }
}

#[test]
fn a_reason_that_is_no_code_is_not_handed_on() {
    // The store would refuse the report, and with it all that stands in the same one.
    for odd in ["lower case", ""] {
        let failure = refused("http://den", &kit::code::status(&Odd(odd)));
        assert_eq!(failure.reason, "SAMPLE_REFUSED", "{odd}");
    }
    let failure = refused("http://den", &kit::code::status(&Odd("DISK_AWAY")));
    assert_eq!(failure.reason, "DISK_AWAY");
}
