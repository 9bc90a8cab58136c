//! Everybody a service knows, kept up to date with the files that name them.

use std::{
    fmt, fs,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use super::{Credential, Error, Grant, Principal, Scope, file};

/// How often the files are looked at: a revoked token counts no longer than this.
pub(crate) const REFRESH: Duration = Duration::from_secs(2);

/// Why a request has no principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `authorization` header of the form `Bearer TOKEN`.
    #[error("no credentials: send the metadata `authorization: Bearer TOKEN`")]
    Missing,
    /// The token is nobody's.
    #[error("the token is not known here")]
    Unknown,
    /// The token has expired.
    #[error("the token has expired; make another with `kumo token create`")]
    Expired,
    /// The local owner's token, from another machine.
    #[error("the local owner's token counts on loopback only; make one with `kumo token create`")]
    NotLocal,
    /// The token is good for something else than when the call began.
    #[error("the scopes of the token were changed; call again")]
    Changed,
}

/// Where a service learns whom it knows.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The local owner's token.
    pub local: Option<Credential>,
    /// File with the token of the first administrator.
    pub admin: Option<Source>,
    /// The auth file.
    pub auth_file: Option<Source>,
}

/// A file that may come, change and go.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it must be there, as one that was named must.
    pub required: bool,
}

impl Source {
    /// The file that was named, or the usual one.
    #[must_use]
    pub fn named_or(named: Option<&Path>, usual: PathBuf) -> Self {
        Self {
            required: named.is_some(),
            path: named.map_or(usual, Path::to_owned),
        }
    }

    /// Reads it; the default if it need not be there and is not.
    fn read<T: Default>(&self, read: impl Fn(&Path) -> Result<T, Error>) -> Result<T, Error> {
        match read(&self.path) {
            Err(error) if !self.required && error.is_missing() => Ok(T::default()),
            outcome => outcome,
        }
    }
}

/// Everybody a service knows.
pub struct Authority {
    sources: Sources,
    known: RwLock<Known>,
    changes: watch::Sender<()>,
}

/// What the files said when they were last read.
#[derive(Clone)]
struct Known {
    people: Arc<[Person]>,
    files: [Mark; 2],
    at: SystemTime,
}

struct Person {
    grant: Grant,
    loopback_only: bool,
}

/// What tells one state of a file from another; `None` if it is not there.
type Mark = Option<[i128; 4]>;

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({} tokens)", self.known().people.len())
    }
}

impl Authority {
    /// Reads who is known.
    ///
    /// # Errors
    /// If a file that is there cannot be read, is readable by others or is malformed.
    pub fn load(sources: Sources) -> Result<Self, Error> {
        let known = Known {
            files: sources.marks(),
            people: sources.people()?,
            at: SystemTime::now(),
        };
        Ok(Self {
            sources,
            known: RwLock::new(known),
            changes: watch::Sender::new(()),
        })
    }

    /// Reads the files again if they are others than before.
    ///
    /// # Errors
    /// As [`Authority::load`]. Then whoever was known stays so, and this state of the files is not
    /// complained of again.
    pub fn refresh(&self) -> Result<(), Error> {
        let before = self.known();
        let mut known = Known {
            files: self.sources.marks(),
            at: SystemTime::now(),
            ..before.clone()
        };
        let mut outcome = Ok(());
        let mut changed = false;
        if known.files != before.files {
            match self.sources.people() {
                Ok(people) => {
                    known.people = people;
                    changed = true;
                }
                Err(error) => outcome = Err(error),
            }
        }
        let past = before.at..known.at;
        let expiry = |person: &Person| person.grant.expires;
        changed |= (before.people.iter().filter_map(expiry)).any(|time| past.contains(&time));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        if changed {
            self.changes.send_replace(());
        }
        outcome
    }

    /// Tells of changes from now on. Ask for it before [`Authority::identify`], so that none between
    /// the two is missed.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Waits until somebody who was let in would not be any more; says why.
    pub(crate) async fn dismissed(
        self: Arc<Self>,
        mut changes: watch::Receiver<()>,
        principal: Principal,
        from: Option<IpAddr>,
    ) -> Refusal {
        // The sender is ours, so there is no end to the changes.
        while changes.changed().await.is_ok() {
            match self.identify_hash(&principal.hash, from) {
                Err(refusal) => return refusal,
                Ok(now) if now.scopes != principal.scopes => return Refusal::Changed,
                Ok(_) => {}
            }
        }
        std::future::pending().await
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
        self.identify_hash(&Sha256::digest(token).into(), from)
    }

    fn identify_hash(&self, hash: &[u8; 32], from: Option<IpAddr>) -> Result<Principal, Refusal> {
        let known = self.known();
        // All are looked at, so that the time tells nothing.
        let mut found = None;
        for person in known.people.iter() {
            if bool::from(person.grant.hash.ct_eq(hash)) {
                found = Some(person);
            }
        }
        let person = found.ok_or(Refusal::Unknown)?;
        let local = from.is_some_and(|address| address.to_canonical().is_loopback());
        if person.loopback_only && !local {
            return Err(Refusal::NotLocal);
        }
        if person
            .grant
            .expires
            .is_some_and(|time| time <= SystemTime::now())
        {
            return Err(Refusal::Expired);
        }
        Ok(Principal {
            name: person.grant.name.clone(),
            scopes: person.grant.scopes.clone(),
            hash: *hash,
        })
    }

    fn known(&self) -> Known {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Sources {
    fn people(&self) -> Result<Arc<[Person]>, Error> {
        let mut people = Vec::new();
        let whole = |name: &str, credential: &Credential| Grant {
            name: name.into(),
            scopes: [Scope::Admin].into(),
            hash: credential.hash(),
            expires: None,
        };
        if let Some(credential) = &self.local {
            people.push(Person {
                grant: whole("owner", credential),
                loopback_only: true,
            });
        }
        if let Some(source) = &self.admin {
            let credential = source.read(|path| Credential::read(path).map(Some))?;
            people.extend(credential.map(|credential| Person {
                grant: whole("admin", &credential),
                loopback_only: false,
            }));
        }
        if let Some(source) = &self.auth_file {
            let grants = source.read(file::read)?;
            people.extend(grants.into_iter().map(|grant| Person {
                grant,
                loopback_only: false,
            }));
        }
        Ok(people.into())
    }

    fn marks(&self) -> [Mark; 2] {
        [&self.admin, &self.auth_file].map(|source| {
            let metadata = fs::metadata(&source.as_ref()?.path).ok()?;
            let changed = i128::from(metadata.ctime()) * 1_000_000_000;
            Some([
                metadata.dev().into(),
                metadata.ino().into(),
                metadata.size().into(),
                changed + i128::from(metadata.ctime_nsec()),
            ])
        })
    }
}
