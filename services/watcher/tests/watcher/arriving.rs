//! Files that come, change and move.

use std::{
    fs::{self, File},
    io::Write,
    time::{Duration, Instant},
};

use super::den::{Den, picture, tree};

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_there_at_the_start_are_registered_with_all_that_belongs_to_them() {
    let mut den = Den::without_watcher(super::store::Store::start());
    fs::create_dir_all(den.at("a/b")).expect("makes");
    for (seed, path) in (1..).zip(["1.png", "a/2.png", "a/b/3.png"]) {
        fs::write(den.at(path), picture(seed)).expect("writes");
    }
    fs::write(den.at("a/notes.json"), "{}").expect("writes");
    fs::write(den.at("a/.hidden.png"), picture(9)).expect("writes");
    fs::write(den.at("a/4.png.part"), picture(9)).expect("writes");
    fs::write(den.at("no-extension"), picture(4)).expect("writes");
    let before = tree(&den.root());
    den.start().await;
    den.until("the scan", |state| state.present().len() == 4)
        .await;
    den.until_idle().await;
    {
        let state = den.store.state();
        assert_eq!(
            state.present(),
            ["1.png", "a/2.png", "a/b/3.png", "no-extension"]
        );
        assert!(state.failures.is_empty(), "{:?}", state.failures);
        let post = state.posts.values().next().expect("is there");
        assert_eq!((post.width, post.height, post.frames), (48, 32, 1));
        assert_eq!(post.media_type, "image/png");
        assert!(post.traceparent.starts_with("00-"));
        assert_eq!(post.perceptual_hash.len(), 64);
        let sample = post.sample.as_ref().expect("has a sample");
        let file = den
            .data
            .path()
            .join("samples")
            .join(&post.sha256[..2])
            .join(format!("{}-r{}.jpg", post.sha256, sample.render_revision));
        assert_eq!(
            fs::metadata(file).expect("is there").len(),
            u64::from(sample.byte_size)
        );
    }
    assert_eq!(tree(&den.root()), before, "nothing is written in a library");
    den.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_renamed_into_place_is_registered_within_a_fraction_of_a_second() {
    let den = Den::new().await;
    den.until_idle().await;
    let mut times = Vec::new();
    for seed in 1..=20 {
        let path = format!("{seed}.png");
        let start = Instant::now();
        den.place(&path, seed);
        den.until("its registration", |state| state.heard.contains_key(&path))
            .await;
        times.push(den.store.state().heard[&path] - start);
    }
    times.sort();
    println!(
        "from rename to RegisterPosts: p50 {:?}, max {:?}",
        times[10], times[19]
    );
    // A benchmark holds the figure; this only holds the settle rule: no two-second wait.
    assert!(times[10] < Duration::from_secs(1), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slowly_written_file_is_registered_once_and_whole() {
    let den = Den::new().await;
    den.until_idle().await;
    let bytes = picture(1);
    let mut file = File::create(den.at("slow.png")).expect("makes");
    for piece in bytes.chunks(bytes.len() / 8) {
        file.write_all(piece).expect("writes");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(den.store.state().heard.is_empty(), "it was still open");
    drop(file);
    den.until("its registration", |state| state.present() == ["slow.png"])
        .await;
    den.until_idle().await;
    let state = den.store.state();
    assert_eq!(state.registrations["slow.png"], 1);
    assert!(state.failures.is_empty(), "{:?}", state.failures);
    assert_eq!(
        state.posts.values().next().map(|post| post.byte_size),
        Some(bytes.len() as u64)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_another_place_of_the_same_post() {
    let den = Den::new().await;
    den.place("one.png", 1);
    den.until("the first", |state| state.present().len() == 1)
        .await;
    fs::copy(den.at("one.png"), den.at("two.png")).expect("copies");
    fs::hard_link(den.at("one.png"), den.at("three.png")).expect("links");
    den.until("the copies", |state| state.present().len() == 3)
        .await;
    let state = den.store.state();
    assert_eq!(state.posts.len(), 1);
    assert_eq!(
        state.registrations.len(),
        1,
        "known content is not rendered again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_becomes_another_post() {
    let den = Den::new().await;
    den.place("a.png", 1);
    den.until("the first", |state| state.posts.len() == 1).await;
    let first = den.store.state().locations["a.png"].0.clone();
    den.place("a.png", 2);
    den.until("the second", |state| state.posts.len() == 2)
        .await;
    let state = den.store.state();
    assert_ne!(state.locations["a.png"].0, first);
    assert_eq!(state.present(), ["a.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_files_and_directories_keep_their_posts() {
    let den = Den::new().await;
    fs::create_dir(den.at("old")).expect("makes");
    for seed in 1..=5 {
        den.place(&format!("old/{seed}.png"), seed);
    }
    den.place("a.png", 9);
    den.until("all", |state| state.present().len() == 6).await;
    fs::rename(den.at("old"), den.at("new")).expect("renames");
    fs::rename(den.at("a.png"), den.at("b.png")).expect("renames");
    den.until("the move", |state| {
        state.locations.len() == 6 && state.present().first() == Some(&"b.png")
    })
    .await;
    den.until_idle().await;
    {
        let state = den.store.state();
        assert_eq!(state.missing(), [""; 0], "no place that was left is listed");
        assert!(
            state
                .present()
                .iter()
                .all(|path| path.starts_with("new/") || *path == "b.png")
        );
        assert_eq!(state.posts.len(), 6);
        let registrations: u32 = state.registrations.values().sum();
        assert_eq!(registrations, 6, "nothing was rendered twice");
    }
    // And what comes after, in the directory under its new name, is heard of.
    den.place("new/later.png", 20);
    den.until("the later one", |state| {
        state.present().contains(&"new/later.png")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_written_while_their_directories_are_made_are_all_found() {
    let den = Den::new().await;
    den.until_idle().await;
    let root = den.root();
    let writing = tokio::task::spawn_blocking(move || {
        for number in 0..40_u32 {
            let folder = root.join(format!("{number}/a/b/c"));
            fs::create_dir_all(&folder).expect("makes");
            fs::write(folder.join("x.png"), picture(number)).expect("writes");
        }
    });
    writing.await.expect("writes");
    den.until("all of them", |state| state.present().len() == 40)
        .await;
    assert!(den.store.state().failures.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_nothing_again() {
    let mut den = Den::new().await;
    for seed in 1..=10 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("all", |state| state.present().len() == 10).await;
    den.until_idle().await;
    den.stop().await;
    // While nobody looks: one goes, one comes, one moves.
    fs::remove_file(den.at("1.png")).expect("removes");
    fs::rename(den.at("2.png"), den.at("moved.png")).expect("renames");
    den.place("11.png", 11);
    den.start().await;
    den.until("the differences", |state| {
        state.missing() == ["1.png"] && state.present().len() == 10
    })
    .await;
    den.until_idle().await;
    let state = den.store.state();
    assert!(
        state.registrations.values().all(|times| *times == 1),
        "{:?}",
        state.registrations
    );
    assert_eq!(state.told, 1, "only the moved file was told of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_table_is_learned_again_from_the_store() {
    let mut den = Den::new().await;
    for seed in 1..=5 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("all", |state| state.present().len() == 5).await;
    den.stop().await;
    fs::remove_dir_all(den.data.path().join("watcher")).expect("removes");
    den.start().await;
    den.until_idle().await;
    {
        let state = den.store.state();
        assert!(
            state.registrations.values().all(|times| *times == 1),
            "{:?}",
            state.registrations
        );
        assert_eq!((state.present().len(), state.told), (5, 0));
    }
    // A store that was restored from a backup knows less than the table: it is told again.
    den.stop().await;
    {
        let mut state = den.store.state();
        state.posts.clear();
        state.locations.clear();
    }
    den.start().await;
    den.until("all, again", |state| {
        state.present().len() == 5 && state.posts.len() == 5
    })
    .await;
}
