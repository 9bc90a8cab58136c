//! Finding the cluster and talking to it.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use kit::{
    Code, Credential,
    client::{Channel, Peer},
    code,
    rundir::Announcement,
};
use proto::{
    node::v1::{
        GetProcessRequest, GetProcessResponse, process_service_client::ProcessServiceClient,
    },
    similarity::v1::{
        GetIndexRequest, GetIndexResponse, similarity_service_client::SimilarityServiceClient,
    },
    store::v1::{
        Demand, ListNodesRequest, Node, WatchDemandRequest,
        capacity_service_client::CapacityServiceClient, node_service_client::NodeServiceClient,
    },
};
use tonic::{Request, Response, Status};

use crate::{arguments::Global, error::Error};

/// Where a store is if nothing says otherwise.
const DEFAULT_STORE: &str = "http://127.0.0.1:7801";
/// Port of a similarity service on the machine of its store, if nothing says otherwise.
const SIMILARITY_PORT: u16 = 7804;
/// How long a process may take to tell about itself.
const PROCESS_LIMIT: Duration = Duration::from_secs(3);
/// What the similarity service is called when it does not answer.
pub(crate) const SIMILARITY: &str = "similarity service";
/// Programs that announce themselves in DATA/run.
pub(crate) const ROLES: [&str; 5] = ["store", "watcher", "tagger", "embedder", "similarity"];

/// A cluster, by its store.
#[derive(Debug)]
pub(crate) struct Connection {
    store: Peer,
    /// Where the person says that the similarity service is.
    similarity: Option<String>,
    credential: Credential,
    data: PathBuf,
}

impl Connection {
    /// The cluster that the flags name: `--store`, else the store announced in the data folder,
    /// else the default address.
    pub(crate) fn open(global: &Global) -> Result<Self, Error> {
        let address = match &global.store {
            Some(address) => address.clone(),
            None => Announcement::read(&global.data, "store").map_or_else(
                || DEFAULT_STORE.to_owned(),
                |found| format!("http://{}", found.address),
            ),
        };
        let found = Self::to(&address, global.credential()?, global.data.clone())?;
        Ok(Self {
            similarity: global.similarity.clone(),
            ..found
        })
    }

    /// The cluster whose store is at `address`.
    pub(crate) fn to(address: &str, credential: Credential, data: PathBuf) -> Result<Self, Error> {
        Ok(Self {
            store: Peer::new(address, &credential)?,
            similarity: None,
            credential,
            data,
        })
    }

    /// Address of the store.
    pub(crate) fn address(&self) -> &str {
        self.store.address()
    }

    /// What clients of the store's services are made from.
    pub(crate) fn store(&self) -> Channel {
        self.store.channel()
    }

    /// Another process of the cluster.
    pub(crate) fn peer(&self, address: &str) -> Result<Peer, Error> {
        Ok(Peer::new(address, &self.credential)?)
    }

    /// The similarity service of this cluster: `--similarity`, else the one announced beside the
    /// store in the data folder, else the default port on the store's machine.
    pub(crate) fn similarity(&self) -> Result<Peer, Error> {
        if let Some(address) = &self.similarity {
            return self.peer(address);
        }
        let announced = |role| Announcement::read(&self.data, role);
        let store = bare(self.address());
        if announced("store").is_some_and(|found| found.address.to_string() == store) {
            let found = announced("similarity").ok_or_else(|| Error::Unreachable {
                what: SIMILARITY,
                address: self.data.join("run/similarity.json").display().to_string(),
                cause: "none runs beside the store of this data folder".to_owned(),
            })?;
            return self.peer(&found.address.to_string());
        }
        let host = store.rsplit_once(':').map_or(store, |(host, _)| host);
        self.peer(&format!("http://{host}:{SIMILARITY_PORT}"))
    }

    /// Asks the store.
    pub(crate) async fn ask<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        let answer = call.await.map_err(|status| self.refusal(&status))?;
        Ok(answer.into_inner())
    }

    /// What a status of the store means for a person.
    pub(crate) fn refusal(&self, status: &Status) -> Error {
        refusal("store", self.address(), status)
    }

    /// All nodes and watchers that the store knows.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, Error> {
        let mut client = NodeServiceClient::new(self.store());
        Ok(self
            .ask(client.list_nodes(ListNodesRequest {}))
            .await?
            .nodes)
    }

    /// What is wanted of inference nodes now.
    pub(crate) async fn demand(&self) -> Result<Vec<Demand>, Error> {
        let mut client = CapacityServiceClient::new(self.store());
        let mut stream = self.ask(client.watch_demand(WatchDemandRequest {})).await?;
        let first = stream.message().await;
        let first = first.map_err(|status| self.refusal(&status))?;
        Ok(first.map(|demand| demand.demands).unwrap_or_default())
    }

    /// How far the similarity service is.
    pub(crate) async fn index(&self) -> Result<GetIndexResponse, Error> {
        let peer = self.similarity()?;
        let mut client = SimilarityServiceClient::new(peer.channel());
        let mut request = Request::new(GetIndexRequest {});
        request.set_timeout(PROCESS_LIMIT);
        match client.get_index(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(refusal(SIMILARITY, peer.address(), &status)),
        }
    }

    /// What every process of the cluster tells about itself: the store, the nodes and watchers that
    /// it thinks online, and what was announced in the data folder of this machine.
    pub(crate) async fn processes(&self, nodes: &[Node]) -> Vec<Found> {
        let mut addresses = BTreeSet::new();
        let mut wanted = vec![("store".to_owned(), self.address().to_owned())];
        for node in nodes
            .iter()
            .filter(|node| node.online && !node.address.is_empty())
        {
            wanted.push((node.role.clone(), node.address.clone()));
        }
        for role in ROLES {
            if let Some(found) = Announcement::read(&self.data, role) {
                wanted.push((role.to_owned(), format!("http://{}", found.address)));
            }
        }
        wanted.retain(|(_, address)| addresses.insert(bare(address).to_owned()));
        let asked = wanted
            .into_iter()
            .map(|(role, address)| self.process(role, address));
        futures_util::future::join_all(asked).await
    }

    async fn process(&self, role: String, address: String) -> Found {
        let answer = async {
            let peer = self.peer(&address)?;
            let mut client = ProcessServiceClient::new(peer.channel());
            let mut request = Request::new(GetProcessRequest {});
            request.set_timeout(PROCESS_LIMIT);
            match tokio::time::timeout(PROCESS_LIMIT, client.get_process(request)).await {
                Ok(Ok(answer)) => Ok(answer.into_inner()),
                Ok(Err(status)) => Err(refusal("process", &address, &status)),
                Err(_) => Err(Error::TooLong(format!(
                    "no answer from {address} within {} s",
                    PROCESS_LIMIT.as_secs()
                ))),
            }
        };
        let answer = answer.await;
        Found {
            role,
            address,
            answer,
        }
    }

    /// Whether a process that said `pid` at `address` runs on this machine, so that /proc can tell
    /// more of it: it announced itself in our data folder.
    pub(crate) fn is_local(&self, address: &str, pid: u32) -> bool {
        ROLES.iter().any(|role| {
            Announcement::read(&self.data, role)
                .is_some_and(|found| found.pid == pid && bare(address) == found.address.to_string())
        })
    }
}

/// A process that was asked who it is.
#[derive(Debug)]
pub(crate) struct Found {
    /// Role by which it was found.
    pub(crate) role: String,
    /// Its address.
    pub(crate) address: String,
    /// What it said.
    pub(crate) answer: Result<GetProcessResponse, Error>,
}

/// The address without its scheme, by which two spellings are told to be one.
fn bare(address: &str) -> &str {
    let address = address.strip_prefix("http://").unwrap_or(address);
    address.trim_end_matches('/')
}

/// What a status means for a person.
pub(crate) fn refusal(what: &'static str, address: &str, status: &Status) -> Error {
    let reason = code::reason(status).unwrap_or_default();
    // A service says only its reason; what has a source broke on the way.
    let broke = reason.is_empty() && std::error::Error::source(status).is_some();
    match code::of(status) {
        Code::DeadlineExceeded if reason.is_empty() || reason == "DEADLINE_EXCEEDED" => {
            Error::TooLong(format!(
                "the {what} at {address} did not answer in time; `kumo status` shows how all are"
            ))
        }
        code if broke
            || (code == Code::Unavailable && (reason == "UNREACHABLE" || reason.is_empty())) =>
        {
            Error::Unreachable {
                what,
                address: address.to_owned(),
                cause: status.message().to_owned(),
            }
        }
        code => Error::Refused {
            code,
            message: message(status, &reason),
            reason,
        },
    }
}

fn message(status: &Status, reason: &str) -> String {
    match (status.message(), reason) {
        ("", "") => status.code().description().to_owned(),
        ("", reason) => reason.to_owned(),
        (text, "") => text.to_owned(),
        (text, reason) => format!("{text} ({reason})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_breaks_off_is_a_service_that_went_and_a_late_one_is_named() {
        let lost = std::io::Error::other("error reading a body from connection");
        let lost = refusal("store", "http://s", &Status::from_error(Box::new(lost)));
        assert!(matches!(lost, Error::Unreachable { .. }), "{lost:?}");
        let late = refusal("store", "http://s", &Status::deadline_exceeded("late"));
        assert!(late.to_string().contains("store at http://s"), "{late}");
        let refused = refusal("store", "http://s", &Status::internal("a bug"));
        assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    }
}
