//! The channels by which pictures are compared, as people type and read them.

use proto::similarity::v1::{Channel, ChannelReport, ChannelWeight, SimilarPost, SimilarPosts};
use serde_json::{Value, json};

use crate::terminal::Terminal;

/// All channels, in the order in which they are shown.
pub(crate) const ALL: [Channel; 4] = [
    Channel::Embedding,
    Channel::PerceptualHash,
    Channel::Colour,
    Channel::Tags,
];

/// `embedding`, `hash`…
pub(crate) fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Unspecified => "unknown",
        Channel::Embedding => "embedding",
        Channel::PerceptualHash => "hash",
        Channel::Colour => "colour",
        Channel::Tags => "tags",
    }
}

/// Reads `tags` or `tags=0.5`.
pub(super) fn weight(text: &str) -> Result<ChannelWeight, String> {
    let (word, weight) = text.split_once('=').unwrap_or((text, "1"));
    let channel = match word {
        "embedding" => Channel::Embedding,
        "hash" | "perceptual_hash" => Channel::PerceptualHash,
        "colour" | "color" => Channel::Colour,
        "tags" => Channel::Tags,
        _ => return Err("the channels are embedding, hash, colour and tags".to_owned()),
    };
    match weight.parse() {
        Ok(weight) if (0.0..=1000.0).contains(&weight) => Ok(ChannelWeight {
            channel: channel.into(),
            weight,
        }),
        _ => Err("a weight is a number from 0 to 1000, as in embedding=0.5".to_owned()),
    }
}

/// What a channel says of a post.
pub(super) fn score(post: &SimilarPost, channel: Channel) -> Option<f32> {
    let mut scores = post.scores.iter();
    let found = scores.find(|score| score.channel() == channel);
    found.map(|score| score.score)
}

/// Whether and why a channel was left out, for programs.
pub(super) fn as_json(report: &ChannelReport) -> Value {
    json!({
        "channel": name(report.channel()),
        "weight": report.weight,
        "used": report.used,
        "reason": report.reason,
        "message": report.message,
    })
}

/// Tells a person which channels were left out, why, and what helps.
pub(crate) fn missing(found: &SimilarPosts, waits: bool, terminal: &Terminal) {
    for report in found.channels.iter().filter(|report| !report.used) {
        if report.reason.is_empty() {
            continue;
        }
        terminal.say(&format!(
            "without {}: {} ({})",
            name(report.channel()),
            report.message,
            report.reason
        ));
        if let Some(hint) = hint(&report.reason, waits) {
            terminal.hint(hint);
        }
    }
    if found.lag > 0 {
        let lag = crate::amount::of(found.lag, "change");
        terminal.say(&format!("the index is {lag} behind the library"));
    }
}

fn hint(reason: &str, waits: bool) -> Option<&'static str> {
    match reason {
        "NO_EMBEDDER" if !waits => {
            Some("one was asked for, and `kumo up` starts it; `kumo similar --wait` waits for it")
        }
        "NO_EMBEDDER" | "EMBEDDER_FAILED" => Some(
            "`kumo nodes` shows the embedders; the log of that of `kumo up` is DATA/logs/embedder.log",
        ),
        "NO_MODEL" => Some("`kumo up` registers an embedding model; `kumo models` lists them"),
        "NOT_EMBEDDED" => Some("`kumo models` shows how far the embedding is"),
        "NO_TAGS" => Some("`kumo edit POST +tag` gives it one"),
        "STORE_UNAVAILABLE" => Some("`kumo status` says how the store is"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_typed_with_or_without_a_weight() {
        let read = |text| weight(text).map(|w| (w.channel(), w.weight));
        assert_eq!(read("tags"), Ok((Channel::Tags, 1.0)));
        assert_eq!(read("hash=0.25"), Ok((Channel::PerceptualHash, 0.25)));
        assert_eq!(read("color=0"), Ok((Channel::Colour, 0.0)));
        for wrong in ["smell", "tags=", "tags=-1", "tags=nan", "tags=1001"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_channel_that_is_shown_can_be_typed() {
        for channel in ALL {
            assert_eq!(weight(name(channel)).map(|w| w.channel()), Ok(channel));
        }
    }
}
