//! A cluster with the library in it, and the questions.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use kit::client::Channel as Connection;
use proto::similarity::v1::{
    Channel, ChannelWeight, FindSimilarToImageRequest, GetIndexRequest, SimilarOptions,
    similarity_service_client::SimilarityServiceClient,
};
use tokio::runtime::Runtime;

use super::{
    change::Change,
    library::{self, Library},
    table::Table,
};
use crate::{
    cluster::{Machine, Program},
    load::Link,
    wait,
};

/// The columns of the table: the default blend, and each channel alone.
pub const CHANNELS: [(&str, Option<Channel>); 4] = [
    ("blended", None),
    ("embedding", Some(Channel::Embedding)),
    ("perceptual hash", Some(Channel::PerceptualHash)),
    ("colour", Some(Channel::Colour)),
];

/// Bytes of a message.
const PIECE: usize = 256 << 10;

/// A running cluster that has the whole library in its index.
#[derive(Debug)]
pub struct Trial {
    library: Library,
    /// File name → `posts/123`.
    posts: HashMap<String, String>,
    runtime: Runtime,
    service: SimilarityServiceClient<Connection>,
    _programs: [Program; 4],
    _machine: Machine,
}

impl Trial {
    /// Writes the library, starts store, watcher, embedder and similarity, and waits until every
    /// picture is in the index with its vector.
    ///
    /// # Errors
    /// If something does not start or become ready.
    pub fn start(library: Library, seconds: u64) -> Result<Self> {
        let machine = Machine::new();
        library.write(&machine.library())?;
        let store = machine.start_store();
        let address = machine.store_address();
        let beside = ["--store", address.as_str()];
        let embedder = machine.start("embedder", &beside);
        let similarity = machine.start("similarity", &beside);
        let watcher = machine.start_watcher();
        machine.settle(library.pictures(), seconds);
        let mut posts = HashMap::new();
        for post in machine.store().search("").map_err(anyhow::Error::msg)? {
            let location = post.locations.first().context("a post without a place")?;
            let name = String::from_utf8(location.path.to_vec())?;
            posts.insert(name, post.name);
        }
        let runtime = Runtime::new()?;
        let service = {
            let _inside = runtime.enter();
            SimilarityServiceClient::new(Link::open(&machine.data())?.service("similarity")?)
        };
        wait::until("every picture has its vector in the index", seconds, || {
            let mut service = service.clone();
            let index = runtime
                .block_on(service.get_index(GetIndexRequest {}))
                .map_err(|status| status.to_string())?
                .into_inner();
            if index.vectors == library.pictures() && index.lag == 0 {
                Ok(())
            } else {
                Err(format!("{index:?}"))
            }
        });
        Ok(Self {
            library,
            posts,
            runtime,
            service,
            _programs: [store, embedder, similarity, watcher],
            _machine: machine,
        })
    }

    /// Looks for each template again after each of the changes, by so many of [`CHANNELS`].
    ///
    /// # Errors
    /// If a question is not answered, or a channel that was asked for took no part.
    pub fn ask(&self, changes: &[Change], channels: usize) -> Result<Table> {
        let mut table = Table::new(changes);
        for number in 0..self.library.templates {
            let picture = self.library.template(number)?;
            let name = library::name(number);
            let right = self
                .posts
                .get(&name)
                .with_context(|| format!("{name} is no post"))?;
            for change in changes {
                self.ask_one(&mut table, &picture, right, *change, (number, channels))?;
            }
        }
        Ok(table)
    }

    fn ask_one(
        &self,
        table: &mut Table,
        picture: &RgbImage,
        right: &str,
        change: Change,
        (seed, channels): (u64, usize),
    ) -> Result<()> {
        let bytes = change.apply(picture, seed)?;
        for (column, (name, channel)) in CHANNELS.iter().enumerate().take(channels) {
            let found = self
                .runtime
                .block_on(self.find(&bytes, *channel))
                .with_context(|| format!("{} by {name}", change.name()))?;
            table.add(change, column, found.iter().position(|post| post == right));
        }
        Ok(())
    }

    /// The ten best.
    async fn find(&self, bytes: &[u8], channel: Option<Channel>) -> Result<Vec<String>> {
        let weight = |channel: Channel| ChannelWeight {
            channel: channel.into(),
            weight: 1.0,
        };
        let options = SimilarOptions {
            page_size: 10,
            weights: channel.map(weight).into_iter().collect(),
            wait: Some(Duration::from_secs(20).try_into()?),
            ..SimilarOptions::default()
        };
        let mut pieces: Vec<_> = bytes
            .chunks(PIECE)
            .map(|piece| FindSimilarToImageRequest {
                options: None,
                data: piece.to_vec().into(),
            })
            .collect();
        pieces.first_mut().context("an empty picture")?.options = Some(options);
        let mut call = tonic::Request::new(futures_util::stream::iter(pieces));
        call.set_timeout(Duration::from_secs(60));
        let answer = self.service.clone().find_similar_to_image(call).await?;
        let found = answer.into_inner().found.context("an empty answer")?;
        let missing = found
            .channels
            .iter()
            .find(|report| !report.used && report.channel() == Channel::Embedding);
        ensure!(
            channel.is_some_and(|channel| channel != Channel::Embedding) || missing.is_none(),
            "the embedding took no part: {missing:?}"
        );
        Ok(found.posts.into_iter().map(|post| post.post).collect())
    }
}
