//! What a node tells the store about itself and its model.

use proto::store::v1 as wire;

use crate::device::{DeviceClass, DeviceProof};
use crate::model::Model;
use crate::model::labels::Category;
use crate::model::spec::Kind;

/// What the store must know before it gives work. Told at the start, and again whenever the store
/// may have forgotten.
#[derive(Debug, Clone)]
pub struct Registration {
    pub(super) model: wire::RegisterModelRequest,
    pub(super) node: wire::RegisterNodeRequest,
}

impl Registration {
    /// This process (by its name and incarnation) with a model and the device that runs it,
    /// reachable at `address` (`http://HOST:PORT`, or empty).
    #[must_use]
    pub fn new(process: &kit::Process, model: &Model, proof: &DeviceProof, address: &str) -> Self {
        let model = register_model(model);
        let node = wire::RegisterNodeRequest {
            node: process.instance().to_owned(),
            incarnation: process.incarnation(),
            kind: model.kind,
            models: Vec::new(),
            device_class: device_class(proof.class).into(),
            device_proof: proof.to_string(),
            address: address.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Self { model, node }
    }
}

/// The model as the store wants to know it. Activated if it is the first of its kind.
pub(super) fn register_model(model: &Model) -> wire::RegisterModelRequest {
    let spec = model.spec();
    let kind = match spec.kind {
        Kind::Tag => wire::ModelKind::Tag,
        Kind::Embed => wire::ModelKind::Embed,
    };
    let labels = model.labels().iter().map(|label| wire::Label {
        name: label.name.clone(),
        category: category(label.category).into(),
    });
    let thresholds = CATEGORIES.into_iter().map(|each| wire::Threshold {
        category: category(each).into(),
        confidence: model.threshold(each),
    });
    wire::RegisterModelRequest {
        kind: kind.into(),
        display_name: spec.name.clone(),
        revision: model.revision().to_owned(),
        labels: labels.collect(),
        thresholds: thresholds
            .take(usize::from(kind == wire::ModelKind::Tag) * CATEGORIES.len())
            .collect(),
        activate_if_first: true,
        dimensions: u32::from(model.dimensions()),
    }
}

/// Categories whose labels become tags from a threshold on. Ratings have none: the highest wins.
const CATEGORIES: [Category; 6] = [
    Category::General,
    Category::Character,
    Category::Copyright,
    Category::Artist,
    Category::Species,
    Category::Meta,
];

/// A label's category in the contract's words.
#[must_use]
pub fn category(category: Category) -> wire::TagCategory {
    match category {
        Category::General => wire::TagCategory::General,
        Category::Character => wire::TagCategory::Character,
        Category::Copyright => wire::TagCategory::Copyright,
        Category::Artist => wire::TagCategory::Artist,
        Category::Species => wire::TagCategory::Species,
        Category::Meta => wire::TagCategory::Meta,
        Category::Rating => wire::TagCategory::Rating,
    }
}

fn device_class(class: DeviceClass) -> wire::DeviceClass {
    match class {
        DeviceClass::Cpu => wire::DeviceClass::Cpu,
        DeviceClass::Cuda => wire::DeviceClass::Cuda,
        DeviceClass::Xpu => wire::DeviceClass::Xpu,
        DeviceClass::Rocm => wire::DeviceClass::Rocm,
    }
}
