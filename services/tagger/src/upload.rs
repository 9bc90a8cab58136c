//! A picture on its way from a caller to a renderer child: piece by piece, never held whole.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use proto::tagger::v1::TagImageRequest;
use renderer::{Job, Pool, Rendered, Source, Wanted};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::Error;

/// Most bytes of a picture.
pub(crate) const MOST_BYTES: u64 = 256 << 20;
/// Pieces on their way at once.
const PIECES: usize = 4;
/// A caller who sends nothing for so long has gone; others wait for the renderer.
const SILENCE: Duration = Duration::from_secs(10);

/// Sends the first piece and whatever follows it through the renderer.
pub(crate) async fn render(
    pool: &Pool,
    label: String,
    first: Bytes,
    rest: &mut Streaming<TagImageRequest>,
) -> Result<Rendered, Error> {
    let (pieces, inbox) = mpsc::channel(PIECES);
    let source = Source::Reader {
        reader: Box::new(Pieces {
            inbox,
            current: Bytes::new(),
            ended: false,
        }),
        size_hint: 0,
    };
    let job = Job::new(label, source).wanting(Wanted::SAMPLE);
    let rendering = pool.render(job);
    tokio::pin!(rendering);
    let sent = tokio::select! {
        // It has heard enough, or there is none.
        rendered = &mut rendering => return Ok(rendered?),
        sent = send(&pieces, first, rest) => sent,
    };
    // Without the end mark the reader takes this for a broken upload, and the child is freed.
    drop(pieces);
    sent?;
    Ok(rendering.await?)
}

/// Sends until the caller has finished.
async fn send(
    pieces: &mpsc::Sender<Option<Bytes>>,
    first: Bytes,
    rest: &mut Streaming<TagImageRequest>,
) -> Result<(), Error> {
    let mut total = 0;
    let mut next = Some(first);
    while let Some(piece) = next {
        total += piece.len() as u64;
        if total > MOST_BYTES {
            return Err(Error::TooLarge { limit: MOST_BYTES });
        }
        if pieces.send(Some(piece)).await.is_err() {
            // The renderer reads no more; its answer says why.
            return Ok(());
        }
        let message = tokio::time::timeout(SILENCE, rest.message()).await;
        next = match message {
            Ok(Ok(message)) => message.map(|message| message.data),
            Ok(Err(_)) => return Err(Error::Upload("the call was broken off")),
            Err(_) => return Err(Error::Upload("nothing came for 10 s")),
        };
    }
    // As above.
    let _ = pieces.send(None).await;
    Ok(())
}

/// The renderer's end, read on the thread of the child.
struct Pieces {
    inbox: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.inbox.blocking_recv() {
                Some(Some(piece)) => self.current = piece,
                Some(None) => self.ended = true,
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
