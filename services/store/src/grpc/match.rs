//! Matching: numbers and scores over the whole library, for services that go on with them.
//!
//! Numbers are those of one moment: the query is carried out once, and what it found is kept in its
//! compressed form, at most 1 bit a post, until the last page is taken. Scores are worked out in
//! steps between which others have their turn; `store_core::index::TagMatching` says what holds if
//! tags change meanwhile.

use std::time::{Duration, Instant};

use futures_util::stream;
use kit::Shutdown;
use proto::store::v1::{
    MatchQueryRequest, MatchQueryResponse, MatchTagsRequest, MatchTagsResponse, TagMatch,
    match_service_server::MatchService,
};
use store_core::{
    Category, PostId, Store, TagId,
    index::{Found, Matches, Question, TagMatching},
    normal_form,
    query::Query,
};
use tonic::{Request, Response, Status};

use super::{Answers, Door, at_most, page, refuse};
use crate::Error;

/// Numbers in one page, 5 bytes each at most.
const PAGE: usize = 32_768;
/// Most tags that are matched.
const MAX_TAGS: usize = 1_000;
/// Most posts that are scored whatever their place.
const MAX_ALSO: usize = 10_000;
/// Most posts that are returned as the best.
const MAX_BEST: u32 = 10_000;
/// Matching holds the thread for about this long at once.
const HELD: Duration = Duration::from_millis(6);

#[tonic::async_trait]
impl MatchService for Door {
    type MatchQueryStream = Answers<MatchQueryResponse>;

    async fn match_query(
        &self,
        request: Request<MatchQueryRequest>,
    ) -> Result<Response<Self::MatchQueryStream>, Status> {
        let query = Query::of_ranked(&request.into_inner().query).map_err(refuse)?;
        let read = self.engine.read(move |store, _| find(store, &query));
        let pages = Pages {
            found: read.await.map_err(refuse)?,
            after: None,
            shutdown: self.shutdown.clone(),
            over: false,
        };
        let pages = stream::unfold(
            pages,
            |mut pages| async move { Some((pages.next()?, pages)) },
        );
        Ok(Response::new(Box::pin(pages)))
    }

    async fn match_tags(
        &self,
        request: Request<MatchTagsRequest>,
    ) -> Result<Response<MatchTagsResponse>, Status> {
        let asked = Asked::read(request.into_inner()).map_err(refuse)?;
        let matches = self.matches(asked).await.map_err(refuse)?;
        Ok(Response::new(response(matches)))
    }
}

impl Door {
    /// The best matches, worked out in steps.
    async fn matches(&self, asked: Asked) -> Result<Matches, Error> {
        let read = self
            .engine
            .read(move |store, _| Ok(TagMatching::new(store.index(), asked.question(store)?)));
        let mut matching = read.await?;
        loop {
            let steps = self.engine.read(move |store, _| {
                let started = Instant::now();
                let mut more = true;
                while more && started.elapsed() < HELD {
                    more = matching.step(store.index());
                }
                Ok((matching, more))
            });
            let (rest, more) = steps.await?;
            if !more {
                return Ok(rest.finish());
            }
            matching = rest;
        }
    }
}

/// What a query found, being told.
struct Pages {
    found: Found,
    after: Option<PostId>,
    shutdown: Shutdown,
    over: bool,
}

impl Pages {
    fn next(&mut self) -> Option<Result<MatchQueryResponse, Status>> {
        if self.over {
            return None;
        }
        if self.shutdown.is_begun() {
            // An end would say that these were all.
            self.over = true;
            return Some(Err(refuse(Error::Stopping)));
        }
        let ids = self.found.page(self.after, PAGE);
        let first = self.after.is_none();
        self.after = ids.last().copied();
        self.over = ids.len() < PAGE;
        (first || !ids.is_empty()).then_some(Ok(MatchQueryResponse { ids }))
    }
}

/// A question as it was sent.
struct Asked {
    subject: Subject,
    limit: usize,
    also: Vec<PostId>,
    query: Option<Query>,
}

enum Subject {
    /// The tags of this post.
    Post(PostId),
    /// These tags, by name.
    Tags(Vec<String>),
}

impl Asked {
    fn read(request: MatchTagsRequest) -> Result<Self, Error> {
        at_most("tags", request.tags.len(), MAX_TAGS)?;
        at_most("also", request.also.len(), MAX_ALSO)?;
        let subject = match (request.post.as_str(), request.tags) {
            ("", tags) => Subject::Tags(tags),
            (name, tags) if tags.is_empty() => Subject::Post(kit::id::parse("posts/", name)?),
            (name, _) => return Err(Error::field("post", name, "either a post or tags")),
        };
        Ok(Self {
            subject,
            limit: page::size(request.page_size, 100, MAX_BEST)? as usize,
            also: request.also,
            query: match request.query.as_str() {
                "" => None,
                text => Some(Query::of_ranked(text)?),
            },
        })
    }

    /// The question in numbers.
    fn question(self, store: &Store) -> Result<Question, Error> {
        let (tags, except) = match self.subject {
            Subject::Post(id) => (of_post(store, id)?, Some(id)),
            Subject::Tags(names) => (of_names(store, &names), None),
        };
        Ok(Question {
            tags,
            except,
            limit: self.limit,
            also: self.also,
            within: match self.query {
                Some(query) => Some(find(store, &query)?),
                None => None,
            },
        })
    }
}

fn find(store: &Store, query: &Query) -> Result<Found, Error> {
    Ok(store.index().find(&query.plan(store.tags())?))
}

fn of_post(store: &Store, id: PostId) -> Result<Vec<(TagId, Category)>, Error> {
    let post = store.post(id)?.ok_or_else(|| store_core::Error::NotFound {
        noun: "post",
        name: format!("posts/{id}"),
    })?;
    let tags = post.tags.iter().filter_map(|&tag| store.tags().get(tag));
    Ok(tags.map(|tag| (tag.id, tag.category)).collect())
}

/// The tags with these names, each once; unknown ones are left out.
fn of_names(store: &Store, names: &[String]) -> Vec<(TagId, Category)> {
    let known = names
        .iter()
        .filter_map(|name| store.tags().find(&normal_form(name)));
    let mut tags: Vec<_> = known.map(|tag| (tag.id, tag.category)).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn response(matches: Matches) -> MatchTagsResponse {
    let best = matches.best.into_iter().map(|found| TagMatch {
        post: format!("posts/{}", found.post),
        score: found.score,
    });
    MatchTagsResponse {
        matches: best.collect(),
        also: matches.also,
        tags: matches.tags as u32,
    }
}

#[cfg(test)]
mod tests {
    use kit::{Code, Shutdown};

    use super::{PAGE, Pages};

    #[test]
    fn a_shutdown_does_not_look_like_the_end_of_the_numbers() {
        let shutdown = Shutdown::new();
        let mut pages = Pages {
            found: (1..=PAGE as u32 + 1).collect(),
            after: None,
            shutdown: shutdown.clone(),
            over: false,
        };
        assert!(matches!(pages.next(), Some(Ok(page)) if page.ids.len() == PAGE));
        shutdown.begin();
        let refused = pages.next().and_then(Result::err).expect("is refused");
        assert_eq!(kit::code::of(&refused), Code::Unavailable);
        assert!(pages.next().is_none());
    }
}
