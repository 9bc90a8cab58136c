//! What to look for, checked.

use std::time::Duration;

use proto::similarity::v1::{Channel as WireChannel, ChannelWeight, SimilarOptions};
use proto::store::v1::PostSet;
use roaring::RoaringBitmap;

use super::found::channel;
use crate::Error;
use crate::blend::Weights;
use crate::find::Want;

/// Posts returned if the caller does not say how many, and at most.
const DEFAULT_SIZE: i32 = 20;
const MOST: i32 = 1_000;
/// Most posts of a set.
const MOST_WITHIN: usize = 100_000;
/// Longest wait for a node.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Checks what a caller sent.
pub(super) fn read(options: SimilarOptions) -> Result<Want, Error> {
    Ok(Want {
        k: size("options.page_size", options.page_size, DEFAULT_SIZE, MOST)?,
        weights: weights(&options.weights)?,
        query: options.query,
        within: options.within.map(within).transpose()?,
        min_score: share("options.min_score", options.min_score)?,
        wait: wait(options.wait)?,
    })
}

/// A page size: `default` for 0, never more than `most`.
pub(super) fn size(
    field: &'static str,
    asked: i32,
    default: i32,
    most: i32,
) -> Result<usize, Error> {
    let size = match asked {
        0 => default,
        size => size.min(most),
    };
    usize::try_from(size).map_err(|_| Error::field(field, &asked, "0 or more"))
}

/// A number from 0 to 1.
pub(super) fn share(field: &'static str, value: f32) -> Result<f32, Error> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(Error::field(field, &value, "0 to 1"))
    }
}

/// Refuses vectors that are none, before the index is asked whether they fit its model.
pub(super) fn check_vector(values: &[f32]) -> Result<(), Error> {
    let field = |place: usize, rule| {
        let sent = format!("{} at place {place}", values[place]);
        Err(Error::field("vector.values", &sent, rule))
    };
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        return field(place, "finite numbers");
    }
    if values.iter().all(|value| *value == 0.0) {
        let sent = format!("{} zeros", values.len());
        return Err(Error::field("vector.values", &sent, "not all 0"));
    }
    Ok(())
}

fn weights(asked: &[ChannelWeight]) -> Result<Weights, Error> {
    const FIELD: &str = "options.weights";
    if asked.is_empty() {
        return Ok(Weights::default());
    }
    let mut weights = [None; 4];
    for one in asked {
        let place = match channel(one.channel()) {
            Some(channel) if WireChannel::try_from(one.channel).is_ok() => channel as usize,
            Some(_) | None => {
                let rule = "a channel of the contract, such as CHANNEL_COLOUR";
                return Err(Error::field("options.weights.channel", &one.channel, rule));
            }
        };
        if !(0.0..=Weights::MOST).contains(&one.weight) {
            let rule = "a number from 0 to 1000";
            return Err(Error::field("options.weights.weight", &one.weight, rule));
        }
        if weights[place].replace(one.weight).is_some() {
            let name = one.channel().as_str_name();
            return Err(Error::field(FIELD, name, "each channel at most once"));
        }
    }
    let weights = weights.map(Option::unwrap_or_default);
    Weights::new(weights).ok_or_else(|| Error::field(FIELD, "0", "at least one above 0"))
}

fn within(set: PostSet) -> Result<RoaringBitmap, Error> {
    const FIELD: &str = "options.within.ids";
    let count = set.ids.len();
    if count > MOST_WITHIN {
        return Err(Error::field(FIELD, &count, "at most 100,000 numbers"));
    }
    let posts: RoaringBitmap = set.ids.into_iter().collect();
    if posts.len() != count as u64 {
        let twice = count as u64 - posts.len();
        let sent = format!("{twice} numbers that were there already");
        return Err(Error::field(FIELD, &sent, "each number at most once"));
    }
    Ok(posts)
}

fn wait(asked: Option<prost_types::Duration>) -> Result<Duration, Error> {
    let Some(asked) = asked else {
        return Ok(Duration::ZERO);
    };
    let wait = Duration::try_from(asked);
    let wait =
        wait.map_err(|_| Error::field("options.wait", &format!("{asked:?}"), "0 to 60 s"))?;
    Ok(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blend::Channel;

    fn weight(channel: WireChannel, weight: f32) -> ChannelWeight {
        ChannelWeight {
            channel: channel.into(),
            weight,
        }
    }

    fn weighted(weights: &[ChannelWeight]) -> Result<Want, Error> {
        read(SimilarOptions {
            weights: weights.to_vec(),
            ..SimilarOptions::default()
        })
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let want = read(SimilarOptions::default()).expect("is fine");
        assert_eq!((want.k, want.wait), (20, Duration::ZERO));
        assert_eq!(want.weights, Weights::default());
        assert!(want.within.is_none() && want.query.is_empty());
    }

    #[test]
    fn sizes_and_waits_have_ceilings_and_no_negatives() {
        let sized = |page_size| {
            read(SimilarOptions {
                page_size,
                ..SimilarOptions::default()
            })
        };
        assert_eq!(sized(10_000_000).ok().map(|want| want.k), Some(1_000));
        assert!(sized(-1).is_err() && sized(i32::MIN).is_err());
        let waited = |seconds, nanos| {
            read(SimilarOptions {
                wait: Some(prost_types::Duration { seconds, nanos }),
                ..SimilarOptions::default()
            })
        };
        assert_eq!(
            waited(900, 0).ok().map(|want| want.wait),
            Some(LONGEST_WAIT)
        );
        assert!(waited(-1, 0).is_err() && waited(0, -5).is_err());
    }

    #[test]
    fn weights_are_checked_one_by_one() {
        let some = weighted(&[
            weight(WireChannel::Colour, 2.0),
            weight(WireChannel::Tags, 0.0),
        ]);
        let some = some.expect("is fine").weights;
        assert_eq!(
            Channel::ALL.map(|channel| some.of(channel)),
            [0.0, 0.0, 2.0, 0.0]
        );
        for bad in [
            vec![weight(WireChannel::Unspecified, 1.0)],
            vec![weight(WireChannel::Colour, f32::NAN)],
            vec![weight(WireChannel::Colour, f32::INFINITY)],
            vec![weight(WireChannel::Colour, -0.1)],
            vec![weight(WireChannel::Colour, 1000.1)],
            vec![weight(WireChannel::Colour, 0.0)],
            vec![
                weight(WireChannel::Colour, 1.0),
                weight(WireChannel::Colour, 1.0),
            ],
            vec![ChannelWeight {
                channel: 99,
                weight: 1.0,
            }],
        ] {
            assert!(weighted(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn scores_sets_and_vectors_are_checked() {
        for bad in [-0.1, 1.1, f32::NAN] {
            assert!(share("min_score", bad).is_err(), "{bad}");
        }
        let set = |ids: Vec<u32>| {
            within(PostSet {
                ids,
                keep_order: false,
            })
        };
        assert_eq!(set(vec![3, 1]).ok().map(|set| set.len()), Some(2));
        assert!(set(vec![3, 3]).is_err());
        assert!(set((0..100_001).collect()).is_err());
        assert!(check_vector(&[0.0, 1e-30]).is_ok());
        for bad in [
            vec![],
            vec![0.0, -0.0],
            vec![1.0, f32::NAN],
            vec![f32::INFINITY],
        ] {
            assert!(check_vector(&bad).is_err(), "{bad:?}");
        }
    }
}
