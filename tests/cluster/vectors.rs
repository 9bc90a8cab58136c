//! Pictures get vectors: from the file to the stream that look-alike search reads, with the real
//! store, watcher and embedder.

use std::collections::HashMap;
use std::time::Duration;

use half::f16;
use kit::{Credential, client::Peer};
use kumo_tests::{
    cluster::{Machine, Program},
    pictures::{jpeg, photo},
    wait,
};
use proto::embedder::v1::{EmbedImageRequest, embedder_service_client::EmbedderServiceClient};
use proto::store::v1::{StreamEmbeddingsRequest, embedding_service_client::EmbeddingServiceClient};
use tokio::runtime::Runtime;

/// Vectors by post, as the stream gives them; a post that has none yet has an empty one.
type Vectors = HashMap<String, Vec<f32>>;

struct Reader {
    runtime: Runtime,
    machine: Peer,
    embedder: Option<Peer>,
}

impl Reader {
    fn new(machine: &Machine, embedder: Option<&Program>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let credential = Credential::local(&machine.data()).expect("the token can be read");
        let (machine, embedder) = {
            let _inside = runtime.enter();
            let peer = |address: &str| Peer::new(address, &credential).expect("an address");
            let embedder = embedder.map(|program| peer(&program.address()));
            (peer(&machine.store_address()), embedder)
        };
        Self {
            runtime,
            machine,
            embedder,
        }
    }

    /// Everything that StreamEmbeddings says; each vector has the length that the model says.
    fn vectors(&self) -> Result<Vectors, String> {
        let mut client = EmbeddingServiceClient::new(self.machine.channel());
        let all = async {
            let request = StreamEmbeddingsRequest::default();
            let mut pages = client.stream_embeddings(request).await?.into_inner();
            let mut vectors = Vectors::new();
            while let Some(page) = pages.message().await? {
                for found in page.embeddings {
                    let bytes = found.vector.chunks_exact(2);
                    let vector: Vec<f32> = bytes
                        .map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32())
                        .collect();
                    if !vector.is_empty() {
                        assert_eq!(vector.len(), page.dimensions as usize);
                        assert_eq!(found.vector.len(), vector.len() * 2);
                    }
                    assert!(
                        vectors.insert(found.post, vector).is_none(),
                        "each post once"
                    );
                }
            }
            Ok::<_, tonic::Status>(vectors)
        };
        self.runtime
            .block_on(all)
            .map_err(|status| status.to_string())
    }

    /// All of so many posts, once each has a vector.
    fn settled(&self, posts: usize) -> Vectors {
        wait::until("every post has a vector", 180, || {
            let vectors = self.vectors()?;
            let has = vectors.values().filter(|vector| !vector.is_empty()).count();
            if vectors.len() == posts && has == posts {
                Ok(vectors)
            } else {
                Err(format!("{has} vectors of {} posts", vectors.len()))
            }
        })
    }

    /// The vector of a picture that is sent to the embedder.
    fn embed(&self, bytes: &[u8]) -> Vec<f32> {
        let peer = self.embedder.as_ref().expect("it was named");
        let pieces: Vec<EmbedImageRequest> = bytes
            .chunks(256 << 10)
            .map(|piece| EmbedImageRequest {
                data: piece.to_vec().into(),
            })
            .collect();
        let mut request = tonic::Request::new(futures_util::stream::iter(pieces));
        request.set_timeout(Duration::from_secs(30));
        let mut client = EmbedderServiceClient::new(peer.channel());
        let answer = self.runtime.block_on(client.embed_image(request));
        answer.expect("it is a picture").into_inner().vector
    }
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

fn start_embedder(machine: &Machine) -> Program {
    machine.start("embedder", &["--store", &machine.store_address()])
}

#[test]
fn pictures_get_vectors_of_length_one_that_know_them_again() {
    let machine = Machine::new();
    let picture = photo(800, 600, 1, [120, 90, 140]);
    machine.drop_file("one.jpg", &jpeg(&picture, 95).expect("encodes"));
    machine.drop_file("again.jpg", &jpeg(&picture, 40).expect("encodes"));
    for seed in 2..12 {
        let bytes = jpeg(&photo(400, 300, seed, [120, 90, 140]), 85).expect("encodes");
        machine.drop_file(format!("{seed}.jpg"), &bytes);
    }
    let _store = machine.start_store();
    let _watcher = machine.start_watcher();
    let embedder = start_embedder(&machine);
    let reader = Reader::new(&machine, Some(&embedder));
    let vectors = reader.settled(12);
    for (post, vector) in &vectors {
        let length = cosine(vector, vector).sqrt();
        assert!((length - 1.0).abs() < 0.002, "{post}: {length}");
    }
    let store = machine.store();
    let named = |name: &str| {
        let root = &store.roots().expect("answers")[0].name;
        let locations = store.locations(root).expect("answers");
        let (_, sha256, _) = locations
            .into_iter()
            .find(|(path, ..)| path == name.as_bytes())
            .expect("it is there");
        let posts = store.search("").expect("answers");
        let post = posts.into_iter().find(|post| post.sha256 == sha256);
        post.expect("it is a post").name
    };
    let one = &vectors[&named("one.jpg")];
    let again = &vectors[&named("again.jpg")];
    assert!(cosine(one, again) > 0.99, "{}", cosine(one, again));
    for seed in 2..12 {
        let other = &vectors[&named(&format!("{seed}.jpg"))];
        assert!(cosine(one, other) < 0.6, "{seed}: {}", cosine(one, other));
    }
    // The same picture, sent by somebody, goes the same way.
    let sent = reader.embed(&jpeg(&picture, 95).expect("encodes"));
    assert!(cosine(one, &sent) > 0.999, "{}", cosine(one, &sent));

    let stats = store.stats().expect("answers");
    assert_eq!((stats.embeddings, stats.predictions), (12, 0), "{stats:?}");
    let nodes = store.nodes().expect("answers");
    let node = nodes
        .iter()
        .find(|node| node.address.contains(&embedder.address()));
    let node = node.expect("look-alike search finds the node by its address");
    assert!(
        node.device_proof.contains("CPUExecutionProvider"),
        "{node:?}"
    );
}

#[test]
fn an_embedder_killed_in_mid_batch_loses_nothing() {
    const POSTS: u64 = 120;
    let machine = Machine::new();
    for seed in 0..POSTS {
        let bytes = jpeg(&photo(240, 180, seed, [110, 90, 140]), 85).expect("encodes");
        machine.drop_file(format!("{seed}.jpg"), &bytes);
    }
    let _store = machine.start_store();
    let _watcher = machine.start_watcher();
    let store = machine.store();
    let reader = Reader::new(&machine, None);
    let mut before = Vectors::new();
    let mut held_back = 0;
    for _ in 0..3 {
        let done = store.stats().expect("answers").embeddings;
        let embedder = start_embedder(&machine);
        wait::until("the embedder is in its work", 60, || {
            let stats = store.stats()?;
            if stats.tasks_leased > 0 || stats.embeddings > done {
                Ok(())
            } else {
                Err(format!("{stats:?}"))
            }
        });
        embedder.kill();
        held_back += store.stats().expect("answers").tasks_leased;
        let vectors = reader.vectors().expect("answers");
        for (post, vector) in before.iter().filter(|(_, vector)| !vector.is_empty()) {
            assert_eq!(vectors.get(post), Some(vector), "what was there stays");
        }
        before = vectors;
    }
    assert!(held_back > 0, "no kill hit a batch");
    let _embedder = start_embedder(&machine);
    machine.settle(POSTS, 180);
    let vectors = reader.settled(usize::try_from(POSTS).expect("few"));
    for (post, vector) in &before {
        assert!(
            vector.is_empty() || vectors[post] == *vector,
            "{post} has not changed"
        );
    }
    assert_eq!(store.failed().expect("answers"), []);
    let stats = store.stats().expect("answers");
    assert_eq!(stats.embeddings, POSTS, "{stats:?}");
}
