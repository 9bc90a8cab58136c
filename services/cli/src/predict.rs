//! `kumo predict`: tags a picture now, without adding it to the library.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use kit::{Code, config::seconds};
use proto::{
    store::v1::{
        ModelKind, Node, RequestCapacityRequest, capacity_service_client::CapacityServiceClient,
    },
    tagger::v1::{TagImageRequest, TagImageResponse, tagger_service_client::TaggerServiceClient},
};
use serde_json::{Value, json};
use tonic::Request;

use crate::{
    amount,
    connection::{Connection, refusal},
    error::Error,
    picture,
    post::{scored, scored_tags},
    run::Session,
};

/// How often to look whether a tagger has come.
const AGAIN: Duration = Duration::from_secs(1);

/// Flags of `kumo predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo predict cloud.jpg
  kumo predict cloud.jpg --min 0.1         also what the model is less sure of
  kumo predict cloud.jpg --json | jq -r '.tags[].name'

No tagger runs while there is nothing to do: the command asks the store for one, which makes
`kumo up` start it, and waits.
JSON keys: tags [{name, category, confidence}], model, revision, node, device, render_seconds,
run_seconds, wait_seconds.")]
pub(crate) struct Flags {
    /// The picture, at most 256 MiB.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Lowest confidence to show, 0 to 1; by default the model's own thresholds.
    #[arg(long, value_name = "CONFIDENCE", value_parser = confidence)]
    min: Option<f32>,

    /// How long to wait for a tagger, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    wait: Duration,
}

fn confidence(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("must be between 0 and 1".to_owned()),
    }
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    picture::check(&flags.file)?;
    let connection = session.connect()?;
    let started = Instant::now();
    let answer = wait_and_tag(flags, &connection, session).await?;
    let waited = started
        .elapsed()
        .saturating_sub(length_of(answer.render_time));
    let waited = waited.saturating_sub(length_of(answer.run_time));
    if session.terminal.json() {
        return session.terminal.object(&as_json(&answer, waited));
    }
    session.terminal.table(&scored(&answer.tags))?;
    if answer.tags.is_empty() {
        session
            .terminal
            .say("no tag reaches the threshold; --min 0.1 shows what comes next");
    }
    session.terminal.say(&format!(
        "{} on {} ({}): rendered in {}, run in {}",
        answer.model_name,
        answer.node,
        answer.device,
        amount::duration(length_of(answer.render_time)),
        amount::duration(length_of(answer.run_time)),
    ));
    Ok(())
}

/// Asks for capacity and tries what is online, until one answers or the time is over.
async fn wait_and_tag(
    flags: &Flags,
    connection: &Connection,
    session: &Session,
) -> Result<TagImageResponse, Error> {
    let deadline = Instant::now() + flags.wait;
    let mut said = String::new();
    loop {
        let mut client = CapacityServiceClient::new(connection.store());
        let request = RequestCapacityRequest {
            kind: ModelKind::Tag.into(),
        };
        let answer = connection.ask(client.request_capacity(request)).await?;
        let mut why = awaited(&answer.nodes);
        for node in answer.nodes.iter().filter(|node| is_usable(node)) {
            match tag(flags, connection, node).await {
                Ok(answer) => return Ok(answer),
                Err(error) if may_pass(&error) => {
                    why = format!("waiting for {}: {error}", node.name);
                }
                Err(error) => return Err(error),
            }
        }
        if Instant::now() + AGAIN > deadline {
            let text = format!("no tagger within {}: {why}", amount::duration(flags.wait));
            return Err(Error::TooLong(text));
        }
        if why != said {
            session.terminal.say(&why);
            said = why;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn is_usable(node: &Node) -> bool {
    node.online && !node.address.is_empty() && node.stopped_reason.as_str() != "NODE_STOPPED"
}

/// Who is awaited, and why nobody is there.
fn awaited(nodes: &[Node]) -> String {
    let stopped = nodes.iter().find(|node| !is_usable(node));
    match stopped {
        None if nodes.is_empty() => {
            "waiting for a tagger: none is online; the store was asked for \
             one, and `kumo up` starts it"
                .to_owned()
        }
        None => "waiting for a tagger".to_owned(),
        Some(node) if node.address.is_empty() => format!(
            "waiting for a tagger: {} is online, but has no address to be called at",
            node.name
        ),
        Some(node) => format!(
            "waiting for a tagger: {} was stopped ({}); `kumo resume --node NAME` lets it work",
            node.name, node.stopped_reason
        ),
    }
}

/// Whether another try may succeed: a tagger that starts or stops is not there for a while.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused { code, .. } => matches!(code, Code::Unavailable | Code::ResourceExhausted),
        _ => false,
    }
}

async fn tag(
    flags: &Flags,
    connection: &Connection,
    node: &Node,
) -> Result<TagImageResponse, Error> {
    let min_confidence = flags.min.unwrap_or(0.0);
    let pieces = picture::pieces(&flags.file)?.map(move |data| TagImageRequest {
        data: data.into(),
        min_confidence,
    });
    let mut client = TaggerServiceClient::new(connection.peer(&node.address)?.channel());
    let mut request = Request::new(tokio_stream::iter(pieces));
    request.set_timeout(picture::LIMIT);
    match client.tag_image(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(refusal("tagger", &node.address, &status)),
    }
}

fn length_of(duration: Option<prost_types::Duration>) -> Duration {
    duration
        .and_then(|duration| duration.try_into().ok())
        .unwrap_or_default()
}

fn as_json(answer: &TagImageResponse, waited: Duration) -> Value {
    json!({
        "tags": scored_tags(&answer.tags),
        "model": answer.model_name,
        "revision": answer.revision,
        "node": answer.node,
        "device": answer.device,
        "render_seconds": length_of(answer.render_time).as_secs_f64(),
        "run_seconds": length_of(answer.run_time).as_secs_f64(),
        "wait_seconds": waited.as_secs_f64(),
    })
}
