//! Model folders, sound and broken in every way that copying by hand breaks them.

use std::fs;

use tempfile::TempDir;

use super::*;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/models")
        .join(name)
}

/// A copy of a fixture that a test may break.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// A copy whose `model.toml` has `from` replaced by `to`.
fn edited(from: &str, to: &str) -> TempDir {
    let folder = copy("wd-like");
    let path = folder.path().join("model.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "the fixture has no '{from}'");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    folder
}

fn refusal(folder: &TempDir) -> String {
    Model::open(folder.path()).unwrap_err().to_string()
}

#[test]
fn a_folder_like_a_published_tagger_opens() {
    let model = Model::open(&fixture("wd-like")).unwrap();
    assert_eq!(model.labels().len(), 7);
    assert_eq!(model.labels()[0].category, Category::Rating);
    assert_eq!(model.labels()[6].category, Category::Character);
    assert_eq!(model.threshold(Category::General), 0.35);
    assert_eq!(model.threshold(Category::Character), 0.85);
    assert_eq!(model.threshold(Category::Artist), 0.5);
    assert_eq!(model.spec().batch.max, 8);
}

#[test]
fn the_revision_is_a_fixed_function_of_the_folder() {
    // If this value changes, every library is tagged anew: change it only on purpose.
    let revision = "e2cf28cccdce070e1cc8f29c7d8315f20f71db3c766986b64f48a8fb39aa2096";
    assert_eq!(
        Model::open(&fixture("wd-like")).unwrap().revision(),
        revision
    );
}

#[test]
fn what_decides_results_is_in_the_revision_and_nothing_else() {
    let revision = |folder: &TempDir| Model::open(folder.path()).unwrap().revision().to_owned();
    let sound = revision(&copy("wd-like"));
    for (from, to) in [
        ("general = 0.35", "general = 0.4\nstore = 0.05"),
        ("name = \"wd-like\"", "name = \"other\" # a comment"),
        ("max = 8", "max = 4"),
    ] {
        assert_eq!(revision(&edited(from, to)), sound, "{to}");
    }
    for (from, to) in [
        ("bicubic", "bilinear"),
        ("\"bgr\"", "\"rgb\""),
        ("\"byte\"", "\"unit\""),
        ("width = 448\nheight = 448", "width = 224\nheight = 224"),
        ("[labels]", "[output]\nactivation = \"sigmoid\"\n[labels]"),
    ] {
        assert_ne!(revision(&edited(from, to)), sound, "{to}");
    }
    for file in ["model.onnx", "selected_tags.csv"] {
        let folder = copy("wd-like");
        let path = folder.path().join(file);
        let text = [fs::read(&path).unwrap(), b"7,new,0,1\n".to_vec()].concat();
        fs::write(path, text).unwrap();
        assert_ne!(revision(&folder), sound, "{file}");
    }
}

#[test]
fn keys_that_are_wrong_are_named() {
    let cases = [
        ("format = 1", "format = 2", "format = 2"),
        ("name = \"wd-like\"", "name = \"a b\"", "name = \"a b\""),
        ("kind = \"tag\"", "kind = \"upscale\"", "upscale"),
        ("kind = \"tag\"", "kind = \"embed\"", "no [labels]"),
        ("layout", "lay_out", "lay_out"),
        ("\"nhwc\"", "\"hwc\"", "hwc"),
        ("width = 448", "width = 0", "width = 0"),
        ("width = 448", "width = 4096", "width = 4096"),
        ("width = 448", "width = 224", "width = height"),
        ("fit = \"pad\"", "fit = \"crop\"", "needs crop_from"),
        (
            "fit = \"pad\"",
            "fit = \"pad\"\ncrop_from = 500",
            "crop_from is for",
        ),
        (
            "range = \"byte\"",
            "range = \"byte\"\nstd = [1.0, 0.0, 1.0]",
            "std not 0",
        ),
        ("general = 0.35", "general = 1.5", "1.5"),
        ("general = 0.35", "colour = 0.35", "colour"),
        ("max = 8", "max = 0", "max = 0"),
        ("max = 8", "max = 257", "max = 257"),
        (
            "[labels]",
            "[output]\ndimensions = 8\n[labels]",
            "dimensions is for",
        ),
        (
            "[labels]",
            "[output]\nname = \"a\"\nindex = 0\n[labels]",
            "exclude each other",
        ),
        (
            "kind = \"tag\"",
            "kind = \"tag\"\nsha256 = \"abc\"",
            "64 hex digits",
        ),
        (
            "kind = \"tag\"",
            "kind = \"tag\"\nfile = \"../model.onnx\"",
            "below the model folder",
        ),
        (
            "kind = \"tag\"",
            "kind = \"tag\"\nfile = \"/etc/passwd\"",
            "below the model folder",
        ),
        ("format = 1", "format = ", "model.toml"),
    ];
    for (from, to, expected) in cases {
        let said = refusal(&edited(from, to));
        assert!(said.contains(expected), "{to}: {said}");
        assert!(said.contains("model.toml"), "{to}: {said}");
    }
}

#[test]
fn missing_files_are_named() {
    for file in ["model.toml", "model.onnx", "selected_tags.csv"] {
        let folder = copy("wd-like");
        fs::remove_file(folder.path().join(file)).unwrap();
        let said = refusal(&folder);
        assert!(
            said.contains(file) && said.contains("no such file"),
            "{said}"
        );
    }
    let error = Model::open(std::path::Path::new("/no/such/model")).unwrap_err();
    assert_eq!(error.reason(), "MODEL_UNREADABLE");
    assert!(error.to_string().contains("a model is a folder"));
}

#[test]
fn weights_that_cannot_be_weights_are_refused() {
    let wrong = "0".repeat(64);
    let demand = format!("kind = \"tag\"\nsha256 = \"{wrong}\"");
    let said = refusal(&edited("kind = \"tag\"", &demand));
    assert!(
        said.contains("demands 0000") && said.contains("copy it again"),
        "{said}"
    );

    let folder = copy("wd-like");
    fs::write(folder.path().join("model.onnx"), "").unwrap();
    assert!(refusal(&folder).contains("the file is empty"));

    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    fs::write(folder.path().join("model.onnx"), pointer).unwrap();
    assert!(refusal(&folder).contains("git lfs pull"));
}

#[test]
fn weights_beside_the_graph_must_be_part_of_the_revision() {
    let folder = copy("wd-like");
    fs::write(folder.path().join("model.onnx.data"), "weights").unwrap();
    assert!(refusal(&folder).contains("external_data = [\"model.onnx.data\"]"));
    let path = folder.path().join("model.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        format!("external_data = [\"model.onnx.data\"]\n{text}"),
    )
    .unwrap();
    let first = Model::open(folder.path()).unwrap().revision().to_owned();
    fs::write(folder.path().join("model.onnx.data"), "others!").unwrap();
    assert_ne!(Model::open(folder.path()).unwrap().revision(), first);
}

#[test]
fn huge_and_binary_text_files_are_refused() {
    let folder = copy("wd-like");
    fs::write(folder.path().join("model.toml"), vec![b' '; 70_000]).unwrap();
    assert!(refusal(&folder).contains("larger than 65536 bytes"));
    let folder = copy("wd-like");
    fs::write(folder.path().join("selected_tags.csv"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(refusal(&folder).contains("not UTF-8"));
}

#[test]
fn predictions_are_what_lies_above_the_storage_threshold() {
    let model = Model::open(&fixture("wd-like")).unwrap();
    let found = model
        .predictions(&[0.05, 0.3, 0.1, 0.0, 0.9, 0.3, 0.09])
        .unwrap();
    let labels: Vec<_> = found.iter().map(|p| p.label).collect();
    assert_eq!(labels, [4, 1, 5, 2]);
    assert_eq!(
        model.predictions(&[0.5]).unwrap_err().reason(),
        "SHAPE_MISMATCH"
    );
}

#[test]
fn the_size_of_a_vector_is_said_and_within_bounds() {
    let refusal = |from: &str, to: &str| {
        let folder = copy("clip-like");
        let path = folder.path().join("model.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the fixture has no '{from}'");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        refusal(&folder)
    };
    let missing = refusal("dimensions = 14", "");
    assert!(
        missing.contains("needs dimensions in [output]"),
        "{missing}"
    );
    for wrong in ["7", "4097"] {
        let to = format!("dimensions = {wrong}");
        let refusal = refusal("dimensions = 14", &to);
        assert!(refusal.contains("must be 8 to 4096"), "{refusal}");
    }
    assert_eq!(Model::open(&fixture("clip-like")).unwrap().dimensions(), 14);
    assert_eq!(Model::open(&fixture("wd-like")).unwrap().dimensions(), 0);
}

#[test]
fn a_vector_is_a_direction_or_a_failure() {
    let model = Model::open(&fixture("clip-like")).unwrap();
    let mut row = [0.0; 14];
    for size in [1e-30, 1e-3, 1.0, 1e30, f32::MAX] {
        (row[2], row[9]) = (0.6 * size, -0.8 * size);
        match model.vector(&row) {
            Ok(vector) => {
                assert!((vector[2] - 0.6).abs() < 1e-6 && (vector[9] + 0.8).abs() < 1e-6);
                assert_eq!(vector.iter().filter(|value| **value == 0.0).count(), 12);
            }
            Err(error) => {
                assert!(size < 1e-9, "{size}: {error}");
                assert_eq!(error.reason(), "MODEL_NO_DIRECTION");
            }
        }
    }
    let length = |row: &[f32]| model.vector(row).unwrap_err().reason();
    assert_eq!(length(&[0.0; 14]), "MODEL_NO_DIRECTION");
    assert_eq!(length(&[1.0; 13]), "SHAPE_MISMATCH");
    for wrong in [f32::NAN, f32::INFINITY] {
        row[0] = wrong;
        assert_eq!(length(&row), "MODEL_NO_DIRECTION");
    }
}
