//! Files and names that were made to break things, or might.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use super::den::{Den, picture, tree};

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_file_has_a_reason_and_every_odd_thing_is_left_alone() {
    let mut den = Den::without_watcher(super::store::Store::start());
    let whole = picture(1);
    fs::write(den.at("good.png"), &whole).expect("writes");
    fs::write(den.at("wrong-extension.jpg"), picture(2)).expect("writes");
    fs::write(den.at("empty.png"), "").expect("writes");
    fs::write(den.at("cut.png"), &whole[..whole.len() / 2]).expect("writes");
    fs::write(den.at("text.jpg"), "this is a letter").expect("writes");
    fs::write(den.at("letter.txt"), "this is a letter").expect("writes");
    fs::write(den.at(OsStr::from_bytes(b"latin\xe9\n.png")), picture(3)).expect("writes");
    let long = format!("{}.png", "x".repeat(251));
    fs::write(den.at(&long), picture(4)).expect("writes");
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, den.at("pipe.png"), fifo, mode, 0).expect("makes");
    fs::create_dir(den.at("loop")).expect("makes");
    symlink("..", den.at("loop/up")).expect("links");
    symlink(den.at("good.png"), den.at("link.png")).expect("links");
    symlink("/", den.at("slash")).expect("links");
    let before = tree(&den.root());

    den.start().await;
    den.until("the good ones", |state| state.present().len() == 4)
        .await;
    den.until_idle().await;
    {
        let state = den.store.state();
        assert_eq!(
            state.present(),
            [
                "good.png",
                "latin\\xe9\\n.png",
                "wrong-extension.jpg",
                long.as_str()
            ]
        );
        let failures: Vec<(&str, &str)> = state
            .failures
            .iter()
            .map(|(path, why)| (path.as_str(), why.as_str()))
            .collect();
        assert_eq!(
            failures,
            [
                ("cut.png", "TRUNCATED"),
                ("empty.png", "EMPTY_FILE"),
                ("text.jpg", "NOT_A_PICTURE")
            ]
        );
    }
    assert_eq!(tree(&den.root()), before, "nothing is written in a library");

    // A failure is not repeated, ends when the file is repaired, and is tried again on demand.
    den.rescan().await;
    den.place("empty.png", 5);
    den.until("the repair", |state| state.present().contains(&"empty.png"))
        .await;
    den.store.state().failures.remove("text.jpg");
    den.store.state().retry.push("text.jpg".to_owned());
    den.until("the retry", |state| state.failures.contains_key("text.jpg"))
        .await;
    fs::remove_file(den.at("cut.png")).expect("removes");
    den.until("the end of the failure", |state| {
        !state.failures.contains_key("cut.png")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_system_will_not_give_is_a_failure_that_ends() {
    let mut den = Den::without_watcher(super::store::Store::start());
    // Nothing is forbidden to root, but no name may make a path of more than 4,096 bytes.
    fs::create_dir_all(den.at("ok")).expect("makes");
    make_deep(&den.root(), 17);
    fs::write(den.at("ok/a.png"), picture(1)).expect("writes");
    den.start().await;
    den.until("the failure", |state| {
        state.failures.values().any(|why| why == "UNREADABLE")
    })
    .await;
    den.until("the others", |state| state.present() == ["ok/a.png"])
        .await;
    den.until_idle().await;
    assert_eq!(den.store.state().failures.len(), 1);
}

/// Makes directories one in another, deeper than a path can say.
fn make_deep(root: &std::path::Path, depth: usize) {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let mode = rustix::fs::Mode::from_raw_mode(0o755);
    let mut at = rustix::fs::open(root, flags, mode).expect("opens");
    let name = "d".repeat(250);
    for _ in 0..depth {
        rustix::fs::mkdirat(&at, name.as_str(), mode).expect("makes");
        at = rustix::fs::openat(&at, name.as_str(), flags, mode).expect("opens");
    }
}
