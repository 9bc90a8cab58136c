//! Real graphs on the real ONNX Runtime: shapes, batches, refusals.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kumo_inference::{
    DeviceChoice, DeviceClass, Error, Model, Outputs, Picture, Preprocessor, Runtime, Session,
    SessionOptions,
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/models")
        .join(name)
}

/// Without the library these tests fail and say how to get it; they never skip.
fn runtime() -> Runtime {
    Runtime::load(None).unwrap_or_else(|cause| panic!("{cause}"))
}

fn options() -> SessionOptions {
    SessionOptions {
        device: DeviceChoice::Cpu,
        threads: 1,
        ..SessionOptions::default()
    }
}

fn open(folder: &Path) -> Result<(Model, Session), Error> {
    let model = Model::open(folder)?;
    let session = Session::open(&runtime(), &model, &options())?;
    Ok((model, session))
}

fn refusal(folder: &Path) -> String {
    open(folder).map(|_| ()).unwrap_err().to_string()
}

/// A copy of a fixture with one file changed.
fn changed(name: &str, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join(file);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, change(bytes)).unwrap();
    folder
}

fn solid(rgb: [u8; 3]) -> Picture {
    Picture::new(50, 40, rgb.repeat(50 * 40)).unwrap()
}

fn run(model: &Model, session: &mut Session, colors: &[[u8; 3]]) -> Outputs {
    let mut preprocessor = Preprocessor::new(&model.spec().input);
    let mut batch = session.batch(colors.len());
    for &color in colors {
        let row = batch.push(|row| preprocessor.prepare(&solid(color), row));
        row.unwrap().unwrap();
    }
    session.run(&mut batch).unwrap()
}

/// The fixtures' weights, by channel of the tensor.
fn logits(channels: [f32; 3]) -> [f32; 7] {
    let [a, b, c] = channels;
    [
        c,
        a,
        b - a,
        0.5 * a + 0.5 * b - c,
        2.0 * a,
        2.0 * b,
        2.0 * c,
    ]
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

fn assert_near(row: &[f32], wanted: &[f32]) {
    assert_eq!(row.len(), wanted.len());
    for (has, wanted) in row.iter().zip(wanted) {
        assert!((has - wanted).abs() < 1e-4, "{row:?}\n{wanted:?}");
    }
}

#[test]
fn a_tagger_like_wd_sees_blue_green_red_on_a_white_square() {
    let (model, mut session) = open(&fixture("wd-like")).unwrap();
    let outputs = run(&model, &mut session, &[[255, 0, 0]]);
    // 50 × 40 on a white square of 50: four fifths red. Filters blur the border, so not exact.
    let wanted = logits([0.2, 0.2, 1.0]).map(sigmoid);
    for (has, wanted) in outputs.row(0).unwrap().iter().zip(wanted) {
        assert!((has - wanted).abs() < 5e-3, "{outputs:?}");
    }
}

#[test]
fn logits_become_confidences_and_the_second_output_can_be_chosen() {
    for name in ["logits", "two-outputs"] {
        let (model, mut session) = open(&fixture(name)).unwrap();
        let outputs = run(&model, &mut session, &[[255, 0, 0], [0, 51, 255]]);
        assert_near(
            outputs.row(0).unwrap(),
            &logits([1.0, 0.0, 0.0]).map(sigmoid),
        );
        assert_near(
            outputs.row(1).unwrap(),
            &logits([0.0, 0.2, 1.0]).map(sigmoid),
        );
        assert_eq!(outputs.row(2), None);
    }
}

#[test]
fn an_embedder_gives_vectors_of_length_one() {
    let (model, mut session) = open(&fixture("clip-like")).unwrap();
    let outputs = run(&model, &mut session, &[[255, 0, 0], [9, 200, 77]]);
    for row in outputs.rows() {
        let length: f32 = row.iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-5, "{row:?}");
    }
    let norm = |v: u8, mean: f32, std: f32| (f32::from(v) / 255.0 - mean) / std;
    let raw = logits([
        norm(9, 0.481_454_66, 0.268_629_54),
        norm(200, 0.457_827_5, 0.261_302_6),
        norm(77, 0.408_210_73, 0.275_777_1),
    ]);
    // Each number is there a second time with the other sign.
    let length = (raw.iter().map(|v| v * v).sum::<f32>() * 2.0).sqrt();
    let row = outputs.row(1).unwrap();
    assert_near(&row[..7], &raw.map(|v| v / length));
    assert_near(&row[7..], &raw.map(|v| -v / length));
    assert_near(&model.vector(row).unwrap(), row);
}

#[test]
fn vectors_of_another_size_than_said_are_refused_when_the_model_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["model.onnx", "model.toml"] {
        std::fs::copy(fixture("clip-like").join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("model.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("dimensions = 14", "dimensions = 16")).unwrap();
    let refusal = open(folder.path()).unwrap_err().to_string();
    assert!(refusal.contains("14 numbers"), "{refusal}");
    assert!(refusal.contains("dimensions = 16"), "{refusal}");
}

#[test]
fn a_batch_of_any_size_gives_each_picture_what_it_gets_alone() {
    let colors: Vec<[u8; 3]> = (0u8..8).map(|i| [i * 30, 255 - i * 20, i * 7]).collect();
    for name in ["logits", "fixed-batch"] {
        let (model, mut session) = open(&fixture(name)).unwrap();
        let alone: Vec<Outputs> = colors
            .iter()
            .map(|&color| run(&model, &mut session, &[color]))
            .collect();
        for size in 1..=8 {
            let outputs = run(&model, &mut session, &colors[..size]);
            assert_eq!(outputs.len(), size, "{name}");
            for (row, alone) in outputs.rows().zip(&alone) {
                assert_near(row, alone.row(0).unwrap());
            }
        }
        let empty = session.run(&mut session.batch(4)).unwrap();
        assert!(empty.is_empty() && empty.rows().len() == 0, "{name}");
    }
}

#[test]
fn a_batch_is_reused_and_never_grows_past_the_models_maximum() {
    let (_, mut session) = open(&fixture("logits")).unwrap();
    let mut batch = session.batch(1000);
    assert_eq!(batch.capacity(), 8);
    let bytes = batch.byte_size();
    for round in 0..3 {
        batch.clear();
        while let Some(pushed) = batch.push(|row| {
            row.fill(0.5);
            Ok::<_, Error>(())
        }) {
            pushed.unwrap();
        }
        assert_eq!(session.run(&mut batch).unwrap().len(), 8, "round {round}");
    }
    assert_eq!(batch.byte_size(), bytes);
    batch.clear();
    let failed = batch.push(|_| Err::<(), _>("no")).unwrap();
    assert!(failed.is_err() && batch.is_empty());
    assert_eq!(batch.rows_mut(99).len(), 8);
}

#[test]
fn the_proof_counts_the_nodes_that_the_cpu_ran() {
    let (_, session) = open(&fixture("logits")).unwrap();
    let proof = session.proof();
    assert_eq!(proof.class, DeviceClass::Cpu);
    assert_eq!(proof.provider, "CPUExecutionProvider");
    assert!(
        proof.nodes >= 2 && proof.nodes == proof.nodes_total,
        "{proof}"
    );
    assert!(session.report().load_time > Duration::ZERO);
    assert!(session.report().resident_after > 0);
}

#[test]
fn a_gpu_that_is_not_there_is_refused_and_auto_does_without_it() {
    let model = Model::open(&fixture("logits")).unwrap();
    let gpu = SessionOptions {
        device: DeviceChoice::Cuda { index: 0 },
        ..options()
    };
    let error = Session::open(&runtime(), &model, &gpu).unwrap_err();
    assert_eq!(error.reason(), "DEVICE_UNAVAILABLE");
    let said = error.to_string();
    assert!(
        said.contains("cuda:0") && said.contains("--device cpu"),
        "{said}"
    );
    let auto = SessionOptions {
        device: DeviceChoice::Auto,
        ..options()
    };
    let session = Session::open(&runtime(), &model, &auto).unwrap();
    assert_eq!(session.proof().class, DeviceClass::Cpu);
}

#[test]
fn weights_that_answer_nan_never_start() {
    let said = refusal(&fixture("nan"));
    assert!(
        said.contains("NaN") && said.contains("model.onnx"),
        "{said}"
    );
}

#[test]
fn damaged_weights_are_refused_with_the_file_and_a_remedy() {
    for name in ["logits", "wd-like"] {
        let half = changed(name, "model.onnx", |bytes| {
            bytes[..bytes.len() / 2].to_vec()
        });
        let noise = changed(name, "model.onnx", |_| b"no graph at all".to_vec());
        for folder in [half, noise] {
            let said = refusal(folder.path());
            assert!(
                said.contains("model.onnx") && said.contains("copy it again"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_graph_that_does_not_fit_its_description_is_refused() {
    let toml = |name: &str, from: &'static str, to: &'static str| {
        changed(name, "model.toml", move |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{text}");
            text.replacen(from, to, 1).into_bytes()
        })
    };
    let cases = [
        (toml("logits", "nchw", "nhwc"), "[N, 32, 32, 3]"),
        (toml("logits", "width = 32", "width = 64"), "[N, 3, 32, 64]"),
        (
            toml("logits", "[input]", "[input]\nname = \"image\""),
            "its input is 'input'",
        ),
        (
            toml(
                "logits",
                "activation = \"sigmoid\"",
                "activation = \"none\"",
            ),
            "activation = \"sigmoid\"",
        ),
        (
            toml("two-outputs", "index = 1\n", ""),
            "'initial', 'logits'",
        ),
        (
            toml("two-outputs", "index = 1", "index = 2"),
            "by name or index",
        ),
        (
            toml("two-outputs", "index = 1", "name = \"x\""),
            "by name or index",
        ),
    ];
    for (folder, expected) in cases {
        let said = refusal(folder.path());
        assert!(said.contains(expected), "{said}");
    }
    assert!(refusal(&fixture("two-inputs")).contains("2 inputs ('input', 'mask')"));
    let label = changed("logits", "selected_tags.csv", |mut bytes| {
        bytes.extend_from_slice(b"8,one_too_many,0,1\n");
        bytes
    });
    let said = refusal(label.path());
    assert!(
        said.contains("7 outputs") && said.contains("8 labels"),
        "{said}"
    );
}

#[test]
fn a_cancelled_session_runs_no_more() {
    let (_, mut session) = open(&fixture("logits")).unwrap();
    let canceller = session.canceller();
    std::thread::spawn(move || canceller.cancel())
        .join()
        .unwrap();
    let mut batch = session.batch(1);
    assert_eq!(batch.rows_mut(1).len(), 1);
    assert!(matches!(session.run(&mut batch), Err(Error::RunCancelled)));
}

#[test]
fn a_session_is_a_value_that_moves_to_another_thread() {
    let (model, mut session) = open(&fixture("logits")).unwrap();
    let row = std::thread::spawn(move || run(&model, &mut session, &[[0, 0, 255]]));
    assert_near(
        row.join().unwrap().row(0).unwrap(),
        &logits([0.0, 0.0, 1.0]).map(sigmoid),
    );
}

#[test]
fn a_process_keeps_the_runtime_it_has() {
    let first = runtime();
    assert_eq!(
        Runtime::load(Some(first.library())).unwrap().library(),
        first.library()
    );
    let error = Runtime::load(Some(Path::new("/other/libonnxruntime.so"))).unwrap_err();
    assert_eq!(error.reason(), "ONNXRUNTIME_ALREADY_LOADED");
    assert!(
        first.build_info().contains("Build"),
        "{}",
        first.build_info()
    );
}
