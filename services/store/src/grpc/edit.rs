//! Edits: what people say of posts, and ratings as messages.

use proto::store::v1::{
    EditPostsRequest, EditPostsResponse, EditedPost, Edits, PostEdit, Rating, TagCategory, TagEdit,
    edit_service_server::EditService,
};
use store_core::{
    Category, PostId, Store,
    edit::{self, RatingChange},
    effective::Judgement,
    post::Post,
};
use tonic::{Request, Response, Status};

use super::{Door, at_most, refuse, tag, timestamp};
use crate::Error;

#[tonic::async_trait]
impl EditService for Door {
    async fn edit_posts(
        &self,
        request: Request<EditPostsRequest>,
    ) -> Result<Response<EditPostsResponse>, Status> {
        let editor = kit::server::principal(&request).name.clone();
        let edits = request.into_inner().edits;
        at_most("posts", edits.len(), edit::MAX_POSTS).map_err(refuse)?;
        let edits: Vec<edit::PostEdit> = edits
            .into_iter()
            .enumerate()
            .map(|(index, edit)| post_edit(&format!("edits[{index}]"), edit))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let write = self.engine.write(move |write, now| {
            let posts = write.edit_posts(&edits, &editor, now)?;
            Ok(posts.iter().map(|post| edited(write, post)).collect())
        });
        let posts = write.await.map_err(refuse)?;
        Ok(Response::new(EditPostsResponse { posts }))
    }
}

fn post_edit(field: &str, message: PostEdit) -> Result<edit::PostEdit, Error> {
    let given = rating(&format!("{field}.rating"), message.rating)?;
    let rating = match (given, message.reset_rating) {
        (None, false) => RatingChange::Keep,
        (Some(rating), false) => RatingChange::Set(rating),
        (None, true) => RatingChange::Reset,
        (Some(_), true) => {
            let rule = "give a rating or reset it, not both";
            return Err(Error::field(format!("{field}.reset_rating"), &true, rule));
        }
    };
    let add = message.add.into_iter().enumerate().map(|(index, new)| {
        let field = format!("{field}.add[{index}].category");
        Ok(edit::NewTag {
            category: category(&field, new.category)?,
            name: new.name,
        })
    });
    Ok(edit::PostEdit {
        post: kit::id::parse("posts/", &message.post)?,
        add: add.collect::<Result<_, Error>>()?,
        remove: message.remove,
        reset: message.reset,
        rating,
    })
}

fn edited(store: &Store, post: &Post) -> EditedPost {
    let table = store.tags();
    let tags = post.tags.iter().filter_map(|&id| table.get(id));
    let mut tags: Vec<String> = tags.map(|tag| tag.name.to_owned()).collect();
    tags.sort_unstable();
    EditedPost {
        post: format!("posts/{}", post.id),
        rating: rating_message(post.rating).into(),
        tags,
        changed_seq: post.changed_seq,
    }
}

/// All that people said of a post; `None` if nobody said anything.
pub(super) fn message(store: &Store, post: PostId) -> Result<Option<Edits>, Error> {
    let table = store.tags();
    let tags = store.tag_edits(post)?.into_iter().filter_map(|said| {
        let (tag, removed) = match said.judgement {
            Judgement::Added(tag) => (tag, false),
            Judgement::Removed(tag) => (tag, true),
        };
        Some(TagEdit {
            name: table.get(tag)?.name.to_owned(),
            removed,
            editor: said.editor,
            time: timestamp(said.edited_ms),
        })
    });
    let mut edits = Edits {
        tags: tags.collect(),
        ..Edits::default()
    };
    edits.tags.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(said) = store.rating_edit(post)? {
        edits.rating = rating_message(Some(said.rating)).into();
        edits.rating_editor = said.editor;
        edits.rating_time = timestamp(said.edited_ms);
    }
    Ok((edits != Edits::default()).then_some(edits))
}

/// The category of a tag, if one is given.
pub(super) fn category(field: &str, message: i32) -> Result<Option<Category>, Error> {
    if message == i32::from(TagCategory::Unspecified) {
        return Ok(None);
    }
    match tag::category(field, message)? {
        Some(category) => Ok(Some(category)),
        None => Err(Error::field(
            field,
            &message,
            "a rating is no tag; give it as the rating",
        )),
    }
}

/// A rating as a message.
pub(super) fn rating_message(rating: Option<store_core::Rating>) -> Rating {
    match rating {
        None => Rating::Unspecified,
        Some(store_core::Rating::General) => Rating::General,
        Some(store_core::Rating::Sensitive) => Rating::Sensitive,
        Some(store_core::Rating::Questionable) => Rating::Questionable,
        Some(store_core::Rating::Explicit) => Rating::Explicit,
    }
}

/// What a message says of a rating.
pub(super) fn rating(field: &str, message: i32) -> Result<Option<store_core::Rating>, Error> {
    match Rating::try_from(message) {
        Ok(Rating::Unspecified) => Ok(None),
        Ok(Rating::General) => Ok(Some(store_core::Rating::General)),
        Ok(Rating::Sensitive) => Ok(Some(store_core::Rating::Sensitive)),
        Ok(Rating::Questionable) => Ok(Some(store_core::Rating::Questionable)),
        Ok(Rating::Explicit) => Ok(Some(store_core::Rating::Explicit)),
        Err(_) => Err(Error::field(field, &message, "a Rating")),
    }
}
