//! Tags: the table of names, and categories as messages.

use std::{cmp::Reverse, collections::BinaryHeap};

use proto::store::v1::{
    ListTagsRequest, ListTagsResponse, Tag, TagCategory, tag_service_server::TagService,
};
use store_core::{Category, Store};
use tonic::{Request, Response, Status};

use super::{Door, page, refuse};
use crate::Error;

#[tonic::async_trait]
impl TagService for Door {
    async fn list_tags(
        &self,
        request: Request<ListTagsRequest>,
    ) -> Result<Response<ListTagsResponse>, Status> {
        let ListTagsRequest { prefix, page_size } = request.into_inner();
        let size = page::size(page_size, 50, 1_000).map_err(refuse)?;
        let prefix = normal_prefix(&prefix).map_err(refuse)?;
        let read = self
            .engine
            .read(move |store, _| Ok(most_used(store, &prefix, size as usize)));
        let tags = read.await.map_err(refuse)?;
        Ok(Response::new(ListTagsResponse { tags }))
    }
}

/// Names are kept in lower case, with `_` for white space.
fn normal_prefix(prefix: &str) -> Result<String, Error> {
    if prefix.len() > store_core::tag::MAX_TAG_BYTES {
        return Err(Error::field("prefix", prefix, "at most 200 bytes"));
    }
    let spaced = |c: char| if c.is_whitespace() { '_' } else { c };
    let joined: String = prefix.trim_start().chars().map(spaced).collect();
    Ok(joined.to_lowercase())
}

/// The `limit` most used tags with a prefix, ties by name; holds no more than these at once.
fn most_used(store: &Store, prefix: &str, limit: usize) -> Vec<Tag> {
    let mut first: BinaryHeap<Reverse<(u64, Reverse<&str>, Category)>> = BinaryHeap::new();
    for tag in store.tags().with_prefix(prefix) {
        let place = Reverse((
            store.index().tag_count(tag.id),
            Reverse(tag.name),
            tag.category,
        ));
        if first.len() < limit {
            first.push(place);
        } else if let Some(mut last) = first.peek_mut()
            && place < *last
        {
            *last = place;
        }
    }
    let places = first.into_sorted_vec().into_iter();
    places
        .map(|Reverse((count, Reverse(name), category))| Tag {
            name: format!("tags/{name}"),
            category: category_message(category).into(),
            post_count: count,
        })
        .collect()
}

/// A category as a message.
pub(super) fn category_message(category: Category) -> TagCategory {
    match category {
        Category::General => TagCategory::General,
        Category::Character => TagCategory::Character,
        Category::Copyright => TagCategory::Copyright,
        Category::Artist => TagCategory::Artist,
        Category::Species => TagCategory::Species,
        Category::Meta => TagCategory::Meta,
    }
}

/// What a message says of a label: a category, or a rating (`None`).
pub(super) fn category(field: &str, message: i32) -> Result<Option<Category>, Error> {
    let known = match TagCategory::try_from(message) {
        Ok(TagCategory::General) => Some(Category::General),
        Ok(TagCategory::Character) => Some(Category::Character),
        Ok(TagCategory::Copyright) => Some(Category::Copyright),
        Ok(TagCategory::Artist) => Some(Category::Artist),
        Ok(TagCategory::Species) => Some(Category::Species),
        Ok(TagCategory::Meta) => Some(Category::Meta),
        Ok(TagCategory::Rating) => None,
        Ok(TagCategory::Unspecified) | Err(_) => {
            return Err(Error::field(field, &message, "a TagCategory other than 0"));
        }
    };
    Ok(known)
}
