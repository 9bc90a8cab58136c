//! Holding a loaded graph against what `model.toml` and the labels say of it.

use ort::session::Session as Graph;
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::spec::{Kind, Layout};

/// What running needs to know of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Pictures that one run takes, if the graph takes just one number of them.
    pub(super) batch: Option<usize>,
    /// Name of the output to read.
    pub(super) output: String,
}

/// Checks inputs and outputs.
pub(super) fn check(graph: &Graph, model: &Model) -> Result<Shape> {
    let batch = check_input(graph, model)?;
    let output = pick_output(graph, model)?;
    check_output(output, model)?;
    Ok(Shape {
        batch,
        output: output.name().to_owned(),
    })
}

/// The error for weights that make another count of values than the labels file names, or than
/// `model.toml` says.
pub(super) fn width_mismatch(model: &Model, expected: usize, outputs: usize) -> Error {
    model.invalid(match model.spec().kind {
        Kind::Tag => format!(
            "it has {outputs} outputs and the labels file has {expected} labels: they are not of \
             one model"
        ),
        Kind::Embed => format!(
            "its vectors have {outputs} numbers, [output] of model.toml says dimensions = {expected}"
        ),
    })
}

fn check_input(graph: &Graph, model: &Model) -> Result<Option<usize>> {
    let spec = &model.spec().input;
    let inputs = graph.inputs();
    let [input] = inputs else {
        return Err(model.invalid(format!(
            "it has {} inputs ({}), a picture model has one",
            inputs.len(),
            names(inputs)
        )));
    };
    if let Some(name) = spec.name.as_deref().filter(|name| *name != input.name()) {
        return Err(model.invalid(format!(
            "its input is '{}', [input] of model.toml says '{name}'",
            input.name()
        )));
    }
    let dimensions = dimensions(input, model)?;
    let (width, height) = (i64::from(spec.width), i64::from(spec.height));
    let wanted = match spec.layout {
        Layout::Nhwc => [height, width, 3],
        Layout::Nchw => [3, height, width],
    };
    let fits = dimensions.len() == 4
        && dimensions[1..]
            .iter()
            .zip(wanted)
            .all(|(&has, wanted)| has < 0 || has == wanted);
    if !fits {
        return Err(model.invalid(format!(
            "its input '{}' has the shape {dimensions:?}, [input] of model.toml makes it \
             [N, {}, {}, {}] (layout {:?}); -1 stands for any number",
            input.name(),
            wanted[0],
            wanted[1],
            wanted[2],
            spec.layout
        )));
    }
    Ok(usize::try_from(dimensions[0]).ok().filter(|&n| n > 0))
}

fn pick_output<'g>(graph: &'g Graph, model: &Model) -> Result<&'g Outlet> {
    let outputs = graph.outputs();
    let spec = &model.spec().output;
    let found = match (&spec.name, spec.index, outputs) {
        (Some(name), _, _) => outputs.iter().find(|output| output.name() == name),
        (None, Some(index), _) => outputs.get(index),
        (None, None, [only]) => Some(only),
        (None, None, _) => None,
    };
    found.ok_or_else(|| {
        model.invalid(format!(
            "its outputs are {}: say which one in [output] of model.toml, by name or index",
            names(outputs)
        ))
    })
}

fn check_output(output: &Outlet, model: &Model) -> Result<()> {
    let dimensions = dimensions(output, model)?;
    if dimensions.len() != 2 {
        return Err(model.invalid(format!(
            "its output '{}' has the shape {dimensions:?}, two dimensions are needed: pictures and \
             values",
            output.name()
        )));
    }
    match (model.expected_width(), usize::try_from(dimensions[1])) {
        (Some(expected), Ok(width)) if expected != width => {
            Err(width_mismatch(model, expected, width))
        }
        _ => Ok(()),
    }
}

fn dimensions<'o>(outlet: &'o Outlet, model: &Model) -> Result<&'o [i64]> {
    match outlet.dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } => Ok(shape),
        other => Err(model.invalid(format!(
            "'{}' is {other}, only tensors of f32 are supported; export the model with f32 inputs \
             and outputs",
            outlet.name()
        ))),
    }
}

fn names(outlets: &[Outlet]) -> String {
    let names: Vec<_> = outlets.iter().map(|o| format!("'{}'", o.name())).collect();
    names.join(", ")
}
