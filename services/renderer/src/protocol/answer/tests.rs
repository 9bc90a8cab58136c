//! Answers written and read, and answers that must not be believed.

use std::time::Duration;

use super::{Answer, HEAD_BYTES, Head, encode};
use crate::error::{Reason, Refusal};
use crate::format::Format;
use crate::hashes::PerceptualHash;
use crate::render::Order;
use crate::rendered::{Rendered, Rendition, Wanted};

const ORDER: Order = Order {
    wanted: Wanted::ALL,
    side: 1000,
    pixels: 100_000,
    file_bytes: 1 << 20,
};

fn rendered() -> Rendered {
    let rendition = |width, height, byte| Rendition {
        jpeg: vec![0xff, 0xd8, 0xff, byte],
        width,
        height,
    };
    Rendered {
        format: Format::WebP,
        width: 100,
        height: 200,
        stored_width: 200,
        stored_height: 100,
        frames: 3,
        has_alpha: true,
        orientation: 6,
        partial: false,
        sample: Some(rendition(100, 200, 1)),
        preview: Some(rendition(50, 100, 2)),
        hash: Some(PerceptualHash {
            bits: [7; 32],
            detail: 1234,
        }),
        blur_hash: Some("L".repeat(28)),
        cpu_time: Duration::ZERO,
    }
}

fn decode(bytes: &[u8], order: Order) -> Option<Answer> {
    let (head, mut rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let head = Head::decode(head)?;
    let body = head.lengths()?.map(|length| {
        let (part, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        part.to_vec()
    });
    head.join(body, order)
}

#[test]
fn an_answer_is_read_as_it_was_written() {
    let done: Answer = Ok(rendered());
    assert_eq!(decode(&encode(&done), ORDER), Some(done));
    let refused: Answer = Err(Refusal::new(Reason::Corrupt, "two heads"));
    assert_eq!(decode(&encode(&refused), ORDER), Some(refused));
}

#[test]
fn a_long_or_unprintable_text_is_cut_and_cleaned() {
    let refused = Err(Refusal::new(
        Reason::Corrupt,
        format!("\x1b[2J{}", "é".repeat(600)),
    ));
    let Some(Err(refusal)) = decode(&encode(&refused), ORDER) else {
        panic!("a refusal");
    };
    assert!(refusal.detail.len() <= 512 && refusal.detail.starts_with("[2J"));
}

#[test]
fn what_was_not_ordered_is_not_believed() {
    let spoil: [fn(&mut Rendered); 10] = [
        |it| it.orientation = 0,
        |it| it.orientation = 1,
        |it| it.frames = 0,
        |it| it.sample = None,
        |it| it.hash = None,
        |it| it.blur_hash = Some("\n".repeat(28)),
        |it| it.width = 0,
        |it| (it.height, it.stored_width) = (2000, 2000),
        |it| it.preview.as_mut().expect("made above").width = 5000,
        |it| it.sample.as_mut().expect("made above").jpeg = b"<html>".to_vec(),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let mut answer = rendered();
        spoil(&mut answer);
        assert_eq!(decode(&encode(&Ok(answer)), ORDER), None, "case {number}");
    }
    let unasked = Order {
        wanted: Wanted::SAMPLE,
        ..ORDER
    };
    assert_eq!(decode(&encode(&Ok(rendered())), unasked), None);
}

#[test]
fn no_byte_of_a_head_can_ask_for_more_than_the_caps() {
    let bytes = encode(&Ok(rendered()));
    for at in 0..HEAD_BYTES {
        for value in [0, 1, 0x7f, 0xff] {
            let mut head: [u8; HEAD_BYTES] = bytes[..HEAD_BYTES].try_into().expect("a head");
            head[at] = value;
            let Some(lengths) = Head::decode(&head).and_then(|head| head.lengths()) else {
                continue;
            };
            assert!(lengths.iter().sum::<usize>() < 9 << 20);
        }
    }
}
