//! Children that die, hang, or eat: their picture alone pays, and the reason is right.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat, RgbaImage};
use kumo_renderer::{Error, Format, Job, Pool, Reason, Source};
use rustix::process::{Pid, Signal, kill_process};

use crate::make::{encoded, noise, pool, pool_with_limits, reason, render, scene, write};

fn signal(pool: &Pool, signal: Signal) {
    for id in pool.children() {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process id"), signal).expect("our own child");
    }
}

/// Signals the child when it has the first half of the picture and waits for more.
struct Ambush {
    bytes: io::Cursor<Vec<u8>>,
    pool: Pool,
    signal: Option<Signal>,
}

impl Read for Ambush {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.position() * 2 > self.bytes.get_ref().len() as u64
            && let Some(with) = self.signal.take()
        {
            signal(&self.pool, with);
        }
        self.bytes.read(buffer)
    }
}

fn ambush(pool: &Pool, with: Signal) -> Job {
    let bytes = encoded(&noise(700, 700, 1), Format::Bmp);
    let source = Source::Reader {
        size_hint: bytes.len() as u64,
        reader: Box::new(Ambush {
            bytes: io::Cursor::new(bytes),
            pool: pool.clone(),
            signal: Some(with),
        }),
    };
    Job {
        label: "an ambush".to_owned(),
        source,
        wanted: kumo_renderer::Wanted::ALL,
    }
}

async fn still_works(pool: &Pool) {
    let picture = encoded(&scene(64, 48), Format::Png);
    render(pool, &picture)
        .await
        .expect("the next picture renders");
}

#[tokio::test]
async fn a_child_killed_in_mid_picture_fails_that_picture_alone() {
    let pool = pool();
    for with in [Signal::KILL, Signal::SEGV, Signal::BUS] {
        still_works(&pool).await;
        let answer = pool.render(ambush(&pool, with)).await;
        assert_eq!(reason(answer), Reason::RendererCrashed);
        still_works(&pool).await;
    }
}

#[tokio::test]
async fn a_child_that_hangs_is_ended_at_the_time_limit() {
    let pool = pool_with_limits(|limits| limits.time = Duration::from_millis(700));
    still_works(&pool).await;
    let begun = Instant::now();
    let answer = pool.render(ambush(&pool, Signal::STOP)).await;
    assert_eq!(reason(answer), Reason::TimeLimit);
    let took = begun.elapsed();
    assert!((700..5000).contains(&took.as_millis()), "{took:?}");
    still_works(&pool).await;
}

#[tokio::test]
async fn a_child_killed_in_its_sleep_costs_no_picture() {
    let pool = pool();
    for _ in 0..20 {
        still_works(&pool).await;
        signal(&pool, Signal::KILL);
        still_works(&pool).await;
    }
}

#[tokio::test]
async fn a_picture_that_needs_more_memory_than_there_is_says_so() {
    let picture = RgbaImage::from_fn(4000, 4000, |x, y| image::Rgba([x as u8, y as u8, 0, 128]));
    let bytes = write(&DynamicImage::ImageRgba8(picture), ImageFormat::WebP);
    let pool = pool_with_limits(|limits| limits.memory_bytes = 100 << 20);
    assert_eq!(reason(render(&pool, &bytes).await), Reason::OutOfMemory);
    still_works(&pool).await;
    // And with room for it, it is a picture.
    let rendered = render(&crate::make::pool(), &bytes).await.expect("renders");
    assert!(rendered.has_alpha);
}

#[tokio::test]
async fn a_picture_given_up_ends_its_child_and_leaves_the_pool_in_step() {
    let pool = pool();
    still_works(&pool).await;
    let before = pool.children();
    let impatient = tokio::time::timeout(
        Duration::from_millis(200),
        pool.render(ambush(&pool, Signal::STOP)),
    );
    assert!(impatient.await.is_err(), "the caller left first");
    let begun = Instant::now();
    still_works(&pool).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_ne!(pool.children(), before);
}

#[tokio::test]
async fn bytes_that_cannot_be_read_are_not_the_pictures_fault() {
    struct Broken(u8);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the disk is gone"));
            }
            self.0 -= 1;
            buffer.fill(0xff);
            Ok(buffer.len())
        }
    }
    let pool = pool();
    for reads in [0, 1, 3] {
        let source = Source::Reader {
            reader: Box::new(Broken(reads)),
            size_hint: 1 << 20,
        };
        let error = pool
            .render(Job {
                label: "a broken disk".to_owned(),
                source,
                wanted: kumo_renderer::Wanted::ALL,
            })
            .await;
        let error = error.expect_err("unreadable");
        assert!(matches!(error, Error::Source(_)), "{error}");
        assert_eq!(error.code(), "SOURCE_UNREADABLE");
        still_works(&pool).await;
    }
}
