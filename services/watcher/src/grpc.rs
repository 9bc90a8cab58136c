//! The door: MediaService.

use std::{pin::Pin, sync::Arc, time::Duration};

use kit::{Scope, Shutdown, Tasks, code, hex};
use proto::media::v1::{
    ReadHeader, ReadRequest, ReadResponse, ReadSamplesRequest, ReadSamplesResponse, Rendition,
    RescanRequest, RescanResponse, WatchProgressRequest, WatchProgressResponse,
    media_service_server::{MediaService, MediaServiceServer},
};
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use crate::{
    Error,
    board::{Board, Progress},
    dirty::Dirty,
    known::Sha256,
    media::{Media, Original},
    renditions::Kind,
};

/// Bytes in one message.
const PIECE: usize = 256 << 10;
/// Messages made ahead of the client.
const AHEAD: usize = 2;
/// Samples in one call.
const MOST_SAMPLES: usize = 256;
/// How often to tell of progress, at most.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Scopes of the methods.
pub(crate) const SCOPES: &[(&str, Scope)] = &[
    ("/kumo.media.v1.MediaService/Read", Scope::Read),
    ("/kumo.media.v1.MediaService/ReadSamples", Scope::Read),
    ("/kumo.media.v1.MediaService/WatchProgress", Scope::Read),
    ("/kumo.media.v1.MediaService/Rescan", Scope::Write),
];

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// MediaService over the parts of this watcher.
#[derive(Debug)]
pub(crate) struct Door {
    media: Media,
    board: Board,
    dirty: Arc<Dirty>,
    tasks: Tasks,
    shutdown: Shutdown,
}

impl Door {
    /// The service.
    #[must_use]
    pub(crate) fn service(
        media: Media,
        board: Board,
        dirty: Arc<Dirty>,
        tasks: Tasks,
        shutdown: Shutdown,
    ) -> MediaServiceServer<Self> {
        MediaServiceServer::new(Self {
            media,
            board,
            dirty,
            tasks,
            shutdown,
        })
    }

    /// Runs something that sends messages, until it is done, the client leaves, or the shutdown
    /// begins.
    fn stream<T, F, Fut>(&self, name: &'static str, work: F) -> Response<Answers<T>>
    where
        T: Send + 'static,
        F: FnOnce(Sender<Result<T, Status>>) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let gone = sender.clone();
        let (work, shutdown) = (work(sender), self.shutdown.clone());
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = work => {}
                () = gone.closed() => {}
                () = shutdown.begun() => {}
            }
        });
        Response::new(Box::pin(ReceiverStream::new(receiver)))
    }
}

#[tonic::async_trait]
impl MediaService for Door {
    type ReadStream = Answers<ReadResponse>;
    type ReadSamplesStream = Answers<ReadSamplesResponse>;
    type WatchProgressStream = Answers<WatchProgressResponse>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let (source, header) = open(&self.media, &request)
            .await
            .map_err(|error| code::status(&error))?;
        let bytes = header.byte_size;
        if request.offset > bytes {
            let offset = request.offset;
            return Err(code::status(&Error::BehindTheEnd { offset, bytes }));
        }
        let left = bytes - request.offset;
        let length = if request.length == 0 {
            left
        } else {
            left.min(request.length)
        };
        let (media, offset) = (self.media.clone(), request.offset);
        Ok(self.stream("read", move |out| async move {
            let first = ReadResponse {
                header: Some(header),
                data: Vec::new().into(),
            };
            if out.send(Ok(first)).await.is_ok() {
                send(&media, &source, offset, length, &out).await;
            }
        }))
    }

    async fn read_samples(
        &self,
        request: Request<ReadSamplesRequest>,
    ) -> Result<Response<Self::ReadSamplesStream>, Status> {
        let samples = request.into_inner().samples;
        if samples.len() > MOST_SAMPLES {
            return Err(code::status(&Error::TooManySamples {
                got: samples.len(),
                most: MOST_SAMPLES,
            }));
        }
        let keys = samples
            .iter()
            .map(|key| Ok((sha256(&key.sha256)?, key.render_revision)))
            .collect::<Result<Vec<_>, Error>>()
            .map_err(|error| code::status(&error))?;
        let media = self.media.clone();
        Ok(self.stream("read samples", move |out| async move {
            for (index, (sha256, revision)) in (0_u32..).zip(keys) {
                let sample = media.rendition(Kind::Sample, &sha256, Some(revision)).await;
                if send_sample(index, sample, &out).await.is_none() {
                    return;
                }
            }
        }))
    }

    async fn rescan(&self, _: Request<RescanRequest>) -> Result<Response<RescanResponse>, Status> {
        self.dirty.tell(|news| {
            news.rescan = true;
            // At once, so that a caller who then watches the progress sees a scan.
            self.board.update(|progress| progress.scanning = true);
        });
        Ok(Response::new(RescanResponse {}))
    }

    async fn watch_progress(
        &self,
        _: Request<WatchProgressRequest>,
    ) -> Result<Response<Self::WatchProgressStream>, Status> {
        let mut progress = self.board.progress.subscribe();
        Ok(self.stream("watch progress", move |out| async move {
            loop {
                let now = progress.borrow_and_update().clone();
                if out.send(Ok(told(&now))).await.is_err() {
                    return;
                }
                tokio::time::sleep(TELL_EVERY).await;
                if progress.changed().await.is_err() {
                    return;
                }
            }
        }))
    }
}

/// What is being streamed.
enum Bytes {
    Original(Original),
    Rendition(bytes::Bytes),
}

async fn open(media: &Media, request: &ReadRequest) -> Result<(Bytes, ReadHeader), Error> {
    let sha256 = sha256(&request.sha256)?;
    let rendition = Rendition::try_from(request.rendition)
        .map_err(|_| Error::BadRendition(request.rendition))?;
    let kind = match rendition {
        Rendition::Original => {
            let (original, media_type) = media.original(&sha256).await?;
            let byte_size = original.bytes();
            let header = ReadHeader {
                media_type,
                byte_size,
            };
            return Ok((Bytes::Original(original), header));
        }
        Rendition::Unspecified | Rendition::Sample => Kind::Sample,
        Rendition::Preview => Kind::Preview,
    };
    let bytes = bytes::Bytes::from(media.rendition(kind, &sha256, None).await?);
    let header = ReadHeader {
        media_type: "image/jpeg".to_owned(),
        byte_size: bytes.len() as u64,
    };
    Ok((Bytes::Rendition(bytes), header))
}

async fn send(
    media: &Media,
    source: &Bytes,
    mut offset: u64,
    mut length: u64,
    out: &Sender<Result<ReadResponse, Status>>,
) {
    while length > 0 {
        let piece = usize::try_from(length).unwrap_or(PIECE).min(PIECE);
        let data = match source {
            Bytes::Original(original) => match media.piece(original, offset, piece).await {
                Ok(data) => bytes::Bytes::from(data),
                Err(error) => {
                    // If the client has left, nobody wants to know.
                    let _ = out.send(Err(code::status(&error))).await;
                    return;
                }
            },
            Bytes::Rendition(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                bytes.slice(start..(start + piece).min(bytes.len()))
            }
        };
        if data.is_empty() {
            return;
        }
        offset += data.len() as u64;
        length -= data.len() as u64;
        if out
            .send(Ok(ReadResponse { header: None, data }))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Sends one sample, or why there is none. `None` if the client has left.
async fn send_sample(
    index: u32,
    sample: Result<Vec<u8>, Error>,
    out: &Sender<Result<ReadSamplesResponse, Status>>,
) -> Option<()> {
    let message = |data, last, error: &str| ReadSamplesResponse {
        index,
        data,
        last,
        error: error.to_owned(),
    };
    let bytes = match sample {
        Ok(bytes) => bytes::Bytes::from(bytes),
        Err(error) => {
            let status = code::status(&error);
            tracing::warn!("a sample cannot be served: {}", status.message());
            let reason = sample_reason(&error);
            return out
                .send(Ok(message(bytes::Bytes::new(), true, reason)))
                .await
                .ok();
        }
    };
    let mut start = 0;
    while start < bytes.len() {
        let end = (start + PIECE).min(bytes.len());
        let piece = message(bytes.slice(start..end), end == bytes.len(), "");
        out.send(Ok(piece)).await.ok()?;
        start = end;
    }
    Some(())
}

/// To a node, a content that is not here is a sample that is not here.
fn sample_reason(error: &Error) -> &'static str {
    match error {
        Error::NoSuchContent(_) => "SAMPLE_NOT_FOUND",
        other => kit::Fault::reason(other),
    }
}

fn sha256(text: &str) -> Result<Sha256, Error> {
    hex::decode(text).ok_or_else(|| Error::BadHash(text.chars().take(100).collect()))
}

fn told(progress: &Progress) -> WatchProgressResponse {
    WatchProgressResponse {
        scanning: progress.scanning,
        first_scan_done: progress.first_scan_done,
        scanned: progress.scanned,
        pending: progress.pending,
        registered: progress.registered,
        failed: progress.failed,
        waiting_for: progress.waiting_for.to_owned(),
    }
}
