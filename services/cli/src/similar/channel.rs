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

/// Tells a person which channels were left out, why, and what helps. That a picture has no tags is
/// only told if `tags` was asked for by name (`named`).
pub(crate) fn missing(found: &SimilarPosts, named: bool, terminal: &Terminal) {
    let left_out = found.channels.iter().filter(|report| {
        let is_natural = report.reason == "NOT_IN_SUBJECT" && !named;
        !report.used && !report.reason.is_empty() && !is_natural
    });
    for report in left_out {
        terminal.say(&format!(
            "without {}: {} ({})",
            name(report.channel()),
            report.message,
            report.reason
        ));
    }
    if found.lag > 0 {
        let lag = crate::amount::of(found.lag, "change");
        terminal.say(&format!("the index is {lag} behind the library"));
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
