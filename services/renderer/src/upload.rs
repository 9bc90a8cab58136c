//! A picture that comes in pieces from a caller: bounded, piece by piece, never held whole.
//!
//! [`Upload`] checks what comes: size, silence, a broken call. [`pipe`] carries pieces to a child.
//! [`Pool::render_upload`] joins the two when a child is free, and reads nothing before; who needs
//! the pieces in another place too, joins them himself: read [`Upload::next`], send each piece to
//! every place, then [`Pipe::finish`].

use std::io::{self, ErrorKind, Read};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::error::{Error, Reason, Refusal};
use crate::pool::{Job, Pool, Source};
use crate::rendered::{Rendered, Wanted};

/// Most bytes of a picture: the renderer's own limit.
const MOST_BYTES: u64 = 256 << 20;
/// Pieces on their way at once, in each pipe.
const PIECES: usize = 4;
/// A caller who sends nothing for so long has gone; others wait for the renderer.
const SILENCE: Duration = Duration::from_secs(10);
/// Most time spent on waiting for one caller's pieces, all together.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a caller's messages stop before their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The call was broken off.
    Broken,
    /// A message is larger than the service takes at once.
    Oversized,
}

impl From<Cut> for Error {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Broken => broken(ErrorKind::ConnectionAborted, "the call was broken off"),
            Cut::Oversized => {
                let detail = "a message is too large: send pieces of at most 256 KiB";
                Refusal::new(Reason::TooLarge, detail).into()
            }
        }
    }
}

/// The first message of a call, which may say more than its bytes: waited for no longer than any
/// later one. `None` if there is none.
///
/// # Errors
/// As [`Upload::next`].
pub async fn first<T>(
    messages: &mut (impl Stream<Item = Result<T, Cut>> + Unpin),
) -> Result<Option<T>, Error> {
    receive(messages, SILENCE).await
}

/// A caller's pieces, checked as they come.
#[derive(Debug)]
pub struct Upload<S> {
    pieces: S,
    bytes: u64,
    waited: Duration,
}

impl<S> Upload<S>
where
    S: Stream<Item = Result<Bytes, Cut>> + Unpin,
{
    /// An upload of these pieces.
    #[must_use]
    pub fn new(pieces: S) -> Self {
        Self {
            pieces,
            bytes: 0,
            waited: Duration::ZERO,
        }
    }

    /// The next piece; `None` after the last one.
    ///
    /// # Errors
    /// [`Reason::TooLarge`] past 256 MiB, or at [`Cut::Oversized`]; [`Error::Source`] if the call is
    /// broken off, nothing comes for 10 s, or the waits together exceed 60 s.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let patience = SILENCE.min(PATIENCE.saturating_sub(self.waited));
        let asked = Instant::now();
        let piece = receive(&mut self.pieces, patience).await;
        self.waited += asked.elapsed();
        let Some(piece) = piece? else {
            return Ok(None);
        };
        self.bytes += piece.len() as u64;
        if self.bytes > MOST_BYTES {
            let detail = format!("more than {MOST_BYTES} bytes");
            return Err(Refusal::new(Reason::TooLarge, detail).into());
        }
        Ok(Some(piece))
    }
}

/// The next message, waited for no longer than the patience that is left.
async fn receive<T>(
    messages: &mut (impl Stream<Item = Result<T, Cut>> + Unpin),
    patience: Duration,
) -> Result<Option<T>, Error> {
    match timeout(patience, messages.next()).await {
        Ok(message) => Ok(message.transpose()?),
        Err(_) if patience < SILENCE => Err(broken(
            ErrorKind::TimedOut,
            "it was not complete within 60 s",
        )),
        Err(_) => Err(broken(ErrorKind::TimedOut, "nothing came for 10 s")),
    }
}

/// The writing end of a [`pipe`]. Dropped without [`Pipe::finish`], it breaks the picture off.
#[derive(Debug)]
pub struct Pipe {
    pieces: mpsc::Sender<Option<Bytes>>,
}

/// A pipe of at most four pieces into a [`Job`].
#[must_use]
pub fn pipe() -> (Pipe, Source) {
    let (pieces, inbox) = mpsc::channel(PIECES);
    let reader = Outlet {
        inbox,
        current: Bytes::new(),
        ended: false,
    };
    let source = Source::Reader {
        reader: Box::new(reader),
        size_hint: 0,
    };
    (Pipe { pieces }, source)
}

impl Pipe {
    /// Waits for room, and sends. `false` if the renderer reads no more; its answer says why.
    pub async fn send(&self, piece: Bytes) -> bool {
        self.pieces.send(Some(piece)).await.is_ok()
    }

    /// Says that the picture is complete.
    pub async fn finish(self) {
        // As above: who reads no more needs no end mark.
        let _ = self.pieces.send(None).await;
    }
}

impl Pool {
    /// Renders a picture while it is being uploaded. Dropping the future gives it up.
    ///
    /// Nothing is read while [`crate::Config::size`] others are being rendered: what a caller sends
    /// in the meantime is held back by his connection, so that callers in line cost next to nothing.
    ///
    /// # Errors
    /// As [`Pool::render`], and as [`Upload::next`].
    pub async fn render_upload<S>(
        &self,
        label: impl Into<String>,
        wanted: Wanted,
        mut upload: Upload<S>,
    ) -> Result<Rendered, Error>
    where
        S: Stream<Item = Result<Bytes, Cut>> + Unpin,
    {
        let turn = self.turn().await?;
        let (pipe, source) = pipe();
        let job = Job::new(label, source).wanting(wanted);
        let mut rendering = pin!(self.render_in_turn(job, turn));
        let sending = async {
            while let Some(piece) = upload.next().await? {
                if !pipe.send(piece).await {
                    return Ok(());
                }
            }
            pipe.finish().await;
            Ok::<_, Error>(())
        };
        tokio::select! {
            // It has heard enough, or there is none.
            rendered = &mut rendering => return rendered,
            sent = sending => sent?,
        }
        rendering.await
    }
}

/// The renderer's end, read on the thread of the child.
struct Outlet {
    inbox: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
}

impl Read for Outlet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.inbox.blocking_recv() {
                Some(Some(piece)) => self.current = piece,
                Some(None) => self.ended = true,
                None => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

fn broken(kind: ErrorKind, what: &str) -> Error {
    Error::Source(io::Error::new(kind, what))
}
