//! What is always on stays small and maps no ML library.

use std::fs;

use kumo_tests::{
    cluster::Machine,
    pictures::{jpeg, photo},
};

#[test]
fn store_and_watcher_map_no_ml_library_and_stay_small() {
    let machine = Machine::new();
    for seed in 0..40 {
        let bytes = jpeg(&photo(800, 600, seed, [120; 3]), 88).expect("encodes");
        machine.drop_file(format!("{seed}.jpg"), &bytes);
    }
    let store = machine.start_store();
    let watcher = machine.start_watcher();
    let tagger = machine.start_tagger();
    machine.settle(40, 90);
    let maps = |pid: u32| fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    assert!(
        maps(tagger.pid()).contains("libonnxruntime"),
        "this check can fail"
    );
    for (role, program) in [("store", &store), ("watcher", &watcher)] {
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
