//! MD5 and SHA-256 of a file in one pass. Blocks: call it on a thread that may.

use std::{fs::File, io, os::unix::fs::FileExt};

use md5::Md5;
use sha2::{Digest, Sha256};

/// Bytes read at once; all that is held of a file.
const PIECE: usize = 256 << 10;

/// What a file's bytes amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// The identity of the content.
    pub sha256: [u8; 32],
    /// For other boorus.
    pub md5: [u8; 16],
    /// Bytes that were read.
    pub bytes: u64,
}

/// Reads the file from its beginning, wherever its offset stands.
///
/// # Errors
/// What reading answers.
pub fn digests(file: &File) -> io::Result<Digests> {
    let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
    let mut piece = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        match file.read_at(&mut piece, bytes) {
            Ok(0) => break,
            Ok(read) => {
                sha256.update(&piece[..read]);
                md5.update(&piece[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Digests {
        sha256: sha256.finalize().into(),
        md5: md5.finalize().into(),
        bytes,
    })
}

/// The first bytes of a file, at most `N`.
///
/// # Errors
/// What reading answers.
pub fn head<const N: usize>(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; N];
    let mut filled = 0;
    while filled < N {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// SHA-256 of bytes in memory.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn both_digests_are_those_of_the_standards() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"abc").expect("writes");
        let digests = digests(&file).expect("reads");
        assert_eq!(
            kit::hex::encode(&digests.md5),
            "900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(
            kit::hex::encode(&digests.sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digests.bytes, 3);
        assert_eq!(head::<2>(&file).expect("reads"), b"ab");
    }

    #[test]
    fn a_file_longer_than_one_piece_is_read_to_its_end() {
        let mut file = tempfile::tempfile().expect("a file");
        let bytes: Vec<u8> = (0..PIECE * 2 + 17).map(|n| (n % 251) as u8).collect();
        file.write_all(&bytes).expect("writes");
        assert_eq!(digests(&file).expect("reads").sha256, sha256(&bytes));
    }
}
