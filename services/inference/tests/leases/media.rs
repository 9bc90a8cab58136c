//! A watcher that serves samples, well or badly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proto::media::v1 as wire;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::media_service_server::MediaService;

use crate::state::State;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Good,
    /// One byte of each sample is another.
    Corrupt,
    /// Half of each sample, called whole.
    Short,
    /// More than was asked for.
    Long,
    /// It has none of them.
    Missing,
    /// It ends the stream in the middle of the second sample.
    Cut,
    /// It sends pieces of samples that nobody asked for.
    Nonsense,
}

#[derive(Debug, Clone)]
pub(crate) struct Media {
    pub(crate) state: State,
    pub(crate) manner: Manner,
    pub(crate) calls: Arc<AtomicU32>,
    pub(crate) served: Arc<AtomicU32>,
}

impl Media {
    pub(crate) fn new(state: &State, manner: Manner) -> Self {
        Self {
            state: state.clone(),
            manner,
            calls: Arc::default(),
            served: Arc::default(),
        }
    }

    /// The pieces of one sample.
    fn pieces(&self, place: usize, key: &wire::SampleKey) -> Vec<wire::ReadSamplesResponse> {
        let index = usize::from_str_radix(&key.sha256, 16).unwrap();
        let mut bytes = self.state.entry(index).sample.to_vec();
        let mut index = u32::try_from(place).unwrap();
        match self.manner {
            Manner::Good => {}
            Manner::Corrupt => bytes[7] ^= 1,
            Manner::Short => bytes.truncate(bytes.len() / 2),
            Manner::Long => bytes.extend_from_slice(&[0; 4096]),
            Manner::Missing => {
                return vec![wire::ReadSamplesResponse {
                    index,
                    last: true,
                    error: "SAMPLE_NOT_FOUND".to_owned(),
                    ..wire::ReadSamplesResponse::default()
                }];
            }
            Manner::Cut if place == 1 => bytes.truncate(100),
            Manner::Cut => {}
            Manner::Nonsense => index += 1000,
        }
        let whole = !(self.manner == Manner::Cut && place == 1);
        let chunks: Vec<&[u8]> = bytes.chunks(4000).collect();
        let count = chunks.len();
        let piece = |(number, data): (usize, &[u8])| wire::ReadSamplesResponse {
            index,
            data: data.to_vec().into(),
            last: whole && number + 1 == count,
            error: String::new(),
        };
        chunks.into_iter().enumerate().map(piece).collect()
    }
}

#[tonic::async_trait]
impl MediaService for Media {
    type ReadStream = ReceiverStream<Result<wire::ReadResponse, Status>>;
    type ReadSamplesStream = ReceiverStream<Result<wire::ReadSamplesResponse, Status>>;
    type WatchProgressStream = ReceiverStream<Result<wire::WatchProgressResponse, Status>>;

    async fn read_samples(
        &self,
        request: Request<wire::ReadSamplesRequest>,
    ) -> Result<Response<Self::ReadSamplesStream>, Status> {
        let samples = request.into_inner().samples;
        self.calls.fetch_add(1, Ordering::SeqCst);
        if samples.is_empty() || samples.len() > 256 {
            self.state
                .lock()
                .violation(format!("{} samples in one call", samples.len()));
        }
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        let media = self.clone();
        tokio::runtime::Handle::current().spawn(async move {
            for (place, key) in samples.iter().enumerate() {
                for piece in media.pieces(place, key) {
                    if sender.send(Ok(piece)).await.is_err() {
                        return;
                    }
                }
                media.served.fetch_add(1, Ordering::SeqCst);
                if media.manner == Manner::Cut && place == 1 {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn read(
        &self,
        _: Request<wire::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        Err(Status::unimplemented("no node calls this"))
    }
    async fn rescan(
        &self,
        _: Request<wire::RescanRequest>,
    ) -> Result<Response<wire::RescanResponse>, Status> {
        Err(Status::unimplemented("no node calls this"))
    }
    async fn watch_progress(
        &self,
        _: Request<wire::WatchProgressRequest>,
    ) -> Result<Response<Self::WatchProgressStream>, Status> {
        Err(Status::unimplemented("no node calls this"))
    }
}
