//! A node in this process, and waiting for what it does.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use kit::Context;
use kit::client::Peer;
use kit::config::Shared;
use kumo_inference::leases::{Config, Error, Finding, Node, Registration};
use kumo_inference::{DeviceChoice, Model, Runtime, Session, SessionOptions};
use proto::store::v1::{SampleSource, TagResult};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::device::{Control, Device};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    shared: Shared,
}

/// A node at work.
pub(crate) struct Started {
    pub(crate) cx: Context,
    pub(crate) node: Arc<Node>,
    pub(crate) control: Control,
    pull: JoinHandle<Result<(), Error>>,
    _data: TempDir,
}

pub(crate) fn palette() -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/palette-tagger");
    Model::open(&folder).unwrap()
}

pub(crate) fn session(model: &Model) -> Session {
    let runtime = Runtime::load(None).unwrap_or_else(|cause| panic!("{cause}"));
    let options = SessionOptions {
        device: DeviceChoice::Cpu,
        threads: 1,
        ..SessionOptions::default()
    };
    Session::open(&runtime, model, &options).unwrap()
}

/// A sample from the golden folder.
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read(folder.join(name)).unwrap()
}

/// Starts a node that calls the store at `url`, with batches of up to `max_batch`.
pub(crate) async fn start(url: &str, max_batch: usize) -> Started {
    start_with(url, max_batch, None, Control::default()).await
}

pub(crate) async fn start_with(
    url: &str,
    max_batch: usize,
    idle_exit: Option<Duration>,
    control: Control,
) -> Started {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let flags = [
        "node",
        "--data",
        folder,
        "--listen",
        "127.0.0.1:0",
        "--grace",
        "4",
    ];
    let shared = Flags::parse_from(flags.into_iter().chain(["--instance", "den"])).shared;
    let cx = Context::open("tagger", shared, ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let model = Arc::new(palette());
    let session = session(&model);
    let registration = Registration::new(&cx.process, &model, session.proof(), "");
    let device = Device {
        session,
        control: control.clone(),
    };
    let config = Config {
        decoders: 2,
        max_batch,
        idle_exit,
    };
    let node = Arc::new(Node::start(device, &model.spec().input, config).unwrap());
    let peer = Peer::new(url, &cx.credential).unwrap();
    let pull = {
        let (cx, node) = (cx.clone(), Arc::clone(&node));
        let read = move |row: &[f32]| found(&model, row).map(Finding::Tags);
        cx.tasks.clone().spawn("pull", async move {
            node.pull(&cx, &peer, registration, Arc::new(read)).await
        })
    };
    Started {
        cx,
        node,
        control,
        pull,
        _data: data,
    }
}

pub(crate) fn found(model: &Model, row: &[f32]) -> kumo_inference::Result<TagResult> {
    let predictions = model.predictions(row)?;
    Ok(TagResult {
        labels: predictions.iter().map(|found| found.label).collect(),
        confidences: predictions.iter().map(|found| found.confidence).collect(),
    })
}

impl Started {
    /// Shuts down in order; how the loop ended.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        self.cx.shutdown.begin();
        self.ended().await
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.pull).await;
        let ended = ended.expect("the loop ends").expect("it does not panic");
        self.node.close().await;
        ended
    }
}

/// A source by address.
pub(crate) fn at(address: &str) -> SampleSource {
    SampleSource {
        address: address.to_owned(),
        ..SampleSource::default()
    }
}

/// Polls until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, Duration::from_secs(20), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn within(what: &str, limit: Duration, wait: impl Future<Output = ()>) {
    let begun = Instant::now();
    let waited = tokio::time::timeout(limit, wait).await;
    assert!(waited.is_ok(), "{what}: not within {:?}", begun.elapsed());
}
