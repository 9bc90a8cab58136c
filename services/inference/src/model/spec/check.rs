//! What `model.toml` may say, and the part of the revision that comes from it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::{Activation, Fit, InputSpec, Kind, ModelSpec, Thresholds};

/// Largest width and height of a model's input, in pixels.
const MAX_SIDE: u32 = 2048;

/// Largest batch, which is also the most that one lease call hands out.
const MAX_BATCH: usize = 256;

/// Fewest and most numbers in a vector.
const DIMENSIONS: RangeInclusive<u16> = 8..=4096;

impl ModelSpec {
    /// Checks everything that can be checked without the other files; says what is wrong first.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.format != 1 {
            return Err(format!(
                "format = {} is not known to this version; it knows 1",
                self.format
            ));
        }
        check_name(&self.name)?;
        self.input.check()?;
        self.thresholds.check()?;
        if !(1..=MAX_BATCH).contains(&self.batch.max) {
            return Err(format!(
                "[batch] max = {} must be 1 to {MAX_BATCH}",
                self.batch.max
            ));
        }
        if self.output.name.is_some() && self.output.index.is_some() {
            return Err("[output] name and index exclude each other".into());
        }
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if self.sha256.as_deref().is_some_and(|text| !hex(text)) {
            return Err("sha256 must be 64 hex digits".into());
        }
        match (self.kind, &self.labels) {
            (Kind::Tag, None) => Err("kind = \"tag\" needs a [labels] section".into()),
            (Kind::Embed, Some(_)) => Err("kind = \"embed\" has no [labels]".into()),
            (Kind::Tag, Some(_)) if self.output.activation == Activation::L2 => {
                Err("activation = \"l2\" is for kind = \"embed\"".into())
            }
            _ => self.check_dimensions(),
        }
    }

    fn check_dimensions(&self) -> Result<(), String> {
        let (least, most) = (DIMENSIONS.start(), DIMENSIONS.end());
        match (self.kind, self.output.dimensions) {
            (Kind::Tag, None) => Ok(()),
            (Kind::Tag, Some(_)) => Err("[output] dimensions is for kind = \"embed\"".into()),
            (Kind::Embed, None) => Err(format!(
                "kind = \"embed\" needs dimensions in [output]: how many numbers a vector has, \
                 {least} to {most}"
            )),
            (Kind::Embed, Some(count)) if !DIMENSIONS.contains(&count) => Err(format!(
                "[output] dimensions = {count} must be {least} to {most}"
            )),
            (Kind::Embed, Some(_)) => Ok(()),
        }
    }

    /// The part of the revision that comes from here: one line for each key that decides results.
    pub(crate) fn canonical(&self) -> String {
        let (input, output) = (&self.input, &self.output);
        let mut text = String::new();
        // Debug prints the variants' names; renaming one would change every revision made with it,
        // which the test of a fixed revision notices.
        let _ = write!(
            text,
            "kind={:?}\nlayout={:?}\nsize={}x{}\nchannels={:?}\nrange={:?}\nmean={:?}\nstd={:?}\n\
             fit={:?}\ncrop_from={:?}\nfilter={:?}\npad_color={:?}\n\
             output={:?}\nindex={:?}\nactivation={:?}\n",
            self.kind,
            input.layout,
            input.width,
            input.height,
            input.channels,
            input.range,
            input.mean,
            input.std,
            input.fit,
            input.crop_from,
            input.filter,
            input.pad_color,
            output.name,
            output.index,
            output.activation,
        );
        if let Some(labels) = &self.labels {
            let _ = write!(
                text,
                "labels={:?}\nratings={:?}\n",
                labels.format, labels.ratings
            );
        }
        text
    }
}

impl InputSpec {
    fn check(&self) -> Result<(), String> {
        for (key, side) in [("width", self.width), ("height", self.height)] {
            if !(1..=MAX_SIDE).contains(&side) {
                return Err(format!("[input] {key} = {side} must be 1 to {MAX_SIDE}"));
            }
        }
        if self.mean.iter().chain(&self.std).any(|v| !v.is_finite()) || self.std.contains(&0.0) {
            return Err("[input] mean and std must be finite, and std not 0".into());
        }
        if self.fit == Fit::Pad && self.width != self.height {
            return Err("[input] fit = \"pad\" needs width = height; try \"letterbox\"".into());
        }
        match (self.fit, self.crop_from) {
            (Fit::Crop, None) => Err("[input] fit = \"crop\" needs crop_from".into()),
            (Fit::Crop, Some(from)) if from < self.width.max(self.height) || from > MAX_SIDE => {
                Err(format!(
                    "[input] crop_from = {from} must be at least the input's size and at most {MAX_SIDE}"
                ))
            }
            (Fit::Crop, Some(_)) | (_, None) => Ok(()),
            (_, Some(_)) => Err("[input] crop_from is for fit = \"crop\"".into()),
        }
    }
}

impl Thresholds {
    fn check(&self) -> Result<(), String> {
        let all = [self.store, self.default];
        match all
            .iter()
            .chain(self.by_category.values())
            .find(|value| !(0.0..=1.0).contains(*value))
        {
            Some(value) => Err(format!("[thresholds] {value} must be 0 to 1")),
            None => Ok(()),
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 100 || !name.bytes().all(good) {
        return Err(format!(
            "name = {name:?} must be 1 to 100 letters, digits, '.', '_' or '-'"
        ));
    }
    Ok(())
}
