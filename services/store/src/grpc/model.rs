//! Models: registering, switching on and off, listing.

use proto::store::v1::{
    ActivateModelRequest, ActivateModelResponse, DeactivateModelRequest, DeactivateModelResponse,
    Label, ListModelsRequest, ListModelsResponse, Model, ModelKind, RegisterModelRequest,
    RegisterModelResponse, Threshold, model_service_server::ModelService,
};
use store_core::{
    Category, ModelId, Now, Store,
    effective::{Thresholds, confidence},
    model::{self, LabelCategory, NewModel, Progress, Registration},
};
use tonic::{Request, Response, Status};

use super::{Door, at_most, hash, refuse, tag, timestamp};
use crate::Error;

#[tonic::async_trait]
impl ModelService for Door {
    async fn register_model(
        &self,
        request: Request<RegisterModelRequest>,
    ) -> Result<Response<RegisterModelResponse>, Status> {
        let request = request.into_inner();
        // Up to 200,000 labels are looked at: not on a thread that serves others.
        let prepare = self
            .tasks
            .spawn_blocking(move || Ok(Registration::new(new_model(request)?)?));
        let prepared: Result<Registration, Error> = prepare
            .await
            .unwrap_or_else(|e| Err(Error::Panicked(e.to_string())));
        let id = self
            .register(prepared.map_err(refuse)?)
            .await
            .map_err(refuse)?;
        Ok(Response::new(RegisterModelResponse {
            model: Some(self.model(id).await.map_err(refuse)?),
        }))
    }

    async fn activate_model(
        &self,
        request: Request<ActivateModelRequest>,
    ) -> Result<Response<ActivateModelResponse>, Status> {
        let id = name(&request.into_inner().name).map_err(refuse)?;
        let write = self
            .engine
            .write(move |write, now| write.activate_model(id, now));
        write.await.map_err(refuse)?;
        Ok(Response::new(ActivateModelResponse {
            model: Some(self.model(id).await.map_err(refuse)?),
        }))
    }

    async fn deactivate_model(
        &self,
        request: Request<DeactivateModelRequest>,
    ) -> Result<Response<DeactivateModelResponse>, Status> {
        let id = name(&request.into_inner().name).map_err(refuse)?;
        let write = self
            .engine
            .write(move |write, _| write.deactivate_model(id));
        write.await.map_err(refuse)?;
        Ok(Response::new(DeactivateModelResponse {
            model: Some(self.model(id).await.map_err(refuse)?),
        }))
    }

    async fn list_models(
        &self,
        _: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let read = self.engine.read(|store, _| {
            let models = store.models()?;
            models
                .iter()
                .map(|model| Ok(message(model, store.progress(model.id)?)))
                .collect()
        });
        Ok(Response::new(ListModelsResponse {
            models: read.await.map_err(refuse)?,
        }))
    }
}

impl Door {
    /// Takes the steps of a registration, each in a group of its own.
    async fn register(&self, mut registration: Registration) -> Result<ModelId, Error> {
        loop {
            let step = self.engine.write(move |write, now: Now| {
                let model = registration.step(write, now)?;
                Ok((registration, model))
            });
            match step.await? {
                (_, Some(model)) => return Ok(model.id),
                (rest, None) => registration = rest,
            }
        }
    }

    async fn model(&self, id: ModelId) -> Result<Model, Error> {
        let read = move |store: &Store, _: Now| Ok(message(&store.model(id)?, store.progress(id)?));
        self.engine.read(read).await
    }
}

/// The number in `models/3`.
pub(super) fn name(name: &str) -> Result<ModelId, Error> {
    Ok(kit::id::parse("models/", name)?)
}

/// `models/3`, or nothing without a model.
pub(super) fn optional_name(id: Option<ModelId>) -> String {
    id.map_or_else(String::new, |id| format!("models/{id}"))
}

/// What kind of model, which must be said.
pub(super) fn kind(field: &str, message: i32) -> Result<store_core::ModelKind, Error> {
    some_kind(field, message)?.ok_or_else(|| Error::field(field, &0, "a ModelKind other than 0"))
}

/// What kind of model, if any is said.
pub(super) fn some_kind(field: &str, message: i32) -> Result<Option<store_core::ModelKind>, Error> {
    match ModelKind::try_from(message) {
        Ok(ModelKind::Unspecified) => Ok(None),
        Ok(ModelKind::Tag) => Ok(Some(store_core::ModelKind::Tag)),
        Ok(ModelKind::Embed) => Ok(Some(store_core::ModelKind::Embed)),
        Err(_) => Err(Error::field(field, &message, "a ModelKind")),
    }
}

/// A kind as a message.
pub(super) fn kind_message(kind: store_core::ModelKind) -> ModelKind {
    match kind {
        store_core::ModelKind::Tag => ModelKind::Tag,
        store_core::ModelKind::Embed => ModelKind::Embed,
    }
}

fn new_model(request: RegisterModelRequest) -> Result<NewModel, Error> {
    at_most("labels", request.labels.len(), model::MAX_LABELS)?;
    let label = |(index, label): (usize, Label)| {
        let field = format!("labels[{index}].category");
        let category = tag::category(&field, label.category)?;
        Ok(model::Label {
            name: label.name,
            category: category.map_or(LabelCategory::Rating, LabelCategory::Tag),
        })
    };
    let labels = request.labels.into_iter().enumerate().map(label);
    Ok(NewModel {
        kind: kind("kind", request.kind)?,
        name: request.display_name,
        revision: hash("revision", &request.revision)?,
        labels: labels.collect::<Result<_, Error>>()?,
        dimensions: request.dimensions,
        thresholds: thresholds(&request.thresholds)?,
        activate_if_first: request.activate_if_first,
    })
}

/// Categories that are not named keep the usual thresholds.
fn thresholds(messages: &[Threshold]) -> Result<Thresholds, Error> {
    let mut thresholds = Thresholds::default();
    for (index, message) in messages.iter().enumerate() {
        let field = format!("thresholds[{index}]");
        let Some(category) = tag::category(&format!("{field}.category"), message.category)? else {
            return Err(Error::field(
                field,
                "TAG_CATEGORY_RATING",
                "ratings have none",
            ));
        };
        if !(0.0..=1.0).contains(&message.confidence) {
            let field = format!("{field}.confidence");
            return Err(Error::field(field, &message.confidence, "0 to 1"));
        }
        thresholds.0[usize::from(category.code())] = confidence(message.confidence);
    }
    Ok(thresholds)
}

fn message(model: &model::Model, progress: Progress) -> Model {
    let threshold = |category: Category| Threshold {
        category: tag::category_message(category).into(),
        confidence: f32::from(model.thresholds.of(category)) / 65_535.0,
    };
    Model {
        name: format!("models/{}", model.id),
        kind: kind_message(model.kind).into(),
        display_name: model.name.clone(),
        revision: kit::hex::encode(&model.revision),
        label_count: model.label_count,
        thresholds: Category::ALL.into_iter().map(threshold).collect(),
        active: model.active,
        done: progress.done,
        backfill_left: progress.backfill_left,
        create_time: timestamp(model.created_ms),
        preferred: model.preferred,
        dimensions: model.dimensions,
        paused: model.paused,
    }
}
