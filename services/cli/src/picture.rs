//! A picture of this machine, sent to a service in pieces; it is never held whole.

use std::{io::Read, path::Path, time::Duration};

use crate::{amount, error::Error, subject::open};

/// Bytes in one message.
const PIECE: usize = 256 << 10;
/// What the services take at most.
const LARGEST: u64 = 256 << 20;
/// How long a call with a picture may take, from the first byte sent to the answer.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Whether it can be sent: so that a mistake is told before anybody is waited for.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let file = open(path)?;
    let length = file.metadata().map_err(Error::file("read", path))?.len();
    if length == 0 || length > LARGEST {
        return Err(Error::Failed(format!(
            "{} has {}; a picture has 1 byte to 256 MiB",
            path.display(),
            amount::bytes(length)
        )));
    }
    Ok(())
}

/// The bytes, each piece read when the one before was sent. A file that cannot be read further ends
/// the stream early, and the service says that it is truncated.
pub(crate) fn pieces(path: &Path) -> Result<impl Iterator<Item = Vec<u8>> + Send + 'static, Error> {
    let mut file = open(path)?;
    Ok(std::iter::from_fn(move || {
        let mut data = vec![0; PIECE];
        let length = file.read(&mut data).ok().filter(|length| *length > 0)?;
        data.truncate(length);
        Some(data)
    }))
}
