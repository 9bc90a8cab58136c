//! Look-alikes: the vectors of a store as files, and timed questions to the similarity service.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use kit::client::Channel;
use proto::{
    similarity::v1::{
        Channel as Way, ChannelWeight, FindSimilarRequest, GetIndexRequest, GetIndexResponse,
        ListDuplicatesRequest, QueryVector, SimilarOptions, SimilarPost,
        find_similar_request::Subject, similarity_service_client::SimilarityServiceClient,
    },
    store::v1::{StreamEmbeddingsRequest, embedding_service_client::EmbeddingServiceClient},
};
use serde_json::{Value, json};

use super::{
    link::{self, Link},
    times::Times,
    vectors::Vectors,
};
use crate::pictures::Dice;

/// No library has so many posts: vectors of numbers from here on are held out from all of them.
const HELD_OUT: u64 = 1 << 33;

/// The score of hashes of which 10 in 256 bits differ.
const DUPLICATE: f32 = 1.0 - 10.0 / 128.0;

/// How long an index may take to load.
const LOADED_WITHIN: Duration = Duration::from_secs(900);

/// Where to write every vector that the store has.
#[derive(Debug, Clone, Args)]
pub struct Dump {
    /// Folder: `ids.u32` and `vectors.f16`, little-endian, one after the other.
    #[arg(long)]
    pub into: PathBuf,
}

/// What to ask the similarity service.
#[derive(Debug, Clone, Args)]
pub struct Similar {
    /// Folder for `queries.f32` and `found.u32`, a row of `--best` numbers each; 0 where there is none.
    #[arg(long)]
    pub into: PathBuf,
    /// Questions by vector, held out from the library.
    #[arg(long, default_value_t = 1_000)]
    pub vectors: usize,
    /// Number of the first of them: others for each block of a run.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// Questions by post, by perceptual hash alone.
    #[arg(long, default_value_t = 0)]
    pub hashes: usize,
    /// Also list all duplicates.
    #[arg(long)]
    pub duplicates: bool,
    /// Posts to find.
    #[arg(long, default_value_t = 20)]
    pub best: i32,
    /// As given to `nodes`.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// As given to `nodes`.
    #[arg(long, default_value_t = 10_000)]
    pub clusters: usize,
}

impl Dump {
    /// Writes them.
    ///
    /// # Errors
    /// If the store does not answer or the folder cannot be written.
    pub async fn run(&self, link: &Link) -> Result<Value> {
        fs::create_dir_all(&self.into)?;
        let mut ids = BufWriter::new(File::create(self.into.join("ids.u32"))?);
        let mut vectors = BufWriter::new(File::create(self.into.join("vectors.f16"))?);
        let mut stream = EmbeddingServiceClient::new(link.store())
            .stream_embeddings(StreamEmbeddingsRequest::default())
            .await?
            .into_inner();
        let (mut count, mut dimensions) = (0_u64, 0);
        while let Some(page) = stream.message().await? {
            dimensions = page.dimensions;
            for embedding in page.embeddings {
                if !embedding.vector.is_empty() {
                    ids.write_all(&link::number::<u32>(&embedding.post)?.to_le_bytes())?;
                    vectors.write_all(&embedding.vector)?;
                    count += 1;
                }
            }
        }
        ids.flush()?;
        vectors.flush()?;
        Ok(json!({"vectors": count, "dimensions": dimensions}))
    }
}

impl Similar {
    /// Asks one question after the other.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn run(&self, link: &Link) -> Result<Value> {
        fs::create_dir_all(&self.into)?;
        let mut service = SimilarityServiceClient::new(link.service("similarity")?);
        let begun = Instant::now();
        let index = loaded(link, &mut service).await?;
        let loading = begun.elapsed().as_secs_f64();
        let by_vector = if self.vectors > 0 {
            ensure!(index.dimensions > 0, "the index has no model");
            let dimensions = index.dimensions as usize;
            let vectors = Vectors::new(self.seed, dimensions, self.clusters);
            self.by_vector(&mut service, &vectors, &index.revision)
                .await?
        } else {
            Times::default()
        };
        let by_hash = self.by_hash(&mut service, index.posts, 0.0).await?;
        let near = self.by_hash(&mut service, index.posts, DUPLICATE).await?;
        let cpu = link.cpu_seconds("similarity")?;
        let duplicates = if self.duplicates {
            list_duplicates(&mut service).await?
        } else {
            Value::Null
        };
        let cpu = link.cpu_seconds("similarity")? - cpu;
        Ok(
            json!({"vector": by_vector.summary(), "vector_ms": by_vector.milliseconds(),
                  "hash": by_hash.summary(), "hash_ms": by_hash.milliseconds(),
                  "near": near.summary(), "near_ms": near.milliseconds(),
                  "duplicates": duplicates, "duplicates_cpu_s": cpu,
                  "posts": index.posts, "vectors": index.vectors, "loading_s": loading}),
        )
    }

    async fn by_vector(
        &self,
        service: &mut SimilarityServiceClient<Channel>,
        vectors: &Vectors,
        revision: &str,
    ) -> Result<Times> {
        let mut queries = BufWriter::new(File::create(self.into.join("queries.f32"))?);
        let mut found = BufWriter::new(File::create(self.into.join("found.u32"))?);
        let mut times = Times::default();
        for number in self.first..self.first + self.vectors as u64 {
            let values = vectors.of(HELD_OUT + number);
            for value in &values {
                queries.write_all(&value.to_le_bytes())?;
            }
            let subject = Subject::Vector(QueryVector {
                revision: revision.to_owned(),
                values,
            });
            let posts = self
                .ask(service, subject, Way::Embedding, 0.0, &mut times)
                .await?;
            let mut row: Vec<u32> = posts
                .iter()
                .map(|post| link::number(&post.post))
                .collect::<Result<_>>()?;
            row.resize(usize::try_from(self.best)?, 0);
            for id in row {
                found.write_all(&id.to_le_bytes())?;
            }
        }
        queries.flush()?;
        found.flush()?;
        Ok(times)
    }

    async fn by_hash(
        &self,
        service: &mut SimilarityServiceClient<Channel>,
        posts: u64,
        min_score: f32,
    ) -> Result<Times> {
        let mut dice = Dice::new(self.seed);
        let mut times = Times::default();
        for _ in 0..self.hashes {
            let subject = Subject::Post(format!("posts/{}", 1 + dice.below(posts)));
            self.ask(service, subject, Way::PerceptualHash, min_score, &mut times)
                .await?;
        }
        Ok(times)
    }

    async fn ask(
        &self,
        service: &mut SimilarityServiceClient<Channel>,
        subject: Subject,
        way: Way,
        min_score: f32,
        times: &mut Times,
    ) -> Result<Vec<SimilarPost>> {
        let request = FindSimilarRequest {
            subject: Some(subject),
            options: Some(SimilarOptions {
                page_size: self.best,
                min_score,
                weights: vec![ChannelWeight {
                    channel: way.into(),
                    weight: 1.0,
                }],
                ..SimilarOptions::default()
            }),
        };
        let begun = Instant::now();
        let answer = service.find_similar(request).await?.into_inner();
        times.since(begun);
        Ok(answer.found.context("an answer without posts")?.posts)
    }
}

/// Waits until the index holds every vector of the store and has followed it to its end.
async fn loaded(
    link: &Link,
    service: &mut SimilarityServiceClient<Channel>,
) -> Result<GetIndexResponse> {
    let begun = Instant::now();
    loop {
        let stats = link.stats().await?;
        // It may not be ready to answer yet.
        let index = service.get_index(GetIndexRequest {}).await;
        let index = index.map(tonic::Response::into_inner);
        match index {
            Ok(index)
                if index.posts == stats.posts
                    && index.vectors == stats.embeddings
                    && index.lag == 0 =>
            {
                return Ok(index);
            }
            other => ensure!(
                begun.elapsed() < LOADED_WITHIN,
                "the index is not complete: {other:?}, the store has {stats:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads all pages; the first one pays for the search.
async fn list_duplicates(service: &mut SimilarityServiceClient<Channel>) -> Result<Value> {
    let mut request = ListDuplicatesRequest {
        page_size: 500,
        ..ListDuplicatesRequest::default()
    };
    let (mut groups, mut posts) = (0, 0);
    let begun = Instant::now();
    let mut first = None;
    loop {
        let mut call = tonic::Request::new(request.clone());
        call.set_timeout(Duration::from_secs(300));
        let page = service.list_duplicates(call).await?.into_inner();
        first.get_or_insert_with(|| begun.elapsed().as_secs_f64());
        groups += page.groups.len();
        posts += page.groups.iter().map(|it| it.posts.len()).sum::<usize>();
        if page.next_page_token.is_empty() {
            return Ok(
                json!({"first_page_s": first, "seconds": begun.elapsed().as_secs_f64(),
                             "groups": groups, "posts": posts, "total": page.total_size,
                             "near_blank": page.near_blank_posts}),
            );
        }
        request.page_token = page.next_page_token;
    }
}
