//! `model.toml`: every key, its meaning and its limits. `docs/MODELS.md` says the same for people.

mod check;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::labels::Category;

/// The contents of `model.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Version of this format: 1.
    pub format: u32,
    /// Name for people: letters, digits, `.`, `_`, `-`; at most 100.
    pub name: String,
    /// What the model does.
    pub kind: Kind,
    /// Family it belongs to, such as `wd-v3`; for people.
    #[serde(default)]
    pub family: Option<String>,
    /// One line on what it is; for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Licence of the weights; for people.
    #[serde(default)]
    pub license: Option<String>,
    /// The ONNX file, relative to the folder.
    #[serde(default = "default_file")]
    pub file: String,
    /// What the file must hash to (sha256, hex); unset: any content.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Files that hold the weights beside the ONNX file, relative to the folder.
    #[serde(default)]
    pub external_data: Vec<String>,
    /// How a picture becomes the input.
    pub input: InputSpec,
    /// Which output to take.
    #[serde(default)]
    pub output: OutputSpec,
    /// What the outputs are called; needed by `kind = "tag"`.
    #[serde(default)]
    pub labels: Option<LabelsSpec>,
    /// From which confidence on a label counts.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// How many pictures at a time.
    #[serde(default)]
    pub batch: BatchSpec,
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Gives labels with confidences.
    Tag,
    /// Gives a vector.
    Embed,
}

/// How a picture becomes the input tensor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Name of the graph's input; unset: the only one it has.
    #[serde(default)]
    pub name: Option<String>,
    /// Order of the tensor's dimensions.
    pub layout: Layout,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Order of the colour channels.
    #[serde(default)]
    pub channels: Channels,
    /// What a channel value of 255 becomes before mean and std.
    pub range: Range,
    /// Subtracted from each channel after scaling, in the tensor's channel order.
    #[serde(default)]
    pub mean: [f32; 3],
    /// Each channel is divided by this after `mean`, in the tensor's channel order.
    #[serde(default = "ones")]
    pub std: [f32; 3],
    /// How a picture of another shape is made to fit.
    pub fit: Fit,
    /// Shortest side in pixels before the middle is cut out; only for `fit = "crop"`.
    #[serde(default)]
    pub crop_from: Option<u32>,
    /// How pixels are resampled.
    pub filter: Filter,
    /// Red, green, blue of what is added by `pad` and `letterbox`.
    #[serde(default = "white")]
    pub pad_color: [u8; 3],
}

/// Order of the dimensions of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, height, width, channel.
    Nhwc,
    /// Batch, channel, height, width.
    Nchw,
}

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

/// Scale of the channel values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Range {
    /// 0 to 1.
    Unit,
    /// 0 to 255.
    Byte,
}

/// How a picture of another shape is made to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Both sides are resized, whatever the shape.
    Squash,
    /// Padded to a square on `pad_color`, centred, then resized.
    Pad,
    /// Resized to fit inside, then padded on `pad_color`, centred.
    Letterbox,
    /// Resized until the shortest side is `crop_from`, then the middle is cut out.
    Crop,
}

/// How pixels are resampled; all of them average when shrinking, as Pillow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Pillow's `BICUBIC`.
    Bicubic,
    /// Pillow's `BILINEAR`.
    Bilinear,
    /// Pillow's `LANCZOS`.
    Lanczos,
    /// Pillow's `BOX`: the plain average of the area.
    Box,
}

/// Which output to take and how to read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Name of the graph's output; unset: `index`.
    #[serde(default)]
    pub name: Option<String>,
    /// Place of the graph's output, from 0; unset: the only one it has.
    #[serde(default)]
    pub index: Option<usize>,
    /// What is done to the values.
    #[serde(default)]
    pub activation: Activation,
    /// Numbers in a vector, 8 to 4096; needed by `kind = "embed"`.
    #[serde(default)]
    pub dimensions: Option<u16>,
}

/// What is done to the values of an output row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing: the graph ends in confidences or in a finished vector.
    #[default]
    None,
    /// `1 / (1 + exp(-x))`: the graph ends in logits.
    Sigmoid,
    /// The row is divided by its length: vectors to be compared by cosine.
    L2,
}

/// Where the names of the outputs are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelsSpec {
    /// The file, relative to the folder.
    pub file: String,
    /// Its format.
    pub format: LabelFormat,
    /// Labels that are ratings under other names: label → rating.
    #[serde(default)]
    pub ratings: BTreeMap<String, String>,
}

/// Format of the labels file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelFormat {
    /// A header with `name` and `category`, categories in words.
    Csv,
    /// A header with `name` and `category`, categories in Danbooru's numbers; 9 is a rating.
    SelectedTags,
    /// One general label a line, no header.
    Lines,
}

/// From which confidence on a label counts. None of these is part of the revision.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Thresholds {
    /// Lowest confidence that is kept at all.
    #[serde(default = "default_store")]
    pub store: f32,
    /// For categories that have no value of their own.
    #[serde(default = "default_threshold")]
    pub default: f32,
    /// By category.
    #[serde(flatten)]
    pub by_category: BTreeMap<Category, f32>,
}

/// How many pictures at a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSpec {
    /// Largest batch, 1 to 256.
    pub max: usize,
}

impl InputSpec {
    /// Values in the tensor of one picture.
    #[must_use]
    pub fn values(&self) -> usize {
        self.width as usize * self.height as usize * 3
    }
}

impl Thresholds {
    /// The confidence from which labels of a category become tags.
    #[must_use]
    pub fn of(&self, category: Category) -> f32 {
        *self.by_category.get(&category).unwrap_or(&self.default)
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            store: default_store(),
            default: default_threshold(),
            by_category: BTreeMap::new(),
        }
    }
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self { max: 8 }
    }
}

fn default_file() -> String {
    "model.onnx".into()
}

fn default_store() -> f32 {
    0.1
}

fn default_threshold() -> f32 {
    0.5
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

fn white() -> [u8; 3] {
    [255; 3]
}
