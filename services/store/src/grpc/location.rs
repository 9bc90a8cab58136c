//! Locations, roots and files that failed at ingest.

use std::{collections::HashMap, fmt::Write as _};

use prost::Message;
use proto::store::v1::{
    KnownLocation, ListLocationsRequest, ListLocationsResponse, ListRootsRequest,
    ListRootsResponse, Location, LocationChange, LocationState, NewLocation,
    ReportIngestFailuresRequest, ReportIngestFailuresResponse, Root, RootState,
    UpdateLocationsRequest, UpdateLocationsResponse, location_service_server::LocationService,
};
use store_core::{
    Now, RootId, Store, WatcherId, ingest_failure, location,
    root::{self, RootKind},
    watcher::Watcher,
};
use tonic::{Request, Response, Status};

use super::{ANSWER, Door, at_most, hash, page, refuse};
use crate::Error;

/// Changes in one request of a group, so that it holds the thread for milliseconds only.
const SLICE: usize = 200;

#[tonic::async_trait]
impl LocationService for Door {
    async fn update_locations(
        &self,
        request: Request<UpdateLocationsRequest>,
    ) -> Result<Response<UpdateLocationsResponse>, Status> {
        let changes = request.into_inner().changes;
        at_most("location changes", changes.len(), location::MAX_CHANGES).map_err(refuse)?;
        let changes: Vec<location::LocationChange> = changes
            .into_iter()
            .enumerate()
            .map(|(index, change)| location_change(&format!("changes[{index}]"), change))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let mut unknown = Vec::new();
        // One after another: the changes count in their order.
        for (start, slice) in (0u32..).step_by(SLICE).zip(changes.chunks(SLICE)) {
            let slice = slice.to_vec();
            let write = self
                .engine
                .write(move |write, now| write.update_locations(&slice, now));
            let indexes = write.await.map_err(refuse)?;
            unknown.extend(indexes.into_iter().map(|index| start + index));
        }
        Ok(Response::new(UpdateLocationsResponse { unknown }))
    }

    async fn list_locations(
        &self,
        request: Request<ListLocationsRequest>,
    ) -> Result<Response<ListLocationsResponse>, Status> {
        let request = request.into_inner();
        let root: RootId = kit::id::parse("roots/", &request.root).map_err(refuse)?;
        let size = page::size(request.page_size, 1_000, location::MAX_PAGE).map_err(refuse)?;
        let mut list = *b"lo\0\0\0\0";
        list[2..].copy_from_slice(&root.to_le_bytes());
        let after = match page::Place::read(&request.page_token).map_err(refuse)? {
            Some(place) if place.list == list => place.after,
            Some(_) => return Err(refuse(page::bad(&request.page_token))),
            None => 0,
        };
        let read = self.engine.read(move |store, now| {
            let roots = Roots::read(store, now)?;
            store.root(root)?;
            let found = store.root_locations(root, after, size)?;
            Ok(known_locations(&found, &roots, size, list))
        });
        Ok(Response::new(read.await.map_err(refuse)?))
    }

    async fn report_ingest_failures(
        &self,
        request: Request<ReportIngestFailuresRequest>,
    ) -> Result<Response<ReportIngestFailuresResponse>, Status> {
        let failures = request.into_inner().failures;
        at_most(
            "ingest failures",
            failures.len(),
            ingest_failure::MAX_REPORTED,
        )
        .map_err(refuse)?;
        let failures: Vec<ingest_failure::NewIngestFailure> = failures
            .into_iter()
            .enumerate()
            .map(|(index, failure)| ingest_failure(&format!("failures[{index}]"), failure))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        for slice in failures.chunks(SLICE) {
            let slice = slice.to_vec();
            let write = self
                .engine
                .write(move |write, now| write.report_ingest_failures(&slice, now));
            write.await.map_err(refuse)?;
        }
        Ok(Response::new(ReportIngestFailuresResponse {}))
    }

    async fn list_roots(
        &self,
        _: Request<ListRootsRequest>,
    ) -> Result<Response<ListRootsResponse>, Status> {
        let read = self.engine.read(|store, now| {
            let roots = Roots::read(store, now)?;
            let all = store.roots()?;
            Ok(all.iter().map(|root| roots.message(root)).collect())
        });
        Ok(Response::new(ListRootsResponse {
            roots: read.await.map_err(refuse)?,
        }))
    }
}

/// Roots and their watchers, read once for a call.
pub(super) struct Roots {
    paths: HashMap<RootId, Vec<u8>>,
    watchers: HashMap<WatcherId, (String, bool)>,
}

impl Roots {
    pub(super) fn read(store: &Store, now: Now) -> Result<Self, Error> {
        Ok(Self::new(store.roots()?, store.watchers(now)?))
    }

    pub(super) fn new(roots: Vec<root::Root>, watchers: Vec<Watcher>) -> Self {
        let roots = roots.into_iter();
        let watchers = watchers.into_iter();
        Self {
            paths: roots.map(|root| (root.id, root.seen.path)).collect(),
            watchers: watchers
                .map(|w| (w.id, (w.announced.name, w.online)))
                .collect(),
        }
    }

    /// A path below a root, readable and with the root in front.
    pub(super) fn display(&self, root: RootId, path: &[u8]) -> String {
        let mut whole = self.paths.get(&root).cloned().unwrap_or_default();
        if whole.last() != Some(&b'/') {
            whole.push(b'/');
        }
        whole.extend_from_slice(path);
        display(&whole)
    }

    /// A root as a message. It is offline too while nothing is heard of its watcher.
    pub(super) fn message(&self, root: &root::Root) -> Root {
        let nobody = (String::new(), false);
        let (watcher, online) = self.watchers.get(&root.watcher).unwrap_or(&nobody);
        let (state, notice) = match root.seen.state {
            root::RootState::Online if *online => (RootState::Online, root.seen.notice.clone()),
            root::RootState::Online => {
                let notice = format!("nothing is heard of its watcher {watcher}");
                (RootState::Offline, notice)
            }
            root::RootState::Offline => (RootState::Offline, root.seen.notice.clone()),
        };
        Root {
            name: format!("roots/{}", root.id),
            watcher: watcher.clone(),
            display_path: display(&root.seen.path),
            path: root.seen.path.clone().into(),
            state: state.into(),
            notice,
            present: root.present,
            missing: root.missing,
        }
    }

    /// A location as a message.
    pub(super) fn location(&self, location: &location::Location) -> Location {
        let found = &location.found;
        Location {
            root: format!("roots/{}", found.root),
            display_path: self.display(found.root, &found.path),
            path: found.path.clone().into(),
            state: match location.state {
                location::LocationState::Present => LocationState::Present,
                location::LocationState::Missing => LocationState::Missing,
            }
            .into(),
            byte_size: found.byte_size,
            mtime_ns: found.mtime_ns,
        }
    }
}

/// Bytes for people: what is no UTF-8 as `\xNN`, control characters escaped.
fn display(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    text
}

/// A page of locations; it ends early rather than outgrow what clients accept.
fn known_locations(
    found: &[location::Location],
    roots: &Roots,
    size: u32,
    list: [u8; 6],
) -> ListLocationsResponse {
    let mut locations = Vec::with_capacity(found.len());
    let mut bytes = 0;
    for location in found {
        let known = KnownLocation {
            location: Some(roots.location(location)),
            sha256: kit::hex::encode(&location.sha256),
        };
        bytes += known.encoded_len();
        if bytes > ANSWER && !locations.is_empty() {
            break;
        }
        locations.push(known);
    }
    let whole = locations.len() == found.len();
    let last = found.get(locations.len().saturating_sub(1));
    let next = last.filter(|_| !whole || found.len() == size as usize);
    ListLocationsResponse {
        locations,
        next_page_token: next.map_or_else(String::new, |last| {
            let after = last.id;
            page::Place { list, after }.token()
        }),
    }
}

/// A file as a watcher found it.
pub(super) fn found(field: &str, message: Option<NewLocation>) -> Result<location::Found, Error> {
    let missing = || Error::field(format!("{field}.location"), "", "it must be given");
    let message = message.ok_or_else(missing)?;
    Ok(location::Found {
        root: kit::id::parse("roots/", &message.root)?,
        path: message.path.into(),
        byte_size: message.byte_size,
        mtime_ns: message.mtime_ns,
        ctime_ns: 0,
        dev: 0,
        ino: 0,
    })
}

fn location_change(
    field: &str,
    message: LocationChange,
) -> Result<location::LocationChange, Error> {
    let state = LocationState::try_from(message.state);
    let found = found(field, message.location)?;
    match state {
        Ok(LocationState::Present) => {
            let sha256 = hash(&format!("{field}.sha256"), &message.sha256)?;
            Ok(location::LocationChange::Present(found, sha256))
        }
        Ok(LocationState::Missing) => Ok(location::LocationChange::Missing {
            root: found.root,
            path: found.path,
        }),
        Ok(LocationState::Moved) => Ok(location::LocationChange::Moved {
            root: found.root,
            path: found.path,
        }),
        Ok(LocationState::Unspecified) | Err(_) => Err(Error::field(
            format!("{field}.state"),
            &message.state,
            "LOCATION_STATE_PRESENT, LOCATION_STATE_MISSING or LOCATION_STATE_MOVED",
        )),
    }
}

fn ingest_failure(
    field: &str,
    message: proto::store::v1::IngestFailure,
) -> Result<ingest_failure::NewIngestFailure, Error> {
    let found = found(field, message.location)?;
    let sha256 = match message.sha256.as_str() {
        "" => None,
        text => Some(hash(&format!("{field}.sha256"), text)?),
    };
    Ok(ingest_failure::NewIngestFailure {
        root: found.root,
        path: found.path,
        byte_size: found.byte_size,
        mtime_ns: found.mtime_ns,
        sha256,
        reason: message.reason,
        message: message.message,
    })
}

/// Roots as their watcher sees them.
pub(super) fn watched_roots(
    messages: Vec<proto::store::v1::WatchedRoot>,
) -> Result<Vec<root::WatchedRoot>, Error> {
    let read = |(index, message): (usize, proto::store::v1::WatchedRoot)| {
        let state = match RootState::try_from(message.state) {
            Ok(RootState::Online) => root::RootState::Online,
            Ok(RootState::Offline) => root::RootState::Offline,
            Ok(RootState::Unspecified) | Err(_) => {
                return Err(Error::field(
                    format!("roots[{index}].state"),
                    &message.state,
                    "ROOT_STATE_ONLINE or ROOT_STATE_OFFLINE",
                ));
            }
        };
        Ok(root::WatchedRoot {
            path: message.path.into(),
            kind: RootKind::Library,
            state,
            notice: message.notice,
        })
    };
    messages.into_iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::display;

    #[test]
    fn any_bytes_can_be_shown() {
        assert_eq!(display("/bilder/雲.png".as_bytes()), "/bilder/雲.png");
        assert_eq!(display(b"/a\xff\n\x1b[2Jb"), "/a\\xff\\n\\u{1b}[2Jb");
    }
}
