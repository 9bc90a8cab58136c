//! Who asks, and what they may do. Closed by default: a request without a principal is refused.
//!
//! Principals come from three places: the auth file; the token of the first administrator,
//! `DATA/admin.token` or whatever `--admin-token-file` names; and the token of the local owner,
//! `DATA/local.token`, which counts from loopback alone. Every service decides by itself, without
//! asking another. Of the auth file only SHA-256 hashes are known; hashes are compared in constant
//! time. The files are looked at every two seconds: what is added or revoked counts from then on,
//! also for streams that are open.

mod authority;
mod error;
pub mod file;
#[cfg(test)]
mod tests;
mod token;

use std::{str::FromStr, sync::Arc};

pub(crate) use authority::REFRESH;
pub use authority::{Authority, Refusal, Source, Sources};
pub use error::Error;
pub use file::Grant;
pub use token::Credential;

/// What a principal may do. Each method needs one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read anything.
    Read,
    /// Change what people change: tags, models, queues.
    Write,
    /// What inference nodes and watchers do: register, lease, complete, add posts.
    Node,
    /// Ask how many nodes are needed, as KEDA does.
    Scale,
    /// Metrics and reflection: how a service does, and what it offers. Whoever may read may this.
    Metrics,
    /// Everything.
    Admin,
}

impl Scope {
    /// All of them, the least first.
    pub const ALL: [Self; 6] = [
        Self::Metrics,
        Self::Scale,
        Self::Read,
        Self::Write,
        Self::Node,
        Self::Admin,
    ];

    /// Its name in the auth file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Node => "node",
            Self::Scale => "scale",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|scope| scope.name() == text);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no scope ({names})")
        })
    }
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name, as in the auth file; `owner` for the local owner, `admin` for the first administrator.
    pub name: Arc<str>,
    scopes: Arc<[Scope]>,
    hash: [u8; 32],
}

impl Principal {
    /// Whether this principal may do what `scope` stands for.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        let has = |scope| self.scopes.contains(&scope);
        has(scope) || has(Scope::Admin) || scope == Scope::Metrics && has(Scope::Read)
    }
}
