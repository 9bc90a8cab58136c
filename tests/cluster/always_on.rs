//! What is always on stays small and maps no ML library.

use std::fs;
use std::time::{Duration, Instant};

use kumo_tests::{
    cluster::Machine,
    pictures::{jpeg, photo},
};

#[test]
fn store_watcher_and_similarity_map_no_ml_library_and_stay_small() {
    let machine = Machine::new();
    for seed in 0..40 {
        let bytes = jpeg(&photo(800, 600, seed, [120; 3]), 88).expect("encodes");
        machine.drop_file(format!("{seed}.jpg"), &bytes);
    }
    let store = machine.start_store();
    let watcher = machine.start_watcher();
    let tagger = machine.start_tagger();
    let address = machine.store_address();
    let similarity = machine.start("similarity", &["--store", &address]);
    machine.settle(40, 90);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !similarity.log().contains("ready:") {
        assert!(Instant::now() < deadline, "{}", similarity.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let maps = |pid: u32| fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    assert!(
        maps(tagger.pid()).contains("libonnxruntime"),
        "this check can fail"
    );
    let programs = [
        ("store", &store),
        ("watcher", &watcher),
        ("similarity", &similarity),
    ];
    for (role, program) in programs {
        let maps = maps(program.pid());
        for library in ["onnxruntime", "torch", "mkl", "cuda", "openvino"] {
            assert!(!maps.contains(library), "the {role} maps {library}");
        }
        let status =
            fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("it runs");
        let resident = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .split_whitespace()
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .expect("the kernel shows it");
        // Not the target, which a bench measures on a release build: a ceiling that a leak breaks.
        assert!(resident < 96 * 1024, "the {role} holds {resident} KiB");
    }
}
