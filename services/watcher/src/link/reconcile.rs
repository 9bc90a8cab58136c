//! Making the known table agree with the store: after the table was lost, or the store was
//! restored from a backup and knows less than this watcher has told it.

use kit::hex;
use proto::store::v1::{
    self as store, KnownLocation, ListLocationsRequest, ListRootsRequest, LocationState,
};

use super::Link;
use crate::{
    Error,
    known::{Record, Sha256},
    place::{Place, RootId},
    roots::Root,
    stamp::Stamp,
};

/// Locations fetched at once.
const PAGE: i32 = 1_000;

impl Link {
    /// Compares what the table and the store know of a root, and learns it anew from the store if
    /// the table is empty or claims too much. If it knows too little, a scan will tell.
    pub(super) async fn reconcile(&self, root: &Root, named: &store::Root) -> Result<(), Error> {
        let _gate = self.changing().await;
        let id = root.id;
        let path = std::os::unix::ffi::OsStrExt::as_bytes(root.path.as_os_str()).to_vec();
        let question = move |known: &mut crate::known::Known| {
            Ok((known.root(&path)?.store_name, known.count_held(id)?))
        };
        let (name, held) = self.table.ask(question).await?;
        let Some(present) = self.present(named).await else {
            return Ok(());
        };
        let another = !name.is_empty() && name != named.name;
        // The name comes last: learning was cut short, and deletions of what it did not come to
        // would never be told.
        let unfinished = name.is_empty() && held > 0;
        let stale = another || held > present;
        let lost = held == 0 && present > 0;
        let learns = stale || lost || unfinished;
        if learns {
            tracing::info!(
                root.path = %root.path.display(), known = held, store = present,
                "learning from the store what is known of {}", root.path.display()
            );
            // Before the store is asked: even if it will not say what it knows, a scan tells it
            // what is there.
            if stale || lost {
                self.table.ask(move |known| known.forget_root(id)).await?;
            }
            let whole = self.learn(id, &named.name).await?;
            self.dirty.lost(id);
            if !whole {
                return Ok(());
            }
        }
        if learns || name != named.name {
            let name = named.name.clone();
            self.table
                .ask(move |known| known.name_root(id, &name))
                .await?;
        }
        Ok(())
    }

    /// How many files of a root the store knows to be there, while nothing is being told: what it
    /// answered to the announcement may be older than what was told and remembered since, and
    /// stands in only if it will not say. `None` if the shutdown has begun.
    async fn present(&self, named: &store::Root) -> Option<u64> {
        let answer = self
            .call(|| {
                let mut locations = self.locations();
                async move { locations.list_roots(ListRootsRequest {}).await }
            })
            .await?;
        let roots = match answer {
            Ok(answer) => answer.into_inner().roots,
            Err(status) => {
                tracing::warn!("the store lists no roots: {}", status.message());
                Vec::new()
            }
        };
        let now = roots.iter().find(|root| root.name == named.name);
        Some(now.unwrap_or(named).present)
    }

    /// Learns a root from the store; false if not all of it could be learned.
    async fn learn(&self, id: RootId, name: &str) -> Result<bool, Error> {
        let mut page_token = String::new();
        loop {
            let request = ListLocationsRequest {
                root: name.to_owned(),
                page_size: PAGE,
                page_token,
            };
            let answer = self
                .call(|| {
                    let (mut locations, request) = (self.locations(), request.clone());
                    async move { locations.list_locations(request).await }
                })
                .await;
            let page = match answer {
                None => return Ok(false),
                Some(Ok(page)) => page.into_inner(),
                Some(Err(status)) => {
                    // The next announcement tries again.
                    tracing::warn!("the store lists no locations: {}", status.message());
                    return Ok(false);
                }
            };
            let records: Vec<Record> = page
                .locations
                .into_iter()
                .flat_map(|known| records(id, known))
                .collect();
            self.table.ask(move |known| known.record(&records)).await?;
            if page.next_page_token.is_empty() {
                return Ok(true);
            }
            page_token = page.next_page_token;
        }
    }
}

fn records(root: RootId, known: KnownLocation) -> Vec<Record> {
    let Some((location, sha256)) = known
        .location
        .zip(hex::decode(&known.sha256).map(|sha256: Sha256| sha256))
    else {
        return Vec::new();
    };
    let missing = location.state() == LocationState::Missing;
    let place = Place::new(root, location.path.as_ref());
    let stamp = Stamp::remembered(location.byte_size, location.mtime_ns);
    let held = Record::Held(place.clone(), stamp, sha256);
    if missing {
        vec![held, Record::Missing(place)]
    } else {
        vec![held]
    }
}
