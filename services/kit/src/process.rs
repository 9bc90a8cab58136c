//! What this process tells about itself: `kumo.node.v1.ProcessService`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use proto::node::v1::{
    GetProcessRequest, GetProcessResponse, Memory, MemoryPart, Notice,
    process_service_server::ProcessService,
};
use tonic::{Request, Response, Status};

use crate::{
    health::Health,
    memory::{Parts, Resident},
};

/// Facts about this process, and what its parts want to be known.
#[derive(Debug, Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    role: &'static str,
    instance: String,
    incarnation: u64,
    started: Instant,
    parts: Parts,
    notices: Mutex<BTreeMap<&'static str, String>>,
    health: Health,
}

impl Process {
    /// A process of this role and instance that starts now.
    #[must_use]
    pub fn new(role: &'static str, instance: String, health: Health) -> Self {
        Self {
            inner: Arc::new(Inner {
                role,
                instance,
                incarnation: new_incarnation(),
                started: Instant::now(),
                parts: Parts::default(),
                notices: Mutex::default(),
                health,
            }),
        }
    }

    /// Role: `store`, `watcher`, `tagger`…
    #[must_use]
    pub fn role(&self) -> &'static str {
        self.inner.role
    }

    /// Name of this instance.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// Number of this start; another one at every start.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.inner.incarnation
    }

    /// Names a part of the memory; `count` gives its bytes and must not block.
    pub fn memory_part(&self, name: &'static str, count: impl Fn() -> u64 + Send + Sync + 'static) {
        self.inner.parts.add(name, count);
    }

    /// Tells people something, under a code such as `LANDLOCK_MISSING`; again replaces it.
    pub fn notice(&self, code: &'static str, message: impl Into<String>) {
        self.notices().insert(code, message.into());
    }

    /// Takes a notice back.
    pub fn clear_notice(&self, code: &'static str) {
        self.notices().remove(code);
    }

    fn notices(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.inner
            .notices
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self) -> GetProcessResponse {
        let reasons = self.inner.health.reasons();
        GetProcessResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: self.inner.role.to_owned(),
            instance: self.inner.instance.clone(),
            incarnation: self.inner.incarnation,
            uptime: self.inner.started.elapsed().try_into().ok(),
            pid: std::process::id(),
            ready: reasons.is_empty(),
            not_ready_reasons: reasons,
            memory: Resident::read().ok().map(|resident| Memory {
                rss_bytes: resident.rss,
                anonymous_bytes: resident.anonymous,
                file_bytes: resident.file,
                shared_bytes: resident.shared,
                peak_rss_bytes: resident.peak,
                parts: self.parts(),
            }),
            notices: self
                .notices()
                .iter()
                .map(|(code, message)| Notice {
                    code: (*code).to_owned(),
                    message: message.clone(),
                })
                .collect(),
        }
    }

    fn parts(&self) -> Vec<MemoryPart> {
        let part = |(name, bytes): (&str, u64)| MemoryPart {
            name: name.to_owned(),
            bytes,
        };
        self.inner.parts.read().into_iter().map(part).collect()
    }
}

/// Random in its low half, so that it never repeats; time in its high half, so that logs sort.
fn new_incarnation() -> u64 {
    let since_1970 = SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_secs();
    let mut random = [0; 4];
    if getrandom::fill(&mut random).is_err() {
        random = std::process::id().to_le_bytes();
    }
    (since_1970 & 0x7fff_ffff) << 32 | u64::from(u32::from_le_bytes(random))
}

#[tonic::async_trait]
impl ProcessService for Process {
    async fn get_process(
        &self,
        _: Request<GetProcessRequest>,
    ) -> Result<Response<GetProcessResponse>, Status> {
        Ok(Response::new(self.describe()))
    }
}
