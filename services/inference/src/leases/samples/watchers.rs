//! Samples streamed by a watcher: one call for many.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use kit::client::{Channel, Peer};
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::media::v1::{ReadSamplesRequest, ReadSamplesResponse, SampleKey};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Status, Streaming};

use super::{Fetched, MOST_PEERS, Sample, Samples, Search, UNIT, portion, units};
use crate::leases::task::{Cause, Failure};

/// Samples in one call.
const MOST_IN_CALL: usize = 256;
/// A stream from which nothing comes for so long is given up.
const SILENCE: Duration = Duration::from_secs(15);
/// A sample that takes so long to come is given up: its source must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(60);

impl Samples {
    /// Asks one watcher; gives back the searches that must go on elsewhere.
    pub(super) async fn ask_watcher(
        &self,
        address: &str,
        mut searches: Vec<Search>,
        found: &impl Fn(Fetched),
    ) -> Vec<Search> {
        let mut rest = Vec::new();
        while !searches.is_empty() {
            let part = portion(&mut searches, MOST_IN_CALL);
            let size = part.iter().map(|s| units(s.bytes()) * UNIT).sum();
            let mut share = self.reserve(size).await;
            let wanted = part.iter().map(|search| SampleKey {
                sha256: search.task.sha256.clone(),
                render_revision: search.task.render_revision,
            });
            let samples = wanted.collect();
            let stream = match self.open(address, samples).await {
                Ok(stream) => stream,
                Err(failure) => {
                    // Nor will it answer for the others.
                    searches.splice(0..0, part);
                    for search in &mut searches {
                        search.failed(failure.clone());
                    }
                    rest.append(&mut searches);
                    break;
                }
            };
            let mut reading = Reading::new(address, part);
            reading
                .read(stream, |search, bytes| {
                    let share = share.split(units(search.bytes()));
                    let share = share.expect("the share was reserved for all of them");
                    found((search.task, Ok(Sample { bytes, share })));
                })
                .await;
            rest.extend(reading.left());
        }
        rest
    }

    async fn open(
        &self,
        address: &str,
        samples: Vec<SampleKey>,
    ) -> Result<Streaming<ReadSamplesResponse>, Failure> {
        let mut client = self.client(address)?;
        let call = client.read_samples(ReadSamplesRequest { samples });
        match timeout(SILENCE, call).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(refused(address, &status)),
            Err(_) => Err(silent(address)),
        }
    }

    /// A connection for each watcher, made when first needed.
    fn client(&self, address: &str) -> Result<MediaServiceClient<Channel>, Failure> {
        let mut peers = self
            .peers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !peers.contains_key(address) {
            if peers.len() >= MOST_PEERS {
                peers.clear();
            }
            let peer = Peer::new(address, &self.credential).map_err(|error| {
                let cause = Cause::SourceUnavailable;
                Failure::new(cause, "BAD_ADDRESS", error.to_string())
            })?;
            peers.insert(address.to_owned(), peer);
        }
        let peer = peers.get(address).expect("it was put in above");
        Ok(MediaServiceClient::new(peer.channel()))
    }
}

/// One stream: its samples come one after the other.
struct Reading<'a> {
    address: &'a str,
    /// The searches by their place in the call, until they are found.
    searches: Vec<Option<Search>>,
    /// The sample that is coming, and its bytes so far.
    coming: Option<(usize, Vec<u8>)>,
    /// The first place that was not answered: samples come in the order asked, and each once, so
    /// that a stream ends however its sender behaves.
    next: usize,
    /// How long one sample may take.
    patience: Duration,
}

impl<'a> Reading<'a> {
    fn new(address: &'a str, searches: Vec<Search>) -> Self {
        Self {
            address,
            searches: searches.into_iter().map(Some).collect(),
            coming: None,
            next: 0,
            patience: PATIENCE,
        }
    }

    /// Reads to the end, or to the first sign that this watcher is not to be trusted.
    async fn read(
        &mut self,
        mut stream: impl Stream<Item = Result<ReadSamplesResponse, Status>> + Unpin,
        mut found: impl FnMut(Search, Vec<u8>),
    ) {
        let (mut since, mut place) = (Instant::now(), 0);
        loop {
            if place != self.next {
                (since, place) = (Instant::now(), self.next);
            }
            let deadline = since + self.patience;
            let silence = Instant::now() + SILENCE;
            let failure = match timeout_at(deadline.min(silence), stream.next()).await {
                Ok(Some(Ok(piece))) => match self.take(&piece, &mut found) {
                    // Whoever always has something to say is never silent.
                    Ok(()) if Instant::now() < deadline || place != self.next => continue,
                    Ok(()) => slow(self.address, self.patience),
                    Err(failure) => failure,
                },
                Ok(None) => {
                    let message = format!("{} ended its stream early", self.address);
                    let cut = Failure::new(Cause::SourceUnavailable, "STREAM_CUT", message);
                    for search in self.searches.iter_mut().flatten() {
                        search.unanswered(cut.clone());
                    }
                    return;
                }
                Ok(Some(Err(status))) => refused(self.address, &status),
                Err(_) if deadline < silence => slow(self.address, self.patience),
                Err(_) => silent(self.address),
            };
            for search in self.searches.iter_mut().flatten() {
                search.failed(failure.clone());
            }
            return;
        }
    }

    /// The searches that found nothing here.
    fn left(self) -> impl Iterator<Item = Search> {
        self.searches.into_iter().flatten()
    }

    /// Takes one piece in. Never more than the sample's length is held.
    fn take(
        &mut self,
        piece: &ReadSamplesResponse,
        found: &mut impl FnMut(Search, Vec<u8>),
    ) -> Result<(), Failure> {
        let index = piece.index as usize;
        let nonsense = || {
            let message = format!("{} sent a piece that nobody asked for", self.address);
            Failure::new(Cause::SourceUnavailable, "STREAM_MALFORMED", message)
        };
        let place = self.searches.get_mut(index).ok_or_else(nonsense)?;
        let Some(search) = place else {
            return Err(nonsense());
        };
        let another = self.coming.as_ref().is_some_and(|(of, _)| *of != index);
        let says_something = !piece.data.is_empty() || piece.last || !piece.error.is_empty();
        if index < self.next || another || !says_something {
            return Err(nonsense());
        }
        if piece.last || !piece.error.is_empty() {
            self.next = index + 1;
        }
        if !piece.error.is_empty() {
            let reason = reason_code(&piece.error);
            let message = format!("{} cannot serve the sample: {reason}", self.address);
            search.failed(Failure::new(Cause::SourceUnavailable, reason, message));
            self.coming = None;
            return Ok(());
        }
        let fresh = || (index, Vec::with_capacity(search.bytes()));
        let mut coming = self.coming.take().unwrap_or_else(fresh);
        if coming.1.len() + piece.data.len() > search.bytes() {
            let failure = search.verify(&[], self.address);
            let message = format!("{} sent more than the sample's length", self.address);
            search.failed(failure.err().unwrap_or_else(nonsense));
            return Err(Failure::new(
                Cause::SourceUnavailable,
                "STREAM_MALFORMED",
                message,
            ));
        }
        coming.1.extend_from_slice(&piece.data);
        if !piece.last {
            self.coming = Some(coming);
            return Ok(());
        }
        match search.verify(&coming.1, self.address) {
            Ok(()) => {
                if let Some(search) = place.take() {
                    found(search, coming.1);
                }
            }
            Err(failure) => search.failed(failure),
        }
        Ok(())
    }
}

/// The reason code that a watcher gave, if it is one.
fn reason_code(text: &str) -> &str {
    let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if (1..=63).contains(&text.len()) && text.bytes().all(allowed) {
        text
    } else {
        "SAMPLE_REFUSED"
    }
}

fn refused(address: &str, status: &Status) -> Failure {
    let reason = kit::code::reason(status).unwrap_or_else(|| "SOURCE_REFUSES".to_owned());
    let message = format!("{address}: {}", status.message());
    Failure::new(Cause::SourceUnavailable, reason_code(&reason), message)
}

fn silent(address: &str) -> Failure {
    let message = format!("{address} said nothing for {} s", SILENCE.as_secs());
    Failure::new(Cause::SourceUnavailable, "SOURCE_SILENT", message)
}

fn slow(address: &str, patience: Duration) -> Failure {
    let message = format!("{address} took more than {patience:?} for one sample");
    Failure::new(Cause::SourceUnavailable, "SOURCE_SLOW", message)
}

#[cfg(test)]
mod tests;
