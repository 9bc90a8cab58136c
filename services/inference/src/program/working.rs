//! A node at work in its program: load, start the threads, open the door, pull until told to stop.

use std::sync::Arc;

use kit::{Context, client::Peer, server::Api};

use super::{Error, Flags, Program};
use crate::device::DeviceProof;
use crate::leases::{self, Inferred, Node, Read, Registration};
use crate::model::Model;
use crate::runtime::Runtime;
use crate::session::{Session, SessionOptions};

/// A node whose model is loaded and has run once. Clones are handles on the same one.
#[derive(Clone)]
pub struct Working {
    node: Arc<Node>,
    model: Arc<Model>,
    proof: Arc<DeviceProof>,
    registration: Registration,
    peer: Peer,
    name: Arc<str>,
}

impl Working {
    /// Loads runtime and model, tells people what they are, and starts the threads.
    ///
    /// # Errors
    /// If runtime, device or model cannot be used.
    pub async fn start<P: Program + Sync>(program: &P, cx: &Context) -> Result<Self, Error> {
        let flags = program.flags();
        let peer = Peer::new(&flags.store, &cx.credential)?;
        // Waiting for the store is said from here on, by whoever asks.
        let loading = program.clone();
        let loaded = cx.tasks.spawn_blocking(move || load(&loading)).await;
        let (model, session) = loaded.map_err(|error| Error::Interrupted(error.to_string()))??;
        tell(cx, &session);
        let proof = session.proof().clone();
        let address = flags
            .advertise
            .clone()
            .unwrap_or_else(|| format!("http://{}", cx.local_addr()));
        let registration = Registration::new(&cx.process, &model, &proof, &address);
        let node = Node::start(session, &model.spec().input, config(flags, &model))?;
        Ok(Self {
            node: Arc::new(node),
            model: Arc::new(model),
            proof: Arc::new(proof),
            registration,
            peer,
            name: cx.process.instance().into(),
        })
    }

    /// Serves `api` and pulls work, until the shutdown. `read` names what a row of outputs says.
    ///
    /// # Errors
    /// If the store refuses this node, nothing runs any more, or serving fails.
    pub async fn serve(self, cx: &Context, api: Api, read: Read) -> Result<(), Error> {
        // On the heap: it is large, and a part of every future above it.
        let pull = Box::pin(async {
            let ended = self
                .node
                .pull(cx, &self.peer, self.registration, read)
                .await;
            cx.shutdown.begin();
            ended
        });
        let (served, pulled) = tokio::join!(cx.serve(api), pull);
        self.node.close().await;
        pulled?;
        Ok(served?)
    }

    /// Runs one sample before everything that is queued.
    ///
    /// # Errors
    /// As [`Node::infer`].
    pub async fn infer(&self, sample: Vec<u8>) -> Result<Inferred, Error> {
        Ok(self.node.infer(sample).await?)
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The device that runs it.
    #[must_use]
    pub fn proof(&self) -> &DeviceProof {
        &self.proof
    }

    /// Name of this node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Loads everything; blocks for as long as reading the weights takes.
fn load<P: Program>(program: &P) -> Result<(Model, Session), Error> {
    // The folder first: it takes no time, and no runtime mends it.
    let model = super::model(program)?;
    let flags = program.flags();
    let runtime = Runtime::load(flags.runtime.as_deref())?;
    let options = SessionOptions {
        device: flags.device,
        threads: flags.intra_threads(),
        ..SessionOptions::default()
    };
    let session = Session::open(&runtime, &model, &options)?;
    Ok((model, session))
}

fn config(flags: &Flags, model: &Model) -> leases::Config {
    let most = model.spec().batch.max;
    leases::Config {
        decoders: flags.decoders(),
        max_batch: flags.max_batch.map_or(most, usize::from).min(most),
        idle_exit: flags.idle_exit,
    }
}

/// Tells people about the device and what the model holds.
fn tell(cx: &Context, session: &Session) {
    let proof = session.proof();
    tracing::info!(device = %proof.class, "the model runs: {proof}");
    cx.process.notice("DEVICE", proof.to_string());
    let report = session.report();
    let held = report.resident_after.saturating_sub(report.resident_before);
    cx.process.memory_part("session", move || held);
}
