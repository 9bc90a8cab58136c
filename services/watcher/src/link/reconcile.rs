//! Making the known table agree with the store: after the table was lost, or the store was
//! restored from a backup and knows less than this watcher has told it.

use kit::hex;
use proto::store::v1::{self as store, KnownLocation, ListLocationsRequest, LocationState};

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
        let another = !name.is_empty() && name != named.name;
        // The name comes last: learning was cut short, and deletions of what it did not come to
        // would never be told.
        let unfinished = name.is_empty() && held > 0;
        let learns =
            another || unfinished || held > named.present || (held == 0 && named.present > 0);
        if learns {
            tracing::info!(
                root.path = %root.path.display(), known = held, store = named.present,
                "learning from the store what is known of {}", root.path.display()
            );
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

    /// Learns a root anew; false if not all of it could be learned.
    async fn learn(&self, id: RootId, name: &str) -> Result<bool, Error> {
        let mut page_token = String::new();
        loop {
            let request = ListLocationsRequest {
                root: name.to_owned(),
                page_size: PAGE,
                page_token: page_token.clone(),
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
                    // The next announcement tries again, and a scan tells what is there.
                    tracing::warn!("the store lists no locations: {}", status.message());
                    return Ok(false);
                }
            };
            let records: Vec<Record> = page
                .locations
                .into_iter()
                .flat_map(|known| records(id, known))
                .collect();
            let is_first = page_token.is_empty();
            let learning = move |known: &mut crate::known::Known| {
                if is_first {
                    known.forget_root(id)?;
                }
                known.record(&records)
            };
            self.table.ask(learning).await?;
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
