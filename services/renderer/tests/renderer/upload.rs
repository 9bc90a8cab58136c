//! Pictures that come in pieces: whole, broken off, endless, trickling, and to two places at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use kumo_renderer::{Config, Cut, Error, Format, Job, Pool, Reason, Upload, Wanted, first, pipe};

use crate::make::{config, encoded, noise, pool, pool_with_limits, reason, render};

/// A picture of several pieces of 16 KiB.
fn picture() -> Bytes {
    let bytes = encoded(&noise(400, 300, 3), Format::Png);
    assert!(bytes.len() > 5 * (16 << 10));
    bytes.into()
}

fn pieces(bytes: &Bytes) -> Vec<Result<Bytes, Cut>> {
    let all = bytes.chunks(16 << 10);
    all.map(|piece| Ok(bytes.slice_ref(piece))).collect()
}

fn upload(bytes: &Bytes) -> Upload<impl Stream<Item = Result<Bytes, Cut>>> {
    Upload::new(stream::iter(pieces(bytes)))
}

#[tokio::test]
async fn pieces_make_the_picture_that_they_are_pieces_of() {
    let (pool, bytes) = (pool(), picture());
    let whole = render(&pool, &bytes).await.expect("renders");
    let sent = pool.render_upload("pieces", Wanted::ALL, upload(&bytes));
    let sent = sent.await.expect("renders");
    assert_eq!(sent.hash, whole.hash);
    let (sent, whole) = (sent.sample.expect("asked"), whole.sample.expect("asked"));
    assert_eq!(sent.jpeg, whole.jpeg);
}

#[tokio::test]
async fn a_call_that_is_broken_off_is_not_the_pictures_fault() {
    let (pool, bytes) = (pool(), picture());
    // Even after the last byte: only the end of the stream says that it was the last.
    for kept in [0, 1, 3, bytes.chunks(16 << 10).count()] {
        let before = pieces(&bytes).into_iter().take(kept);
        let broken = stream::iter(before.chain([Err(Cut::Broken)]));
        let error = pool
            .render_upload("broken", Wanted::ALL, Upload::new(broken))
            .await
            .expect_err("broken off");
        assert!(matches!(error, Error::Source(_)), "{error}");
        assert!(error.to_string().contains("broken off"), "{error}");
        assert!(render(&pool, &bytes).await.is_ok(), "the pool is in step");
    }
}

#[tokio::test]
async fn a_pipe_that_is_dropped_unfinished_breaks_the_picture_off() {
    let (pool, bytes) = (pool(), picture());
    let (pipe, source) = pipe();
    let rendering = pool.render(Job::new("dropped", source));
    let sending = async move {
        // All of it: a complete picture, if silence were an end mark.
        for piece in pieces(&bytes) {
            assert!(pipe.send(piece.expect("whole")).await);
        }
    };
    let (rendered, ()) = tokio::join!(rendering, sending);
    assert!(matches!(rendered, Err(Error::Source(_))), "{rendered:?}");
}

#[tokio::test]
async fn an_endless_upload_is_refused_at_the_limit() {
    let pool = pool();
    let (zeros, mut head) = (Bytes::from(vec![0; 1 << 20]), picture().to_vec());
    head.truncate(40_000);
    let mut taken = 0u64;
    let endless = stream::iter([Ok::<_, Cut>(Bytes::from(head))])
        .chain(stream::repeat(Ok(zeros)))
        .inspect(|piece| taken += piece.as_ref().map_or(0, |piece| piece.len() as u64));
    let refused = pool.render_upload("endless", Wanted::ALL, Upload::new(endless));
    assert_eq!(reason(refused.await), Reason::TooLarge);
    assert!(taken <= 260 << 20, "{taken} bytes were taken");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_a_call_broken_off() {
    let (pool, bytes) = (pool(), picture());
    for kept in [0, 2] {
        let before = pieces(&bytes).into_iter().take(kept);
        let cut = stream::iter(before.chain([Err(Cut::Oversized)]));
        let refused = pool.render_upload("oversized", Wanted::ALL, Upload::new(cut));
        let error = refused.await.expect_err("refused");
        assert_eq!(error.reason(), Some(Reason::TooLarge));
        assert!(error.to_string().contains("256 KiB"), "{error}");
    }
    let mut cut = stream::iter([Err::<(), _>(Cut::Oversized)]);
    assert!(matches!(first(&mut cut).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn no_more_uploads_are_read_than_there_are_children() {
    let pool = Pool::new(Config {
        size: 2,
        ..config()
    });
    let bytes = picture();
    let (open, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let uploads = (0..8).map(|_| {
        // Begun when its first piece is asked for, and slow, so that all would be under way at once.
        let begin = stream::iter(pieces(&bytes))
            .enumerate()
            .then(|(at, piece)| {
                let now =
                    open.fetch_add(usize::from(at == 0), Ordering::SeqCst) + usize::from(at == 0);
                most.fetch_max(now, Ordering::SeqCst);
                async {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    piece
                }
            });
        let end = stream::iter([()]).filter_map(|()| {
            open.fetch_sub(1, Ordering::SeqCst);
            std::future::ready(None)
        });
        let slow = Upload::new(Box::pin(begin.chain(end)));
        pool.render_upload("one of many", Wanted::SAMPLE, slow)
    });
    let rendered = futures_util::future::join_all(uploads).await;
    assert!(rendered.iter().all(Result::is_ok), "{rendered:?}");
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_caller_who_leaves_the_line_does_not_hold_it_up() {
    let (pool, bytes) = (pool(), picture());
    let silent = || Upload::new(stream::pending::<Result<Bytes, Cut>>());
    let mut at_work = Box::pin(pool.render_upload("silent", Wanted::ALL, silent()));
    let mut in_line = Box::pin(pool.render_upload("in line", Wanted::ALL, silent()));
    tokio::select! {
        biased;
        ended = &mut at_work => panic!("{ended:?}"),
        ended = &mut in_line => panic!("{ended:?}"),
        () = std::future::ready(()) => {}
    }
    drop(in_line);
    drop(at_work);
    assert!(render(&pool, &bytes).await.is_ok());
}

#[tokio::test]
async fn a_slow_caller_is_not_a_picture_that_takes_long() {
    let pool = pool_with_limits(|limits| limits.time = Duration::from_millis(600));
    let bytes = picture();
    assert!(render(&pool, &bytes).await.is_ok(), "a child is warm");
    let child = pool.children();
    let sixth = bytes.len().div_ceil(6);
    let sixths: Vec<_> = bytes
        .chunks(sixth)
        .map(|piece| bytes.slice_ref(piece))
        .collect();
    let slow = stream::iter(sixths).then(|piece| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(piece)
    });
    let sent = pool.render_upload("slow", Wanted::ALL, Upload::new(Box::pin(slow)));
    sent.await
        .expect("twice the limit, all of it spent waiting");
    assert_eq!(pool.children(), child);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_an_upload_and_so_does_a_trickle() {
    let silent = stream::pending::<Result<Bytes, Cut>>();
    let begun = tokio::time::Instant::now();
    let error = Upload::new(silent).next().await.expect_err("silence");
    assert!(error.to_string().contains("nothing came"), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 10);

    let begun = tokio::time::Instant::now();
    let mut silent = stream::pending::<Result<String, Cut>>();
    let error = first(&mut silent).await.expect_err("silence");
    assert!(error.to_string().contains("nothing came"), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 10);

    let begun = tokio::time::Instant::now();
    let trickle = stream::repeat(Ok::<_, Cut>(Bytes::from_static(b"x"))).then(|piece| async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        piece
    });
    let mut trickle = Upload::new(Box::pin(trickle));
    let error = loop {
        match trickle.next().await {
            Ok(piece) => assert!(piece.is_some()),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("within 60 s"), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn pieces_can_go_to_two_places_at_once() {
    let bytes = picture();
    let mut upload = upload(&bytes);
    let pools = [pool(), pool()];
    let (first, one) = pipe();
    let (second, two) = pipe();
    let sending = async {
        while let Some(piece) = upload.next().await.expect("whole") {
            let (one, two) = tokio::join!(first.send(piece.clone()), second.send(piece));
            assert!(one && two);
        }
        tokio::join!(first.finish(), second.finish());
    };
    let (one, two, ()) = tokio::join!(
        pools[0].render(Job::new("one", one)),
        pools[1].render(Job::new("two", two).wanting(Wanted::SAMPLE)),
        sending
    );
    let (one, two) = (one.expect("renders"), two.expect("renders"));
    let (one, two) = (one.sample.expect("asked"), two.sample.expect("asked"));
    assert_eq!(one.jpeg, two.jpeg);
}
