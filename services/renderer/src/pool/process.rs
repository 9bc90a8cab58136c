//! One child process: its start, a picture, its end, and what its end means.

mod accounts;
mod death;

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Config;
use super::link::{Broken, Link, Patience, fill};
use super::worker::{lost, not_started};
use crate::confine::Confinement;
use crate::error::{Error, Reason};
use crate::limits::Limits;
use crate::protocol::{
    Answer, HEAD_BYTES, HELLO_BYTES, Head, Hello, PROTOCOL, READY, Setup, encode_order, printable,
};
use crate::render::{Order, RENDER_REVISION};
use crate::rendered::{Rendered, Wanted};
use death::{verdict, wait};

/// A child that says nothing for so long after its start never will.
const START_TIME: Duration = Duration::from_secs(10);
/// How long a child whose socket closed may take to become a corpse that tells why.
const DYING_TIME: Duration = Duration::from_secs(2);
/// Bytes of its log that are kept after each picture; more than that is noise.
const LOG_BYTES: usize = 4096;

/// Why a picture ended without an answer.
#[derive(Debug)]
pub(super) enum Ended {
    /// The time for it was up.
    Late,
    /// The caller gave it up.
    Abandoned,
    /// The child died.
    Gone,
    /// The child answered what no sound child would.
    Nonsense,
    /// Its bytes could not be read.
    Source(io::Error),
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Late => Self::Late,
            Broken::Abandoned => Self::Abandoned,
            Broken::Gone => Self::Gone,
        }
    }
}

type Reply = oneshot::Sender<Result<Rendered, Error>>;

/// A live child, waiting for an order.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    link: Link,
    log: ChildStderr,
    confinement: Confinement,
    order: Option<Order>,
    pictures: u32,
    /// CPU time used before the picture in hand.
    cpu_before: Duration,
    /// Whether the kernel refuses to move its CPU limit: it then serves one picture only.
    fixed_cpu_limit: bool,
}

impl Process {
    /// Starts a child and waits until it is confined.
    pub(super) fn spawn(program: &Path, limits: &Limits) -> Result<Self, Error> {
        if !program.is_file() {
            return Err(Error::Missing {
                path: program.to_owned(),
            });
        }
        let failed = |error: io::Error| not_started(program, error.to_string());
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut child = Command::new(program)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let log = child.stderr.take().ok_or_else(|| {
            not_started(program, "it has no log") // never: piped above
        })?;
        rustix::io::ioctl_fionbio(&log, true).map_err(|error| failed(error.into()))?;
        let mut process = Self {
            child,
            link: Link::new(ours).map_err(failed)?,
            log,
            confinement: Confinement {
                landlock: crate::confine::Landlock::NotImplemented,
                memory_bytes: limits.memory_bytes,
            },
            order: None,
            pictures: 0,
            cpu_before: Duration::ZERO,
            fixed_cpu_limit: false,
        };
        match process.greet(limits) {
            Ok(()) => Ok(process),
            Err(detail) => {
                let log = process.read_log();
                process.kill();
                let detail = if log.is_empty() { detail } else { log };
                Err(not_started(program, detail))
            }
        }
    }

    fn greet(&mut self, limits: &Limits) -> Result<(), String> {
        let patience = Patience {
            deadline: Instant::now() + START_TIME,
            abandoned: &|| false,
        };
        let setup = Setup {
            memory_bytes: limits.memory_bytes,
            cpu_milliseconds: u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX),
        };
        let mut hello = [0; HELLO_BYTES];
        self.link
            .send(&setup.encode(), &patience)
            .and_then(|()| self.link.receive(&mut hello, &patience))
            .map_err(|broken| match broken {
                Broken::Late => format!("it said nothing for {START_TIME:?}"),
                Broken::Gone | Broken::Abandoned => "it ended at once".to_owned(),
            })?;
        let hello = Hello::decode(&hello).ok_or("it is no kumo-renderer")?;
        if (hello.protocol, hello.render_revision) != (PROTOCOL, RENDER_REVISION) {
            return Err(format!(
                "it is of another build (render revision {}, this program's is {RENDER_REVISION})",
                hello.render_revision
            ));
        }
        self.confinement = hello.confinement;
        Ok(())
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn confinement(&self) -> Confinement {
        self.confinement
    }

    /// Whether it died while it had nothing to do.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends the order and waits until the child is ready for the bytes. [`Ended::Gone`] means
    /// that it died before it knew any of them.
    pub(super) fn begin(
        &mut self,
        wanted: Wanted,
        limits: Limits,
        size_hint: u64,
        deadline: Instant,
        reply: &Reply,
    ) -> Result<(), Ended> {
        self.cpu_before = accounts::cpu_time(self.id()).unwrap_or_default();
        let allowed = self.cpu_before + limits.time;
        self.fixed_cpu_limit = accounts::limit_cpu(self.id(), allowed).is_err();
        let patience = Patience {
            deadline,
            abandoned: &|| reply.is_closed(),
        };
        let order = Order {
            wanted,
            side: limits.side,
            pixels: limits.pixels,
            file_bytes: limits.file_bytes,
        };
        self.order = Some(order);
        self.link.send(&encode_order(order, size_hint), &patience)?;
        let mut ready = [0; READY.len()];
        self.link.receive(&mut ready, &patience)?;
        if ready == READY {
            Ok(())
        } else {
            Err(Ended::Nonsense)
        }
    }

    /// Sends the rest of the bytes and waits for the answer. The time is the child's: what the
    /// source takes is added to the deadline, for a slow source says nothing about the picture, and
    /// whoever made it bounds its silence.
    pub(super) fn finish(
        &mut self,
        reader: &mut dyn Read,
        chunk: &mut [u8],
        deadline: Instant,
        reply: &Reply,
    ) -> Result<Answer, Ended> {
        let mut patience = Patience {
            deadline,
            abandoned: &|| reply.is_closed(),
        };
        loop {
            let asked = Instant::now();
            let filled = fill(reader, chunk).map_err(Ended::Source)?;
            patience.deadline += asked.elapsed();
            send_chunk(&mut self.link, &chunk[..filled], &patience)?;
            if filled == 0 {
                break;
            }
        }
        let mut head = [0; HEAD_BYTES];
        self.link.receive(&mut head, &patience)?;
        let head = Head::decode(&head).ok_or(Ended::Nonsense)?;
        let [text, blur, sample, preview] = head.lengths().ok_or(Ended::Nonsense)?;
        let mut part = |length| self.link.receive_vec(length, &patience);
        let body = [part(text)?, part(blur)?, part(sample)?, part(preview)?];
        let order = self.order.take().ok_or(Ended::Nonsense)?;
        let mut answer = head.join(body, order).ok_or(Ended::Nonsense)?;
        self.pictures += 1;
        if let Ok(rendered) = &mut answer {
            let now = accounts::cpu_time(self.id()).unwrap_or_default();
            rendered.cpu_time = now.saturating_sub(self.cpu_before);
        }
        let log = self.read_log();
        if !log.is_empty() {
            tracing::debug!(renderer.pid = self.id(), renderer.log = %log, "renderer log");
        }
        Ok(answer)
    }

    /// Whether it should be replaced.
    pub(super) fn is_spent(&self, config: &Config) -> bool {
        self.fixed_cpu_limit
            || self.pictures >= config.pictures_per_child
            || accounts::resident_bytes(self.id())
                .is_none_or(|bytes| bytes > config.resident_bytes_per_child)
    }

    /// Closes the socket; an idle child then ends by itself.
    pub(super) fn end(self) {
        let Self {
            mut child, link, ..
        } = self;
        drop(link);
        wait(&mut child, DYING_TIME);
    }

    fn kill(mut self) {
        // Both fail only if it is dead and buried already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends a child that failed and says what that means for its picture.
    pub(super) fn bury(mut self, ended: &Ended, limits: Limits) -> Error {
        match ended {
            Ended::Late => {
                self.kill();
                lost(
                    Reason::TimeLimit,
                    format!("took longer than {:?}", limits.time),
                )
            }
            Ended::Abandoned => {
                self.kill();
                Error::Closed
            }
            Ended::Nonsense => {
                self.kill();
                lost(
                    Reason::RendererCrashed,
                    "the renderer answered what was not asked",
                )
            }
            Ended::Source(error) => {
                self.kill();
                Error::Source(io::Error::new(error.kind(), error.to_string()))
            }
            Ended::Gone => {
                let status = wait(&mut self.child, DYING_TIME);
                let log = self.read_log();
                verdict(status, &log, limits)
            }
        }
    }

    /// What it has written to its log since the last look, cleaned; at most [`LOG_BYTES`].
    fn read_log(&mut self) -> String {
        let mut buffer = [0; LOG_BYTES];
        let count = fill_available(&mut self.log, &mut buffer);
        printable(&buffer[..count])
    }
}

fn send_chunk(link: &mut Link, bytes: &[u8], patience: &Patience<'_>) -> Result<(), Broken> {
    link.send(&(bytes.len() as u32).to_le_bytes(), patience)?;
    link.send(bytes, patience)
}

fn fill_available(log: &mut ChildStderr, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while let Ok(count @ 1..) = log.read(&mut buffer[filled..]) {
        filled += count;
    }
    filled
}
