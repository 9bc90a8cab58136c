//! `kumo models`: what the library is tagged with, and by what look-alikes are found.

use proto::store::v1::{ListModelsRequest, Model, model_service_client::ModelServiceClient};
use serde_json::{Value, json};

use crate::{amount, connection::Connection, error::Error, run::Session, terminal::Table, words};

/// What `kumo models --help` ends with.
pub(crate) const HELP: &str = "\
Examples:
  kumo models
  kumo models --json

A model becomes known when `kumo up --model DIR`, `kumo up --embed-model DIR`, or a node brings it.
Of several active models of a kind one is preferred: by its ratings, or its vectors, the library goes.
JSON keys of each line: name, kind (tag, embed), display_name, revision, active, preferred, paused,
labels, dimensions, done, backfill_left, created.";

/// All models of the cluster.
pub(crate) async fn list(connection: &Connection) -> Result<Vec<Model>, Error> {
    let mut client = ModelServiceClient::new(connection.store());
    let answer = connection.ask(client.list_models(ListModelsRequest {}));
    Ok(answer.await?.models)
}

pub(crate) async fn run(session: &Session) -> Result<(), Error> {
    let models = list(&session.connect()?).await?;
    if session.terminal.json() {
        return models
            .iter()
            .try_for_each(|model| session.terminal.object(&as_json(model)));
    }
    if models.is_empty() {
        session.terminal.say("no model is known yet");
    }
    session.terminal.table(&table(&models))
}

/// A model as its JSON object.
pub(crate) fn as_json(model: &Model) -> Value {
    json!({
        "name": model.name,
        "kind": words::work(model.kind()),
        "display_name": model.display_name,
        "revision": model.revision,
        "active": model.active,
        "preferred": model.preferred,
        "paused": model.paused,
        "labels": model.label_count,
        "dimensions": model.dimensions,
        "done": model.done,
        "backfill_left": model.backfill_left,
        "created": model.create_time.map(|time| time.to_string()),
    })
}

/// The models as a table.
pub(crate) fn table(models: &[Model]) -> Table {
    let mut table = Table::new([
        "model", "kind", "name", "revision", "state", ">outputs", ">done", ">left",
    ]);
    for model in models {
        table.row([
            model.name.clone(),
            words::work(model.kind()).to_owned(),
            model.display_name.clone(),
            model.revision.chars().take(12).collect(),
            state(model),
            outputs(model),
            amount::count(model.done),
            amount::count(model.backfill_left),
        ]);
    }
    table
}

/// Whether it works, and whether the library goes by it.
fn state(model: &Model) -> String {
    let state = match (model.active, model.preferred) {
        (true, true) => "preferred",
        (true, false) => "active",
        (false, _) => "inactive",
    };
    let paused = if model.paused { ", paused" } else { "" };
    format!("{state}{paused}")
}

/// How much a model says of a post.
fn outputs(model: &Model) -> String {
    match model.dimensions {
        0 => amount::of(u64::from(model.label_count), "label"),
        dimensions => amount::of(u64::from(dimensions), "dimension"),
    }
}
