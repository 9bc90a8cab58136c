//! Source records as a booru sends them.

use std::fmt::Write as _;

use kumo_store_core::source_record::NewRecord;
use kumo_store_core::{Error, Rating};

use crate::random::Random;
use crate::scale::Scale;
use crate::tags;

/// What the booru says of post `number` from 0: half of its tags, and text to fill its part of all
/// records.
pub(crate) fn record(scale: &Scale, number: u32) -> Result<NewRecord, Error> {
    let half = tags::of_post(scale, number).into_iter().step_by(2);
    let tags: Vec<_> = half
        .map(|tag| (tags::name(tag), tags::category(tag)))
        .collect();
    let names: Vec<&str> = tags.iter().map(|(name, _)| name.as_str()).collect();
    let length = scale.part(scale.record_bytes, number, true) as usize;
    let raw = json(number, &names.join(" "), length);
    let id = (9_000_000 + number).to_string();
    NewRecord::new(
        "danbooru".to_owned(),
        id,
        tags,
        Some(Rating::General),
        raw.into_bytes(),
        Some(1_700_000_000_000),
    )
}

fn json(number: u32, tags: &str, length: usize) -> String {
    let mut random = Random::new(9, u64::from(number));
    let mut json = format!(
        "{{\"id\":{},\"created_at\":\"2024-03-05T12:{:02}:00.000-05:00\",\"rating\":\"g\",\
         \"score\":{},\"fav_count\":{},\"tag_string\":\"{tags}\",\"media_asset\":{{\"variants\":[",
        9_000_000 + number,
        number % 60,
        random.below(500),
        random.below(900),
    );
    for (index, side) in [180, 360, 720, 850].into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let name = random.next();
        // Writing to a string cannot fail.
        let _ = write!(
            json,
            "{comma}{{\"type\":\"{side}x{side}\",\"width\":{side},\"height\":{side},\
             \"url\":\"https://cdn.example.org/{side}x{side}/{name:016x}.webp\"}}"
        );
    }
    json.push_str("]},\"commentary\":\"");
    while json.len() + 2 < length {
        let word = tags::name(random.below(40_000) as u32);
        json.push_str(&word[..word.len().min(length - json.len() - 2)]);
        if json.len() + 2 < length {
            json.push(' ');
        }
    }
    json.push_str("\"}");
    json
}
