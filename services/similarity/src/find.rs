//! One search from its subject to its answer: filter, candidates, tags, blend.
//!
//! All steps work on one frozen state of the index. A channel that cannot take part is left out and
//! said; only what the caller restricted the search to must be known.

mod missing;
mod picture;
mod tags;

use std::sync::Arc;
use std::time::Duration;

use kit::Credential;
use renderer::Pool;
use roaring::RoaringBitmap;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::Error;
use crate::blend::{Channel, Hit, Weights};
use crate::embedder::Embedders;
use crate::index::{Candidates, PostId, Search, Subject};
use crate::live::{Live, View, revision};
use crate::snapshot::Position;
use crate::store::{SHORT, Store};
pub(crate) use missing::Missing;

/// Finds posts that are like something.
pub(crate) struct Finder {
    live: Arc<Live>,
    store: Store,
    embedders: Embedders,
    pool: Pool,
    pictures: Semaphore,
}

/// What to look for.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    /// Most posts.
    pub(crate) k: usize,
    pub(crate) weights: Weights,
    /// Only what this finds; empty for all.
    pub(crate) query: String,
    /// Only these.
    pub(crate) within: Option<RoaringBitmap>,
    pub(crate) min_score: f32,
    /// How long to wait for an embedding node.
    pub(crate) wait: Duration,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) hits: Vec<Hit>,
    /// Each channel that has a weight.
    pub(crate) channels: Vec<Report>,
    pub(crate) cursor: Position,
    pub(crate) lag: u64,
}

/// Whether a channel took part.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) channel: Channel,
    /// Share of its weight among those used.
    pub(crate) share: f32,
    pub(crate) missing: Option<Missing>,
}

/// What is compared with, and why it lacks what it lacks.
struct Query {
    /// Its vector, if it has one; else why not.
    embedding: Result<(), Missing>,
    source: Source,
    /// The post with the very same bytes, which comes first and scores 1.
    same: Option<PostId>,
}

enum Source {
    Post(PostId),
    Outside(Box<Subject>),
}

/// The first step of a search.
struct Begun {
    view: View,
    subject: Subject,
    candidates: Candidates,
}

impl Finder {
    pub(crate) fn new(
        live: Arc<Live>,
        store: Store,
        credential: Credential,
        pool: Pool,
        renderers: u8,
    ) -> Self {
        Self {
            embedders: Embedders::new(store.clone(), credential),
            live,
            store,
            pool,
            pictures: Semaphore::new(usize::from(renderers)),
        }
    }

    /// Posts like a post, itself left out.
    pub(crate) async fn like_post(&self, post: PostId, want: Want) -> Result<Found, Error> {
        let embedding = if want.weights.of(Channel::Embedding) > 0.0 {
            self.vector_of(post, want.wait).await?
        } else {
            Ok(())
        };
        let source = Source::Post(post);
        let query = Query {
            embedding,
            source,
            same: None,
        };
        self.search(query, want).await
    }

    /// Posts whose vectors are like this one, of the model of that revision.
    pub(crate) async fn like_vector(
        &self,
        asked: String,
        values: Vec<f32>,
        want: Want,
    ) -> Result<Found, Error> {
        let unit = self.live.read(move |view| {
            let serving = revision(view.index.model().ok_or(Error::NoModel)?);
            if asked != serving {
                let asked = asked.chars().take(100).collect();
                return Err(Error::Revision { asked, serving });
            }
            let dimensions = view.index.model().map_or(0, |model| model.dimensions);
            if values.len() != dimensions {
                let rule = format!("as many as the model has dimensions: {dimensions}");
                let sent = format!("{} numbers", values.len());
                return Err(Error::field("vector.values", &sent, rule));
            }
            let unit = view.index.unit(&values);
            unit.map_err(|refused| {
                let sent = format!("{} numbers", values.len());
                Error::field("vector.values", &sent, refused.to_string())
            })
        });
        self.live.loaded()?;
        let subject = Subject::outside(Some(unit.await??), None, None);
        let query = Query {
            embedding: Ok(()),
            source: Source::Outside(Box::new(subject)),
            same: None,
        };
        self.search(query, want).await
    }

    /// Whether a post has a vector; waits for it a while if it has none, and asks for somebody to
    /// make it.
    async fn vector_of(&self, post: PostId, wait: Duration) -> Result<Result<(), Missing>, Error> {
        let mut changes = self.live.watch();
        let deadline = Instant::now() + wait;
        let mut asked = false;
        loop {
            changes.mark_unchanged();
            self.live.loaded()?;
            let held = self.live.read(move |view| {
                let subject = view.index.subject(post);
                (view.index.model().is_some(), subject)
            });
            let (model, subject) = held.await?;
            let subject = subject.ok_or_else(|| self.no_such(post))?;
            if subject.has(Channel::Embedding) {
                return Ok(Ok(()));
            }
            if !model {
                return Ok(Err(Missing::NoModel));
            }
            if !std::mem::replace(&mut asked, true) {
                // Whoever comes does the queue first; this only makes somebody come.
                let _ = self.store.embedders().await;
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Err(Missing::NotEmbedded)),
            }
        }
    }

    fn no_such(&self, post: PostId) -> Error {
        let lag = self.live.standing().lag();
        Error::NoSuchPost { post, lag }
    }

    /// The posts that the search is restricted to.
    async fn filter(&self, want: &Want) -> Result<Option<RoaringBitmap>, Error> {
        if want.query.trim().is_empty() {
            return Ok(want.within.clone());
        }
        let mut found = self.store.find(&want.query).await?;
        if let Some(within) = &want.within {
            found &= within;
        }
        Ok(Some(found))
    }

    async fn search(&self, query: Query, want: Want) -> Result<Found, Error> {
        let filter = Arc::new(self.filter(&want).await?);
        // Held to the end: it is what bounds the frozen states that there are at once.
        let _place = self.live.place().await?;
        let begun = self.begin(&query, &want, Arc::clone(&filter)).await?;
        let tags = match begun.subject.post {
            _ if want.weights.of(Channel::Tags) <= 0.0 => Err(Missing::NotInSubject),
            None => Err(Missing::NotInSubject),
            Some(post) => {
                let asked = tags::Asked {
                    post,
                    pool: crate::index::pool(want.k),
                    candidates: &begun.candidates.posts,
                    query: &want.query,
                    within: filter.as_ref().as_ref().filter(|_| want.within.is_some()),
                };
                let hurry = !self.live.standing().following;
                tags::score(&self.store, asked, hurry).await
            }
        };
        let (scores, tags) = match tags {
            Ok(scores) => (Some(scores), Ok(())),
            Err(missing) => (None, Err(missing)),
        };
        let channels = reports(&begun.subject, &want.weights, query.embedding, tags);
        let cursor = begun.view.cursor.unwrap_or(Position { epoch: 0, seq: 0 });
        let blending = self.live.compute(move || {
            let search = search(&want, filter.as_ref().as_ref());
            let index = &begun.view.index;
            let hits = index.blend(&begun.subject, &search, &begun.candidates, scores.as_ref());
            match query.same {
                Some(same) => with_first(same, hits, &begun, &search),
                None => hits,
            }
        });
        let hits = blending.await?;
        let standing = self.live.standing();
        Ok(Found {
            hits,
            channels,
            cursor,
            lag: standing.head.saturating_sub(cursor.seq) + standing.pending,
        })
    }

    /// How long to wait for what an answer can do without.
    fn patience(&self) -> Duration {
        if self.live.standing().following {
            SHORT
        } else {
            tags::HURRY
        }
    }

    async fn begin(
        &self,
        query: &Query,
        want: &Want,
        filter: Arc<Option<RoaringBitmap>>,
    ) -> Result<Begun, Error> {
        self.live.loaded()?;
        let (want, outside) = (want.clone(), query.source.outside());
        let post = query.source.post();
        let begun = self.live.read(move |view| {
            // The store may have been replaced since it was looked whether all is loaded.
            if view.cursor.is_none() {
                let posts = view.index.posts();
                return Err(Error::Loading { posts });
            }
            let subject = match outside {
                Some(subject) => Some(subject),
                None => post.and_then(|post| view.index.subject(post)),
            };
            let Some(subject) = subject else {
                return Ok(None);
            };
            let candidates = {
                let search = search(&want, filter.as_ref().as_ref());
                view.index.candidates(&subject, &search)
            };
            Ok(Some(Begun {
                view,
                subject,
                candidates,
            }))
        });
        begun
            .await??
            .ok_or_else(|| self.no_such(post.unwrap_or_default()))
    }
}

impl Source {
    fn outside(&self) -> Option<Subject> {
        match self {
            Self::Post(_) => None,
            Self::Outside(subject) => Some(Subject::clone(subject)),
        }
    }

    fn post(&self) -> Option<PostId> {
        match self {
            Self::Post(post) => Some(*post),
            Self::Outside(_) => None,
        }
    }
}

fn search<'a>(want: &Want, within: Option<&'a RoaringBitmap>) -> Search<'a> {
    Search {
        weights: want.weights,
        within,
        k: want.k,
        min_score: want.min_score,
    }
}

/// Puts a post with the very same bytes first, unless it is not asked for or there is nothing to
/// compare it by. It is as like as can be, though its vector was made of a smaller picture.
fn with_first(same: PostId, mut hits: Vec<Hit>, begun: &Begun, search: &Search<'_>) -> Vec<Hit> {
    let asked_for = search.within.is_none_or(|within| within.contains(same));
    let alone = Candidates { posts: vec![same] };
    let only = Search {
        k: 1,
        min_score: 0.0,
        ..*search
    };
    let found = begun.view.index.blend(&begun.subject, &only, &alone, None);
    if let Some(mut hit) = found.into_iter().next().filter(|_| asked_for) {
        hit.score = 1.0;
        hit.scores = hit.scores.map(|score| score.map(|_| 1.0));
        hits.retain(|hit| hit.post != same);
        hits.insert(0, hit);
        hits.truncate(search.k);
    }
    hits
}

/// What became of each channel that has a weight.
fn reports(
    subject: &Subject,
    weights: &Weights,
    embedding: Result<(), Missing>,
    tags: Result<(), Missing>,
) -> Vec<Report> {
    let own = |channel, why| {
        if subject.has(channel) {
            Ok(())
        } else {
            Err(why)
        }
    };
    let hash = if subject.near_blank {
        Missing::NearBlank
    } else {
        Missing::NotInSubject
    };
    let embedding = match embedding {
        // The model was switched in the meantime.
        Ok(()) => own(Channel::Embedding, Missing::NotEmbedded),
        missing => missing,
    };
    let outcomes = [
        embedding,
        own(Channel::PerceptualHash, hash),
        own(Channel::Colour, Missing::NotInSubject),
        tags,
    ];
    let weighs = |channel: &Channel| weights.of(*channel) > 0.0;
    let mut used = [false; 4];
    for (channel, outcome) in Channel::ALL.iter().zip(&outcomes) {
        used[*channel as usize] = weighs(channel) && outcome.is_ok();
    }
    let channels = Channel::ALL.into_iter().zip(outcomes);
    channels
        .filter(|(channel, _)| weighs(channel))
        .map(|(channel, outcome)| Report {
            channel,
            share: weights.share(channel, used),
            missing: outcome.err(),
        })
        .collect()
}
