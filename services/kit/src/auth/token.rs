//! Tokens: what a process shows with its calls, and how new ones are made.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{Error, error::refuse_open};

/// What tokens begin with, so that people and scanners for lost secrets know what they see.
const MARK: &str = "kumo_";

/// The token that a process shows with its own calls. Never printed.
#[derive(Clone)]
pub struct Credential {
    token: Arc<str>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl Credential {
    /// Reads the token in `path`.
    ///
    /// # Errors
    /// If the file cannot be read, is readable by others, or holds no token.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let metadata = fs::metadata(path).map_err(Error::file("read", path))?;
        refuse_open(path, &metadata)?;
        if metadata.len() > 4096 {
            return Err(Error::NoToken {
                path: path.to_owned(),
            });
        }
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        let token = text.trim_end_matches(['\n', '\r']);
        let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || !(16..=512).contains(&token.len()) {
            return Err(Error::NoToken {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            token: token.into(),
        })
    }

    /// Reads `DATA/local.token`, making it at the first start.
    ///
    /// # Errors
    /// If it can be neither read nor made.
    pub fn local(data: &Path) -> Result<Self, Error> {
        Self::kept(&data.join("local.token"))
    }

    /// Reads a token of our own, making it (0600, 256 random bits) if it is not there. Several
    /// processes may do this at once; all end with the same token.
    ///
    /// # Errors
    /// If it can be neither read nor made.
    pub(crate) fn kept(path: &Path) -> Result<Self, Error> {
        match Self::read(path) {
            Err(error) if error.is_missing() => {}
            other => return other,
        }
        make_token(path).map_err(Error::file("make", path))?;
        Self::read(path)
    }

    /// A new token that nobody has.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn fresh() -> io::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        Ok(Self {
            token: format!("{MARK}{}", crate::hex::encode(&secret)).into(),
        })
    }

    /// The token itself, for the one time that a person is shown it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.token
    }

    /// SHA-256 of the token: what is kept of it elsewhere.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.token.as_bytes()).into()
    }

    /// Writes it to a new file that only its owner can read.
    ///
    /// # Errors
    /// If the file is there already or cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        writeln!(file, "{}", self.token)?;
        file.sync_all()
    }

    /// The value of the `authorization` header.
    pub(crate) fn header(&self) -> http::HeaderValue {
        let mut value = http::HeaderValue::from_str(&format!("Bearer {}", self.token))
            .expect("a token is visible ASCII");
        value.set_sensitive(true);
        value
    }
}

/// Writes a whole new token under another name and links it into place: who comes second finds the
/// first one's.
fn make_token(path: &Path) -> io::Result<()> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let draft = path.with_extension(format!("token.{}", crate::hex::encode(&suffix)));
    Credential::fresh()?.write(&draft)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
