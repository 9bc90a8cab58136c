//! The client's end of the socket: every wait ends at the deadline, or when the caller leaves.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a caller who left may go unnoticed.
const GLANCE: Duration = Duration::from_millis(50);

/// Why a transfer stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The deadline passed.
    Late,
    /// The caller no longer waits.
    Abandoned,
    /// The other end is closed.
    Gone,
}

/// Until when to wait, and for whom.
pub(super) struct Patience<'a> {
    pub(super) deadline: Instant,
    pub(super) abandoned: &'a dyn Fn() -> bool,
}

impl Patience<'_> {
    fn check(&self) -> Result<(), Broken> {
        if (self.abandoned)() {
            Err(Broken::Abandoned)
        } else if Instant::now() >= self.deadline {
            Err(Broken::Late)
        } else {
            Ok(())
        }
    }
}

#[derive(Debug)]
pub(super) struct Link(UnixStream);

impl Link {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(GLANCE))?;
        stream.set_write_timeout(Some(GLANCE))?;
        Ok(Self(stream))
    }

    pub(super) fn send(&mut self, mut bytes: &[u8], patience: &Patience<'_>) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.0.write(bytes) {
                Ok(0) => return Err(Broken::Gone),
                Ok(count) => bytes = &bytes[count..],
                Err(error) => retriable(&error)?,
            }
            patience.check()?;
        }
        Ok(())
    }

    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        patience: &Patience<'_>,
    ) -> Result<(), Broken> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => return Err(Broken::Gone),
                Ok(count) => filled += count,
                Err(error) => {
                    retriable(&error)?;
                    patience.check()?;
                }
            }
        }
        Ok(())
    }

    /// Receives a length that has been checked against its cap.
    pub(super) fn receive_vec(
        &mut self,
        length: usize,
        patience: &Patience<'_>,
    ) -> Result<Vec<u8>, Broken> {
        let mut buffer = vec![0; length];
        self.receive(&mut buffer, patience)?;
        Ok(buffer)
    }
}

fn retriable(error: &io::Error) -> Result<(), Broken> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Ok(()),
        _ => Err(Broken::Gone),
    }
}

/// Reads until the buffer is full or the source has ended.
pub(super) fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
