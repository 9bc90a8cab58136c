//! Duplicates: what is asked for, checked, and the groups as messages.

use proto::similarity::v1::{
    DuplicateGroup, DuplicatePost, ListDuplicatesRequest, ListDuplicatesResponse,
};

use super::options::{share, size};
use crate::Error;
use crate::duplicates::Options;
use crate::groups::{Asked, Groups, Kept};
use crate::store::name;

/// Groups a page if the caller does not say how many, and at most.
const DEFAULT_SIZE: i32 = 50;
const MOST: i32 = 500;
/// Farther apart, hashes say nothing.
const MOST_DISTANCE: u32 = 32;

/// A page of groups.
pub(super) async fn list(
    groups: &Groups,
    request: ListDuplicatesRequest,
) -> Result<ListDuplicatesResponse, Error> {
    let size = size("page_size", request.page_size, DEFAULT_SIZE, MOST)?;
    let mut options = Options::default();
    if let Some(distance) = request.max_distance {
        if distance > MOST_DISTANCE {
            return Err(Error::field("max_distance", &distance, "0 to 32"));
        }
        options.max_distance = distance;
    }
    if let Some(cosine) = request.min_cosine {
        options.min_cosine = share("min_cosine", cosine)?;
    }
    let asked = Asked {
        options,
        near_blank: request.near_blank,
    };
    let page = groups.page(asked, size, &request.page_token).await?;
    Ok(ListDuplicatesResponse {
        groups: page.groups.into_iter().map(message).collect(),
        next_page_token: page.next.unwrap_or_default(),
        total_size: page.total,
        near_blank_posts: page.near_blank,
    })
}

fn message(kept: Kept) -> DuplicateGroup {
    let keeper = kept.members.first();
    DuplicateGroup {
        keeper: keeper.map_or_else(String::new, |keeper| name(keeper.post)),
        keeper_reason: kept.reason,
        posts: kept
            .members
            .iter()
            .map(|member| DuplicatePost {
                post: name(member.post),
                distance: member.distance,
                cosine: member.cosine,
                verified: member.verified,
            })
            .collect(),
    }
}
