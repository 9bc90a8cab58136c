//! The auth file: who may call, one token a line.
//!
//! ```text
//! # comment
//! NAME SCOPE[,SCOPE…] sha256:HASH [expires:2027-01-31T00:00:00Z]
//! ```
//!
//! It holds hashes, no tokens. A name may have several lines, so that a token can be replaced before
//! the old one is revoked. What people wrote into it is kept when a line is added or taken out.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustix::fs::{FlockOperation, flock};

use super::{Error, Scope, error::refuse_open};
use crate::hex;

/// Largest file that is read: some ten thousand lines.
const MOST_BYTES: u64 = 2 << 20;

/// A line of the file: a token that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who has it: 1 to 100 letters, digits, `.`, `_`, `-`.
    pub name: Arc<str>,
    /// What it is good for.
    pub scopes: Arc<[Scope]>,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// When it stops counting, if ever.
    pub expires: Option<SystemTime>,
}

impl Grant {
    /// What names this token without giving it away: the first 12 digits of its hash.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(&self.hash[..6])
    }

    /// The names of its scopes.
    #[must_use]
    pub fn scope_names(&self) -> Vec<&'static str> {
        self.scopes.iter().map(|scope| scope.name()).collect()
    }

    fn parse(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (name, scopes, hash, expires) = match fields[..] {
            [name, scopes, hash] => (name, scopes, hash, None),
            [name, scopes, hash, expires] => (name, scopes, hash, Some(expires)),
            _ => return Err(format!("{} fields instead of 3 or 4", fields.len())),
        };
        let name =
            crate::config::instance_name(name).map_err(|told| format!("{name:?}: {told}"))?;
        let scopes = scopes
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<Scope>, String>>()?;
        let hash = hash
            .strip_prefix("sha256:")
            .and_then(hex::decode::<32>)
            .ok_or("the hash is not sha256: and 64 lower-case hex digits")?;
        let expires = expires.map(parse_expiry).transpose()?;
        Ok(Self {
            name: name.into(),
            scopes: scopes.into(),
            hash,
            expires,
        })
    }
}

fn parse_expiry(field: &str) -> Result<SystemTime, String> {
    let time = field
        .strip_prefix("expires:")
        .and_then(|time| time.parse::<prost_types::Timestamp>().ok());
    time.and_then(|time| SystemTime::try_from(time).ok())
        .ok_or_else(|| format!("{field:?} is not expires: and a time like 2027-01-31T00:00:00Z"))
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scopes, hash) = (self.scope_names().join(","), hex::encode(&self.hash));
        write!(f, "{} {scopes} sha256:{hash}", self.name)?;
        match self.expires {
            Some(time) => write!(f, " expires:{}", prost_types::Timestamp::from(time)),
            None => Ok(()),
        }
    }
}

/// Reads all grants of a file.
///
/// # Errors
/// If it cannot be read, is readable by others, too large, or has a malformed line.
pub fn read(path: &Path) -> Result<Vec<Grant>, Error> {
    let file = File::open(path).map_err(Error::file("read", path))?;
    grants(path, &text(path, &file)?)
}

/// Adds a grant; the file is made (0600) if it is not there.
///
/// # Errors
/// As [`read`], or if it cannot be written.
pub fn add(path: &Path, grant: &Grant) -> Result<(), Error> {
    let book = Book::open(path)?;
    let mut text = book.text.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{grant}\n"));
    // What cannot be read is not written.
    grants(path, &text)?;
    book.replace(&text)
}

/// Takes out the grants for which `revoked` is true, and gives them.
///
/// # Errors
/// As [`add`].
pub fn revoke(path: &Path, revoked: impl Fn(&Grant) -> bool) -> Result<Vec<Grant>, Error> {
    let book = Book::open(path)?;
    let gone: Vec<Grant> = grants(path, &book.text)?
        .into_iter()
        .filter(|grant| revoked(grant))
        .collect();
    if gone.is_empty() {
        return Ok(gone);
    }
    let stays = |line: &&str| !Grant::parse(line).is_ok_and(|grant| revoked(&grant));
    let text: String = book.text.split_inclusive('\n').filter(stays).collect();
    book.replace(&text)?;
    Ok(gone)
}

fn grants(path: &Path, text: &str) -> Result<Vec<Grant>, Error> {
    let lines = text.lines().enumerate();
    let told = lines.filter(|(_, line)| !matches!(line.trim().chars().next(), None | Some('#')));
    told.map(|(index, line)| {
        Grant::parse(line).map_err(|problem| Error::Line {
            path: path.to_owned(),
            line: index + 1,
            problem,
        })
    })
    .collect()
}

fn text(path: &Path, file: &File) -> Result<String, Error> {
    let metadata = file.metadata().map_err(Error::file("read", path))?;
    refuse_open(path, &metadata)?;
    let mut text = String::new();
    let mut bounded = file.take(MOST_BYTES + 1);
    bounded
        .read_to_string(&mut text)
        .map_err(Error::file("read", path))?;
    if text.len() as u64 > MOST_BYTES {
        let source = io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 2 MiB");
        return Err(Error::file("read", path)(source));
    }
    Ok(text)
}

/// The file while it is changed. Its folder is locked, so that two who change it do so in turn.
struct Book {
    path: PathBuf,
    folder: File,
    text: String,
}

impl Book {
    fn open(path: &Path) -> Result<Self, Error> {
        // A link is followed: the file that it leads to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = File::open(folder).map_err(Error::file("change", &path))?;
        flock(&folder, FlockOperation::LockExclusive)
            .map_err(|errno| Error::file("change", &path)(errno.into()))?;
        let text = match File::open(&path) {
            Ok(file) => text(&path, &file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        Ok(Self { path, folder, text })
    }

    /// Writes the whole file anew under another name and puts it into place.
    fn replace(self, text: &str) -> Result<(), Error> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let draft = PathBuf::from(name);
        let written = || -> io::Result<()> {
            // Nobody else writes here while the folder is locked: it is what a crash left.
            if let Err(error) = fs::remove_file(&draft)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            // Whoever runs the services must be able to read it, though root may be writing.
            let before = fs::metadata(&self.path);
            let like = before
                .as_ref()
                .map_or_else(|_| self.folder.metadata(), |m| Ok(m.clone()))?;
            let made = file.metadata()?;
            if (like.uid(), like.gid()) != (made.uid(), made.gid()) {
                fchown(&file, Some(like.uid()), Some(like.gid()))?;
            }
            if let Ok(before) = before {
                file.set_permissions(before.permissions())?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)?;
            self.folder.sync_all()
        };
        written().map_err(Error::file("change", &self.path))
    }
}
