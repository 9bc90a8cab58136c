//! What cannot become a post says why, and stops nothing.

use std::{collections::BTreeMap, ffi::OsStr, fs, os::unix::ffi::OsStrExt, process::Command};

use kumo_tests::{
    cluster::Machine,
    pictures::{jpeg, photo, png, solid},
    wait,
};

/// A PNG header that promises sixty thousand by sixty thousand pixels.
fn gigantic_png() -> Vec<u8> {
    let mut bytes = png(&solid(8, 8, [1, 2, 3])).expect("encodes");
    bytes[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The checksum of a PNG chunk, so that the header is believed.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

#[test]
fn bad_files_have_reasons_and_good_ones_beside_them_are_posts() {
    let machine = Machine::new();
    let good = jpeg(&photo(300, 200, 1, [90; 3]), 90).expect("encodes");
    machine.drop_file("good.jpg", &good);
    machine.drop_file(
        "really a jpeg.png",
        &jpeg(&photo(300, 200, 2, [90; 3]), 90).expect("encodes"),
    );
    machine.drop_file("zero.jpg", b"");
    machine.drop_file("text.jpg", b"this is no picture, whatever its name says");
    machine.drop_file("gigantic.png", &gigantic_png());
    machine.drop_file(
        "cut.png",
        &png(&photo(300, 200, 3, [90; 3])).expect("encodes")[..400],
    );
    machine.drop_file("notes.txt", b"nobody wants to hear of this");
    machine.drop_file(
        OsStr::from_bytes(b"caf\xe9 \xff.jpg"),
        &jpeg(&photo(300, 200, 4, [90; 3]), 90).expect("encodes"),
    );
    let fifo = Command::new("mkfifo")
        .arg(machine.library().join("pipe.jpg"))
        .status();
    assert!(fifo.expect("mkfifo is there").success());
    std::os::unix::fs::symlink(".", machine.library().join("loop")).expect("links");
    std::os::unix::fs::symlink("/etc/passwd", machine.library().join("out.jpg")).expect("links");

    let _store = machine.start_store();
    let _watcher = machine.start_watcher();
    let _tagger = machine.start_tagger();
    machine.settle(3, 60);
    let store = machine.store();
    let reasons: BTreeMap<String, String> = wait::until("four failures are listed", 60, || {
        let failed = store.failed()?;
        let named = |task: &proto::store::v1::Task| {
            let name = task.display_path.rsplit('/').next().unwrap_or_default();
            (name.to_owned(), task.reason.clone())
        };
        if failed.len() == 4 {
            Ok(failed.iter().map(named).collect())
        } else {
            Err(format!("{failed:?}"))
        }
    });
    assert_eq!(reasons["zero.jpg"], "EMPTY_FILE");
    assert_eq!(reasons["text.jpg"], "NOT_A_PICTURE");
    assert_eq!(reasons["gigantic.png"], "DIMENSIONS_TOO_LARGE");
    assert!(
        ["TRUNCATED", "CORRUPT"].contains(&reasons["cut.png"].as_str()),
        "{reasons:?}"
    );

    // The file is mended: its failure goes, and it is a post.
    machine.drop_file(
        "zero.jpg",
        &jpeg(&photo(300, 200, 5, [90; 3]), 90).expect("encodes"),
    );
    machine.settle(4, 60);
    wait::until("its failure is gone", 30, || {
        let failed = store.failed()?;
        if failed.len() == 3 {
            Ok(())
        } else {
            Err(format!("{failed:?}"))
        }
    });
}

#[test]
fn a_second_store_on_the_same_data_is_refused() {
    let machine = Machine::new();
    let _first = machine.start_store();
    let second = machine
        .command("kumo-store")
        .args([
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--log-format",
            "human",
        ])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(
        said.contains(machine.data().to_str().expect("UTF-8")),
        "{said}"
    );
    assert!(machine.store().stats().is_ok(), "the first goes on");
}

#[test]
fn senseless_flags_are_refused_before_anything_is_served() {
    let machine = Machine::new();
    for (flags, hint) in [
        (&["--listen", "0.0.0.0:0"][..], "--insecure"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--log", "store=nonsense"], "--log"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let output = machine
            .command("kumo-store")
            .args(flags)
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {said}");
        assert!(said.contains(hint), "{flags:?}: {said}");
    }
}

#[test]
fn a_missing_runtime_and_a_broken_model_are_explained() {
    let machine = Machine::new();
    let _store = machine.start_store();
    let run = |flags: &[&str]| {
        let output = machine
            .command("kumo-tagger")
            .args(["--store", &machine.store_address(), "--log-format", "human"])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(flags)
            .output()
            .expect("runs");
        assert!(!output.status.success(), "{flags:?} must not start");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = run(&["--runtime", "/nowhere/libonnxruntime.so"]);
    assert!(said.contains("/nowhere/libonnxruntime.so"), "{said}");
    let text = machine.drop_file("libonnxruntime.so", b"not a library");
    let said = run(&["--runtime", text.to_str().expect("UTF-8")]);
    assert!(said.contains("libonnxruntime.so"), "{said}");

    let model = machine.data().with_file_name("model");
    fs::create_dir(&model).expect("makes a folder");
    let folder = model.to_str().expect("UTF-8");
    let said = run(&["--model", folder]);
    assert!(said.contains("model.toml"), "{said}");
    fs::write(model.join("model.toml"), "kind = \"nonsense\"\n").expect("writes");
    let said = run(&["--model", folder]);
    assert!(said.contains("model.toml"), "{said}");
}
