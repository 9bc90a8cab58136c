//! What was found, as a message.

use proto::similarity::v1::{
    Channel as WireChannel, ChannelReport, ChannelScore, SimilarPost, SimilarPosts,
};
use proto::store::v1::Cursor;

use crate::blend::{Channel, Hit};
use crate::find::{Found, Report};
use crate::store::name;

/// A channel of the contract as one of ours; `None` for one that is none.
pub(super) fn channel(channel: WireChannel) -> Option<Channel> {
    match channel {
        WireChannel::Unspecified => None,
        WireChannel::Embedding => Some(Channel::Embedding),
        WireChannel::PerceptualHash => Some(Channel::PerceptualHash),
        WireChannel::Colour => Some(Channel::Colour),
        WireChannel::Tags => Some(Channel::Tags),
    }
}

fn wire(channel: Channel) -> WireChannel {
    match channel {
        Channel::Embedding => WireChannel::Embedding,
        Channel::PerceptualHash => WireChannel::PerceptualHash,
        Channel::Colour => WireChannel::Colour,
        Channel::Tags => WireChannel::Tags,
    }
}

/// The whole answer.
pub(super) fn message(found: &Found) -> SimilarPosts {
    SimilarPosts {
        posts: found.hits.iter().map(post).collect(),
        channels: found.channels.iter().map(report).collect(),
        cursor: Some(Cursor {
            epoch: found.cursor.epoch,
            seq: found.cursor.seq,
        }),
        lag: found.lag,
    }
}

fn post(hit: &Hit) -> SimilarPost {
    let scores = Channel::ALL.into_iter().zip(hit.scores);
    SimilarPost {
        post: name(hit.post),
        score: hit.score,
        scores: scores
            .filter_map(|(channel, score)| {
                Some(ChannelScore {
                    channel: wire(channel).into(),
                    score: score?,
                })
            })
            .collect(),
    }
}

fn report(report: &Report) -> ChannelReport {
    let missing = report.missing.as_ref();
    ChannelReport {
        channel: wire(report.channel).into(),
        weight: report.share,
        used: missing.is_none(),
        reason: missing.map_or_else(String::new, |missing| missing.reason().to_owned()),
        message: missing.map_or_else(String::new, ToString::to_string),
    }
}
