//! Who asks, and what they may do. Closed by default: a request without a principal is refused.
//!
//! Principals come from two places: the file named by `--auth-file`, and the token of the local
//! owner, `DATA/local.token`, which counts from loopback alone. Only SHA-256 hashes of tokens are
//! kept in memory, and they are compared in constant time.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::code::{Code, Fault};

/// What a principal may do. Each method needs one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read anything.
    Read,
    /// Change what people change: tags, models, queues.
    Write,
    /// What inference nodes and watchers do: register, lease, complete, add posts.
    Node,
    /// Everything.
    Admin,
}

impl Scope {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "node" => Some(Self::Node),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name, as in the auth file; `owner` for the local owner.
    pub name: Arc<str>,
    scopes: Arc<[Scope]>,
}

impl Principal {
    /// Whether this principal may do what `scope` stands for.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file with a secret cannot be read or made.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others can read a secret.
    #[error("{} can be read by others; run: chmod 600 {}", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
    },
    /// A line of the auth file is not understood.
    #[error("{}, line {line}: {problem}; a line is: NAME SCOPE[,SCOPE…] sha256:HASH", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A token file does not hold a token.
    #[error("{} holds no token: it must be one line of visible ASCII, 16 to 512 characters", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::File { .. } | Self::TooOpen { .. } => Code::PermissionDenied,
            Self::Line { .. } | Self::NoToken { .. } => Code::InvalidArgument,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } => "CREDENTIALS_UNREADABLE",
            Self::TooOpen { .. } => "CREDENTIALS_TOO_OPEN",
            Self::Line { .. } => "AUTH_FILE_MALFORMED",
            Self::NoToken { .. } => "TOKEN_FILE_MALFORMED",
        }
    }
}

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
        let file = |action| {
            move |source| Error::File {
                action,
                path: path.to_owned(),
                source,
            }
        };
        let metadata = fs::metadata(path).map_err(file("read"))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Error::TooOpen {
                path: path.to_owned(),
            });
        }
        if metadata.len() > 4096 {
            return Err(Error::NoToken {
                path: path.to_owned(),
            });
        }
        let text = fs::read_to_string(path).map_err(file("read"))?;
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

    /// Reads `DATA/local.token`, making it at the first start (0600, 256 random bits). Several
    /// processes may do this at once; all end with the same token.
    ///
    /// # Errors
    /// If it can be neither read nor made.
    pub fn local(data: &Path) -> Result<Self, Error> {
        let path = data.join("local.token");
        match Self::read(&path) {
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        make_token(&path).map_err(|source| Error::File {
            action: "make",
            path: path.clone(),
            source,
        })?;
        Self::read(&path)
    }

    /// The value of the `authorization` header.
    pub(crate) fn header(&self) -> http::HeaderValue {
        let mut value = http::HeaderValue::from_str(&format!("Bearer {}", self.token))
            .expect("a token is visible ASCII");
        value.set_sensitive(true);
        value
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.token.as_bytes()).into()
    }
}

/// Writes a whole new token under another name and links it into place: who comes second finds the
/// first one's.
fn make_token(path: &Path) -> io::Result<()> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let draft = path.with_extension(format!("token.{}", crate::hex::encode(&suffix)));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(file, "{}", crate::hex::encode(&secret))?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

struct Entry {
    hash: [u8; 32],
    principal: Principal,
    loopback_only: bool,
}

/// Everybody a service knows.
pub struct Authority {
    entries: Vec<Entry>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({} principals)", self.entries.len())
    }
}

/// Why a request has no principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `authorization` header of the form `Bearer TOKEN`.
    #[error("no credentials: send the metadata `authorization: Bearer TOKEN`")]
    Missing,
    /// The token is nobody's.
    #[error("the token is not known here")]
    Unknown,
    /// The local owner's token, from another machine.
    #[error("the local owner's token counts on loopback only; use a token of the auth file")]
    NotLocal,
}

impl Authority {
    /// The local owner, and whoever the auth file names.
    ///
    /// # Errors
    /// If the file cannot be read, is readable by others or has a malformed line.
    pub fn load(local: Option<&Credential>, auth_file: Option<&Path>) -> Result<Self, Error> {
        let mut entries = Vec::new();
        if let Some(credential) = local {
            entries.push(Entry {
                hash: credential.hash(),
                principal: Principal {
                    name: "owner".into(),
                    scopes: [Scope::Admin].into(),
                },
                loopback_only: true,
            });
        }
        if let Some(path) = auth_file {
            entries.extend(read_auth_file(path)?);
        }
        Ok(Self { entries })
    }

    /// Finds out who shows this `authorization` header from this address.
    ///
    /// # Errors
    /// If it is nobody.
    pub fn identify(
        &self,
        header: Option<&[u8]>,
        from: Option<IpAddr>,
    ) -> Result<Principal, Refusal> {
        let token = header
            .and_then(|value| value.strip_prefix(b"Bearer "))
            .ok_or(Refusal::Missing)?;
        let hash: [u8; 32] = Sha256::digest(token).into();
        // All entries are looked at, so that the time tells nothing.
        let mut found = None;
        for entry in &self.entries {
            if bool::from(entry.hash.ct_eq(&hash)) {
                found = Some(entry);
            }
        }
        let entry = found.ok_or(Refusal::Unknown)?;
        let local = from.is_some_and(|address| address.to_canonical().is_loopback());
        if entry.loopback_only && !local {
            return Err(Refusal::NotLocal);
        }
        Ok(entry.principal.clone())
    }
}

fn read_auth_file(path: &Path) -> Result<Vec<Entry>, Error> {
    let file = |source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(path).map_err(file)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Error::TooOpen {
            path: path.to_owned(),
        });
    }
    let text = fs::read_to_string(path).map_err(file)?;
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        entries.push(parse_line(line).map_err(|problem| Error::Line {
            path: path.to_owned(),
            line: index + 1,
            problem,
        })?);
    }
    Ok(entries)
}

fn parse_line(line: &str) -> Result<Entry, String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [name, scopes, hash] = fields[..] else {
        return Err(format!("{} fields instead of 3", fields.len()));
    };
    let scopes = scopes
        .split(',')
        .map(|scope| {
            Scope::parse(scope)
                .ok_or_else(|| format!("{scope:?} is no scope (read, write, node, admin)"))
        })
        .collect::<Result<Vec<Scope>, String>>()?;
    let hash = hash
        .strip_prefix("sha256:")
        .and_then(crate::hex::decode::<32>)
        .ok_or("the hash is not sha256: and 64 lower-case hex digits")?;
    Ok(Entry {
        hash,
        principal: Principal {
            name: name.into(),
            scopes: scopes.into(),
        },
        loopback_only: false,
    })
}

#[cfg(test)]
mod tests;
