//! The pool itself: how many children, for how long, and what when there can be none.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kumo_renderer::{Config, Error, Format, Job, Pool};

use crate::make::{config, encoded, noise, pool, render, scene};

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} within 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn no_child_lives_before_work_nor_after_the_idle_time() {
    let pool = Pool::new(Config {
        idle: Duration::from_millis(200),
        ..config()
    });
    assert!(pool.children().is_empty());
    let picture = encoded(&scene(64, 48), Format::Png);
    for _ in 0..2 {
        render(&pool, &picture).await.expect("renders");
        let children = pool.children();
        assert_eq!(children.len(), 1);
        eventually("idle children end", || pool.children().is_empty()).await;
        assert!(!PathBuf::from(format!("/proc/{}", children[0])).exists());
    }
}

#[tokio::test]
async fn dropping_the_pool_ends_its_children() {
    let pool = pool();
    render(&pool, &encoded(&scene(64, 48), Format::Png))
        .await
        .expect("renders");
    let id = pool.children()[0];
    drop(pool);
    let gone = PathBuf::from(format!("/proc/{id}"));
    eventually("the child ends", || !gone.exists()).await;
}

#[tokio::test]
async fn a_child_is_replaced_after_its_share_of_pictures() {
    let pool = Pool::new(Config {
        pictures_per_child: 3,
        ..config()
    });
    let picture = encoded(&scene(64, 48), Format::Png);
    let mut seen = Vec::new();
    for _ in 0..9 {
        render(&pool, &picture).await.expect("renders");
        seen.extend(pool.children());
    }
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test]
async fn a_child_that_has_grown_is_replaced() {
    let pool = Pool::new(Config {
        resident_bytes_per_child: 1,
        ..config()
    });
    let picture = encoded(&scene(64, 48), Format::Png);
    render(&pool, &picture).await.expect("renders");
    assert!(pool.children().is_empty());
}

#[tokio::test]
async fn pictures_run_side_by_side_up_to_the_size() {
    let pool = Pool::new(Config {
        size: 2,
        ..config()
    });
    let picture = encoded(&noise(300, 300, 1), Format::Png);
    let renders = (0..12).map(|_| render(&pool, &picture));
    let mut most = 0;
    let mut all: Vec<_> = renders.map(Box::pin).collect();
    for batch in all.chunks_mut(2) {
        let [one, two] = batch else {
            panic!("twelve is even");
        };
        let (one, two) = tokio::join!(one, two);
        assert_eq!(one.expect("renders").hash, two.expect("renders").hash);
        most = most.max(pool.children().len());
    }
    assert_eq!(most, 2);
}

#[tokio::test]
async fn one_after_the_other_uses_one_child() {
    let pool = Pool::new(Config {
        size: 4,
        ..config()
    });
    let picture = encoded(&scene(64, 48), Format::Png);
    for _ in 0..8 {
        render(&pool, &picture).await.expect("renders");
        assert_eq!(pool.children().len(), 1);
    }
}

#[tokio::test]
async fn an_open_file_is_streamed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("misnamed.png");
    fs::write(&path, encoded(&noise(600, 500, 2), Format::Bmp)).expect("written");
    let file = File::open(&path).expect("open");
    let rendered = pool().render(Job::new("misnamed.png", file)).await;
    let rendered = rendered.expect("renders");
    assert_eq!(
        rendered.format,
        Format::Bmp,
        "the content counts, not the name"
    );
    assert!(rendered.cpu_time > Duration::ZERO);
}

#[tokio::test]
async fn a_missing_or_wrong_program_says_so() {
    for (program, missing) in [
        ("/nowhere/kumo-renderer", true),
        ("/bin/true", false),
        ("/bin/cat", false),
    ] {
        let pool = Pool::new(Config {
            program: Some(PathBuf::from(program)),
            ..config()
        });
        let error = render(&pool, b"anything").await.expect_err("no renderer");
        assert_eq!(error.code(), "RENDERER_UNAVAILABLE");
        assert_eq!(matches!(error, Error::Missing { .. }), missing, "{error}");
        assert!(error.to_string().contains(program), "{error}");
        assert!(
            error.reason().is_none(),
            "it says nothing about the picture"
        );
    }
}

#[test]
fn started_by_hand_it_explains_itself() {
    let output = std::process::Command::new(crate::make::program())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("started by the other kumo programs"),
        "{told}"
    );
}

#[tokio::test]
async fn a_relative_path_to_the_program_is_taken_from_here() {
    let here = std::env::current_dir().expect("a folder");
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let program = up.join(crate::make::program().strip_prefix("/").expect("absolute"));
    assert!(program.is_relative());
    let pool = Pool::new(Config {
        program: Some(program),
        ..config()
    });
    pool.probe().await.expect("it starts");
}
