//! The way to the programs of a data folder.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result, anyhow};
use kit::{
    Credential,
    client::{Channel, Peer},
    rundir::Announcement,
};
use proto::store::v1::{
    GetStatsRequest, GetStatsResponse, admin_service_client::AdminServiceClient,
};

/// Connections to the services of one machine, with its owner's token.
#[derive(Debug)]
pub struct Link {
    credential: Credential,
    store: Peer,
    data: PathBuf,
}

impl Link {
    /// The cluster whose data folder this is; its store must be running.
    ///
    /// # Errors
    /// If nothing was announced there, or the token cannot be read.
    pub fn open(data: &Path) -> Result<Self> {
        let credential = Credential::local(data)?;
        let store = peer(data, "store", &credential)?;
        Ok(Self {
            credential,
            store,
            data: data.to_owned(),
        })
    }

    /// The connection to the store; every call gives another handle on the same one.
    #[must_use]
    pub fn store(&self) -> Channel {
        self.store.channel()
    }

    /// A connection to the service of this role.
    ///
    /// # Errors
    /// If it has not announced itself.
    pub fn service(&self, role: &str) -> Result<Channel> {
        Ok(peer(&self.data, role, &self.credential)?.channel())
    }

    /// A further connection to the store, as another process would have.
    ///
    /// # Errors
    /// If it has not announced itself.
    pub fn another(&self) -> Result<Channel> {
        self.service("store")
    }

    /// User and system time that the process of this role has used.
    ///
    /// # Errors
    /// If it has not announced itself, or has ended.
    pub fn cpu_seconds(&self, role: &str) -> Result<f64> {
        let pid = announced(&self.data, role)?.pid;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// The store's counts.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn stats(&self) -> Result<GetStatsResponse> {
        let answer = AdminServiceClient::new(self.store())
            .get_stats(GetStatsRequest {})
            .await?;
        Ok(answer.into_inner())
    }
}

fn peer(data: &Path, role: &str, credential: &Credential) -> Result<Peer> {
    let found = announced(data, role)?;
    Ok(Peer::new(&found.address.to_string(), credential)?)
}

fn announced(data: &Path, role: &str) -> Result<Announcement> {
    Announcement::read(data, role).with_context(|| format!("no {role} runs on {}", data.display()))
}

/// The number in a resource name such as `posts/123`.
pub(super) fn number<T: FromStr<Err: Display>>(name: &str) -> Result<T> {
    let (_, number) = name
        .split_once('/')
        .with_context(|| format!("{name:?} is no resource name"))?;
    number
        .parse()
        .map_err(|error| anyhow!("{name:?} is no resource name: {error}"))
}
