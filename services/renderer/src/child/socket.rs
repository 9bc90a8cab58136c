//! The two descriptors a child has, by plain `read` and `write`: nothing else is allowed to it.

use std::fmt::{Display, Write as _};
use std::io;

use rustix::io::Errno;
use rustix::stdio::{stderr, stdin};

/// The client's socket.
#[derive(Debug)]
pub(super) struct Socket;

impl Socket {
    /// Whether standard input is a socket at all.
    pub(super) fn is_standard_input() -> bool {
        rustix::net::sockopt::socket_type(stdin()).is_ok()
    }

    /// Fills the buffer; `false` if the client hung up before its first byte.
    pub(super) fn read_or_end(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::read(stdin(), &mut buffer[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                // A client that was killed leaves unread bytes behind: that too is an end.
                Err(Errno::CONNRESET) if filled == 0 => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    pub(super) fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        if self.read_or_end(buffer)? {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(stdin(), bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// One line to the log, without a backtrace: finding names for one would need files.
pub(super) fn log(message: &dyn Display) {
    let mut line = String::new();
    if writeln!(line, "{message}").is_ok() {
        // Nowhere is left to tell that the log is gone.
        let _ = rustix::io::write(stderr(), line.as_bytes());
    }
}
