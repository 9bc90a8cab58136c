//! `kill -9` in mid-scan.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    den::{Den, picture},
    store::Store,
};

fn spawn(den: &Den) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kumo-watcher"))
        .args(&den.flags()[1..])
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_killed_in_mid_scan_registers_every_file_once_in_effect() {
    const FILES: usize = 300;
    let den = Den::without_watcher(Store::start());
    for seed in 0..FILES {
        let folder = den.at(format!("{}", seed % 7));
        fs::create_dir_all(&folder).expect("makes");
        fs::write(folder.join(format!("{seed}.png")), picture(seed as u32)).expect("writes");
    }
    for share in [1, 2] {
        let mut child = spawn(&den);
        den.until("a part", |state| state.present().len() >= FILES * share / 3)
            .await;
        child.kill().expect("kills");
        child.wait().expect("ends");
    }
    let known_twice = {
        let state = den.store.state();
        assert!(
            state.present().len() < FILES,
            "it was killed before the end"
        );
        state
            .registrations
            .values()
            .filter(|times| **times > 1)
            .count()
    };
    let mut child = spawn(&den);
    den.until("all of them", |state| state.present().len() == FILES)
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    child.kill().expect("kills");
    child.wait().expect("ends");
    let state = den.store.state();
    assert_eq!(state.posts.len(), FILES);
    assert!(state.missing().is_empty() && state.failures.is_empty());
    // What was acknowledged but not yet remembered may be sent again; that is at most a batch.
    let twice = state
        .registrations
        .values()
        .filter(|times| **times > 1)
        .count();
    assert!(twice <= 2 * 64, "{twice}, {known_twice}");
}
