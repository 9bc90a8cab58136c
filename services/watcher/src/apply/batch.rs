//! One batch of findings: what to tell the store, and what to remember when it has answered.

use std::iter::repeat;

use kit::hex;
use proto::store::v1::{
    IngestFailure, LocationChange, LocationState, NewPost, RegisterPostsRequest, RegisteredPost,
    ReportIngestFailuresRequest, Sample, UpdateLocationsRequest,
};
use tonic::Status;

use crate::{
    dirty::End,
    known::{Checks, Moves, Record, Sha256},
    link::Link,
    place::Place,
    stamp::Stamp,
    work::{Failure, Finding, Picture},
};

/// A batch. All its places are different.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) pictures: Vec<Picture>,
    changes: Vec<Change>,
    failures: Vec<Failure>,
    /// What to remember.
    pub(super) records: Vec<Record>,
    /// What was rendered from the contents that are new.
    pub(super) checks: Vec<(Sha256, Checks)>,
    /// How the work on each place ended.
    pub(super) ends: Vec<(Place, End)>,
    /// Files registered.
    pub(super) registered: u64,
    /// Files refused.
    pub(super) failed: u64,
}

#[derive(Debug)]
enum Change {
    Held(Place, Stamp, Sha256),
    Missing(Place, Stamp),
    /// As missing, but its file is at another place that the store knows or is told of before.
    Moved(Place, Stamp),
    /// A place that the store takes for missing has moved. There is no work under way on it.
    Late(Place, Stamp),
}

impl Batch {
    /// Adds a finding.
    pub(super) fn add(&mut self, finding: Finding) {
        match finding {
            Finding::Picture(picture) => self.pictures.push(*picture),
            Finding::Held(place, stamp, sha256) => {
                self.changes.push(Change::Held(place, stamp, sha256));
            }
            Finding::Missing(place, stamp) => self.changes.push(Change::Missing(place, stamp)),
            Finding::Failed(failure) => self.failures.push(*failure),
            Finding::Seen(place, stamp, sha256) => {
                self.done(place.clone(), Record::Held(place, stamp, sha256));
            }
            Finding::Ignored(place, stamp) => {
                self.done(place.clone(), Record::Ignored(place, stamp));
            }
        }
    }

    /// Findings in it.
    pub(super) fn len(&self) -> usize {
        self.pictures.len() + self.changes.len() + self.failures.len() + self.ends.len()
    }

    /// Places that are gone.
    pub(super) fn gone(&self) -> Vec<Place> {
        let gone = self.changes.iter().filter_map(|change| match change {
            Change::Missing(place, _) => Some(place.clone()),
            Change::Held(..) | Change::Moved(..) | Change::Late(..) => None,
        });
        gone.collect()
    }

    /// Files that are there, and their contents.
    pub(super) fn held(&self) -> Vec<(Place, Stamp, Sha256)> {
        let told = self.changes.iter().filter_map(|change| match change {
            Change::Held(place, stamp, sha256) => Some((place.clone(), *stamp, *sha256)),
            Change::Missing(..) | Change::Moved(..) | Change::Late(..) => None,
        });
        let new = self
            .pictures
            .iter()
            .map(|picture| (picture.place.clone(), picture.stamp, picture.digests.sha256));
        told.chain(new).collect()
    }

    /// Makes moves of those that are. `moves.moved` is in the order of [`Batch::gone`].
    pub(super) fn resolve(&mut self, moves: Moves) {
        let (mut held, mut left) = (Vec::new(), Vec::new());
        let mut moved = moves.moved.into_iter();
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Missing(place, stamp) if moved.next() == Some(true) => {
                    left.push(Change::Moved(place, stamp));
                }
                Change::Held(..) => held.push(change),
                Change::Missing(..) | Change::Moved(..) | Change::Late(..) => left.push(change),
            }
        }
        let late = moves.late.into_iter();
        left.extend(late.map(|(place, stamp)| Change::Late(place, stamp)));
        // New places first: a post is never without one, and the store forgets an old place only
        // if it knows the new one.
        held.append(&mut left);
        self.changes = held;
    }

    /// Tells the store. `None` if the shutdown has begun; then nothing is to be remembered.
    pub(super) async fn send(&mut self, link: &Link) -> Option<()> {
        let pictures = std::mem::take(&mut self.pictures);
        self.send_pictures(link, pictures).await?;
        let changes = std::mem::take(&mut self.changes);
        self.send_changes(link, changes).await?;
        let failures = std::mem::take(&mut self.failures);
        self.send_failures(link, failures).await
    }

    fn done(&mut self, place: Place, record: Record) {
        self.records.push(record);
        self.ends.push((place, End::Done));
    }

    /// All at once; if the store refuses them together, one by one, so that only those are refused
    /// that deserve it.
    async fn send_pictures(&mut self, link: &Link, pictures: Vec<Picture>) -> Option<()> {
        if pictures.is_empty() {
            return Some(());
        }
        if let Ok(told) = register(link, &pictures).await? {
            self.registered_all(pictures, &told);
            return Some(());
        }
        for picture in pictures {
            match register(link, std::slice::from_ref(&picture)).await? {
                Ok(told) => self.registered_all(vec![picture], &told),
                Err(status) => {
                    refused(&picture.place, &status);
                    self.failures.push(Failure {
                        place: picture.place,
                        stamp: picture.stamp,
                        reason: "STORE_REFUSED",
                        message: status.message().to_owned(),
                        sha256: Some(picture.digests.sha256),
                    });
                }
            }
        }
        Some(())
    }

    fn registered_all(&mut self, pictures: Vec<Picture>, told: &[RegisteredPost]) {
        // An answer that is too short tells of nothing that was rejected.
        let rejected = told.iter().map(|post| post.rejected);
        for (picture, rejected) in pictures.into_iter().zip(rejected.chain(repeat(false))) {
            self.registered(picture, rejected);
        }
    }

    /// A content that was rejected is remembered like any other: the store knows its place, asks
    /// for it when it is allowed again, and until then nobody reads it (docs/adr/0004). What was
    /// rendered of it is evicted like the rest.
    fn registered(&mut self, picture: Picture, rejected: bool) {
        let sha256 = picture.digests.sha256;
        if rejected {
            tracing::info!(
                file.path = picture.place.display(),
                "{} was purged before, and is not catalogued again",
                picture.place.display()
            );
        } else {
            self.registered += 1;
        }
        self.checks.push((sha256, picture.checks));
        let record = Record::Held(picture.place.clone(), picture.stamp, sha256);
        self.done(picture.place, record);
    }

    async fn send_changes(&mut self, link: &Link, changes: Vec<Change>) -> Option<()> {
        if changes.is_empty() {
            return Some(());
        }
        if let Ok(unknown) = update(link, &changes).await? {
            self.updated(changes, &unknown);
            return Some(());
        }
        for change in changes {
            match update(link, std::slice::from_ref(&change)).await? {
                Ok(unknown) => self.updated(vec![change], &unknown),
                Err(status) => {
                    // It stays as it is in the known table, and the next scan tries again.
                    let place = change.place().clone();
                    refused(&place, &status);
                    if !matches!(change, Change::Late(..)) {
                        self.ends.push((place, End::Dropped));
                    }
                }
            }
        }
        Some(())
    }

    fn updated(&mut self, changes: Vec<Change>, unknown: &[u32]) {
        // If the store does not know a content, its old place may have become missing instead.
        let left = if unknown.is_empty() {
            Record::Moved
        } else {
            Record::Missing
        };
        for (index, change) in (0_u32..).zip(changes) {
            match change {
                Change::Held(place, stamp, _) if unknown.contains(&index) => {
                    self.ends.push((place, End::ReadAgain(stamp)));
                }
                Change::Held(place, stamp, sha256) => {
                    self.registered += 1;
                    self.done(place.clone(), Record::Held(place, stamp, sha256));
                }
                Change::Missing(place, _) => self.done(place.clone(), Record::Missing(place)),
                Change::Moved(place, _) => self.done(place.clone(), left(place)),
                Change::Late(place, _) => self.records.push(left(place)),
            }
        }
    }

    async fn send_failures(&mut self, link: &Link, failures: Vec<Failure>) -> Option<()> {
        for failure in &failures {
            tracing::warn!(
                file.path = failure.place.display(),
                error.reason = failure.reason,
                "{}: {}",
                failure.place.display(),
                failure.message
            );
        }
        if failures.is_empty() {
            return Some(());
        }
        let whole = report(link, &failures).await?;
        for failure in failures {
            let place = failure.place.clone();
            let answer = match &whole {
                Ok(()) => Ok(()),
                Err(_) => report(link, std::slice::from_ref(&failure)).await?,
            };
            match answer {
                Ok(()) => {
                    self.failed += 1;
                    self.done(place.clone(), Record::Failed(place, failure.remembered()));
                }
                Err(status) => {
                    refused(&place, &status);
                    self.ends.push((place, End::Dropped));
                }
            }
        }
        Some(())
    }
}

impl Change {
    fn place(&self) -> &Place {
        match self {
            Self::Held(place, ..)
            | Self::Missing(place, _)
            | Self::Moved(place, _)
            | Self::Late(place, _) => place,
        }
    }
}

fn refused(place: &Place, status: &Status) {
    tracing::error!(
        file.path = place.display(),
        error.reason = kit::code::reason(status),
        "the store refuses {}: {}",
        place.display(),
        status.message()
    );
}

async fn register(
    link: &Link,
    pictures: &[Picture],
) -> Option<Result<Vec<RegisteredPost>, Status>> {
    let answer = link.insist(|| {
        let posts = pictures
            .iter()
            .map(|picture| new_post(link, picture))
            .collect();
        let mut client = link.posts();
        async move { client.register_posts(RegisterPostsRequest { posts }).await }
    });
    Some(answer.await?.map(|answer| answer.into_inner().posts))
}

async fn update(link: &Link, changes: &[Change]) -> Option<Result<Vec<u32>, Status>> {
    let answer = link.insist(|| {
        let changes = changes
            .iter()
            .map(|change| location_change(link, change))
            .collect();
        let mut client = link.locations();
        async move {
            client
                .update_locations(UpdateLocationsRequest { changes })
                .await
        }
    });
    Some(answer.await?.map(|answer| answer.into_inner().unknown))
}

async fn report(link: &Link, failures: &[Failure]) -> Option<Result<(), Status>> {
    let answer = link.insist(|| {
        let failures = failures
            .iter()
            .map(|failure| ingest_failure(link, failure))
            .collect();
        let mut client = link.locations();
        async move {
            client
                .report_ingest_failures(ReportIngestFailuresRequest { failures })
                .await
        }
    });
    Some(answer.await?.map(drop))
}

fn new_post(link: &Link, picture: &Picture) -> NewPost {
    let sample = picture.checks.sample.map(|check| Sample {
        render_revision: picture.checks.revision,
        byte_size: u32::try_from(check.bytes).unwrap_or(u32::MAX),
        sha256: hex::encode(&check.sha256),
        width: picture.sample_size.0,
        height: picture.sample_size.1,
    });
    NewPost {
        sha256: hex::encode(&picture.digests.sha256),
        md5: hex::encode(&picture.digests.md5),
        media_type: picture.checks.media_type.clone(),
        byte_size: picture.digests.bytes,
        width: picture.size.0,
        height: picture.size.1,
        frames: picture.frames,
        has_alpha: picture.has_alpha,
        partial: picture.partial,
        sample,
        perceptual_hash: hex::encode(&picture.perceptual_hash),
        colours: picture.colours.clone(),
        location: Some(link.location(&picture.place, &picture.stamp)),
        traceparent: picture.trace.to_string(),
        detail: picture.detail.map(u32::from),
    }
}

fn location_change(link: &Link, change: &Change) -> LocationChange {
    let (place, stamp, sha256, state) = match change {
        Change::Held(place, stamp, sha256) => {
            (place, stamp, hex::encode(sha256), LocationState::Present)
        }
        Change::Missing(place, stamp) => (place, stamp, String::new(), LocationState::Missing),
        Change::Moved(place, stamp) | Change::Late(place, stamp) => {
            (place, stamp, String::new(), LocationState::Moved)
        }
    };
    LocationChange {
        location: Some(link.location(place, stamp)),
        sha256,
        state: state.into(),
    }
}

fn ingest_failure(link: &Link, failure: &Failure) -> IngestFailure {
    IngestFailure {
        location: Some(link.location(&failure.place, &failure.stamp)),
        reason: failure.reason.to_owned(),
        message: failure.message.clone(),
        sha256: failure
            .sha256
            .map(|sha256| hex::encode(&sha256))
            .unwrap_or_default(),
    }
}
