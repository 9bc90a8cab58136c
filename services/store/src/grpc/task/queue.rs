//! What people do with the queue: list, retry, pause, resume.

use prost::Message;
use proto::store::v1::{
    ListTasksRequest, ListTasksResponse, RetryTasksRequest, RetryTasksResponse, Task, TaskState,
};
use store_core::{
    ModelId, ModelKind, Now, Store, TaskId, Write,
    ingest_failure::IngestFailure,
    task::{self, TaskState as State},
};

use super::super::{
    ANSWER, at_most,
    location::Roots,
    model,
    page::{self, Place},
    timestamp,
};
use crate::{Error, engine::Engine};

/// Tasks looked at in one request of a group.
const SLICE: u32 = 100;
/// Most names in one RetryTasks.
const MAX_NAMES: usize = 1_000;

/// A page of the list: tasks first, then files that failed at ingest.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    state: Option<State>,
    size: u32,
    from: Part,
}

/// What is listed from where.
#[derive(Debug, Clone, Copy)]
enum Part {
    Tasks { after: TaskId },
    Failures { after: u64 },
}

impl List {
    pub(super) fn read(request: &ListTasksRequest) -> Result<Self, Error> {
        let state = match TaskState::try_from(request.state) {
            Ok(TaskState::Unspecified) => None,
            Ok(TaskState::Queued) => Some(State::Queued),
            Ok(TaskState::Leased) => Some(State::Leased),
            Ok(TaskState::Parked) => Some(State::Parked),
            Ok(TaskState::Failed) => Some(State::Failed),
            Err(_) => return Err(Error::field("state", &request.state, "a TaskState")),
        };
        let size = page::size(request.page_size, 100, 1_000)?;
        let mut list = Self {
            state,
            size,
            from: Part::Tasks { after: 0 },
        };
        if let Some(Place { list: tag, after }) = Place::read(&request.page_token)? {
            let (tasks, failures) = (Part::Tasks { after }, Part::Failures { after });
            let known = [tasks, failures];
            let part = known.into_iter().find(|&part| list.tag(part) == tag);
            list.from = part.ok_or_else(|| page::bad(&request.page_token))?;
        }
        Ok(list)
    }

    /// The tokens of lists of other states are refused.
    fn tag(self, part: Part) -> [u8; 6] {
        let state = self.state.map_or(b'*', |state| b'0' + state as u8);
        match part {
            Part::Tasks { .. } => [b't', b'a', b's', b'k', 0, state],
            Part::Failures { .. } => [b'f', b'a', b'i', b'l', 0, state],
        }
    }

    pub(super) fn page(self, store: &Store, now: Now) -> Result<ListTasksResponse, Error> {
        let roots = Roots::read(store, now)?;
        let mut page = Page {
            tasks: Vec::new(),
            bytes: 0,
            next: None,
        };
        let mut failures_after = match self.from {
            Part::Tasks { after } => {
                self.tasks(store, after, &roots, &mut page)?;
                0
            }
            Part::Failures { after } => after,
        };
        while page.next.is_none() && self.with_failures() {
            let found = store.ingest_failures(failures_after, self.size)?;
            for failure in &found {
                let part = Part::Failures {
                    after: failures_after,
                };
                let wanted = self
                    .state
                    .is_none_or(|state| state == failed_state(failure));
                if wanted && !page.add(self, part, || Ok(failed_file(failure, &roots)))? {
                    break;
                }
                failures_after = failure.id;
            }
            if found.len() < self.size as usize {
                break;
            }
        }
        Ok(ListTasksResponse {
            tasks: page.tasks,
            next_page_token: page.next.map_or_else(String::new, |part| {
                let (Part::Tasks { after } | Part::Failures { after }) = part;
                let list = self.tag(part);
                Place { list, after }.token()
            }),
        })
    }

    fn tasks(
        self,
        store: &Store,
        mut after: TaskId,
        roots: &Roots,
        page: &mut Page,
    ) -> Result<(), Error> {
        for task in store.tasks(self.state, after, self.size + 1)? {
            let part = Part::Tasks { after };
            if !page.add(self, part, || message(store, &task, roots))? {
                break;
            }
            after = task.id;
        }
        Ok(())
    }

    /// Failures of ingest are failed, or queued while they are tried again.
    fn with_failures(self) -> bool {
        matches!(self.state, None | Some(State::Failed | State::Queued))
    }
}

struct Page {
    tasks: Vec<Task>,
    bytes: usize,
    next: Option<Part>,
}

impl Page {
    /// Adds an item, or notes that the next page begins after `before`. False if it is full.
    fn add(
        &mut self,
        list: List,
        before: Part,
        item: impl FnOnce() -> Result<Task, Error>,
    ) -> Result<bool, Error> {
        if self.tasks.len() >= list.size as usize || self.bytes > ANSWER / 2 {
            self.next = Some(before);
            return Ok(false);
        }
        let item = item()?;
        self.bytes += item.encoded_len();
        self.tasks.push(item);
        Ok(true)
    }
}

fn message(store: &Store, task: &task::Task, roots: &Roots) -> Result<Task, Error> {
    let locations = store.locations(task.post, 1)?;
    let kind = store.model(task.model)?.kind;
    let path = locations
        .first()
        .map(|l| roots.display(l.found.root, &l.found.path));
    Ok(Task {
        name: format!("tasks/{}", task.id),
        kind: model::kind_message(kind).into(),
        state: state_message(task.state).into(),
        post: format!("posts/{}", task.post),
        model: format!("models/{}", task.model),
        display_path: path.unwrap_or_default(),
        attempt: u32::from(task.attempts),
        crashes: u32::from(task.crashes),
        reason: task.reason.clone(),
        message: task.message.clone(),
        node: task.node.clone(),
        create_time: timestamp(task.created_ms),
        update_time: timestamp(task.updated_ms),
    })
}

fn failed_file(failure: &IngestFailure, roots: &Roots) -> Task {
    let reported = &failure.reported;
    Task {
        name: format!("ingestFailures/{}", failure.id),
        state: state_message(failed_state(failure)).into(),
        display_path: roots.display(reported.root, &reported.path),
        reason: reported.reason.clone(),
        message: reported.message.clone(),
        create_time: timestamp(failure.created_ms),
        update_time: timestamp(failure.updated_ms),
        ..Task::default()
    }
}

fn failed_state(failure: &IngestFailure) -> State {
    if failure.retrying {
        State::Queued
    } else {
        State::Failed
    }
}

fn state_message(state: State) -> TaskState {
    match state {
        State::Queued => TaskState::Queued,
        State::Leased => TaskState::Leased,
        State::Parked => TaskState::Parked,
        State::Failed => TaskState::Failed,
    }
}

/// A failed task or file by its name.
#[derive(Debug, Clone, Copy)]
enum Failed {
    Task(TaskId),
    File(u64),
}

impl Failed {
    fn read(name: &str) -> Result<Self, Error> {
        if name.starts_with("ingestFailures/") {
            return Ok(Self::File(kit::id::parse("ingestFailures/", name)?));
        }
        Ok(Self::Task(kit::id::parse("tasks/", name)?))
    }

    fn retry(self, write: &mut Write<'_>, now: Now) -> Result<bool, store_core::Error> {
        match self {
            Self::Task(id) => write.retry_task(id, now),
            Self::File(id) => write.retry_ingest(id, now),
        }
    }
}

/// Puts what failed back: what is named, or everything with that reason.
pub(super) async fn retry(
    engine: &Engine,
    request: RetryTasksRequest,
) -> Result<RetryTasksResponse, Error> {
    let RetryTasksRequest {
        names,
        all_failed,
        reason,
    } = request;
    at_most("names", names.len(), MAX_NAMES)?;
    match (names.is_empty(), all_failed) {
        (false, false) if !reason.is_empty() => Err(Error::field(
            "reason",
            &reason,
            "it goes with all_failed only",
        )),
        (false, false) => retry_named(engine, &names).await,
        (true, true) => {
            let tasks = retry_all(engine, &reason, failed_tasks, Failed::Task).await?;
            let files = retry_all(engine, &reason, failed_files, Failed::File).await?;
            Ok(RetryTasksResponse {
                retried: tasks + files,
                skipped: Vec::new(),
            })
        }
        (true, false) | (false, true) => Err(Error::field(
            "names",
            &names.len(),
            "either names, or all_failed",
        )),
    }
}

async fn retry_named(engine: &Engine, names: &[String]) -> Result<RetryTasksResponse, Error> {
    let failed: Vec<Failed> = names
        .iter()
        .map(|name| Failed::read(name))
        .collect::<Result<_, _>>()?;
    let mut response = RetryTasksResponse::default();
    let slices = failed.chunks(SLICE as usize);
    for (slice, names) in slices.zip(names.chunks(SLICE as usize)) {
        let slice = slice.to_vec();
        let write = engine.write(move |write, now| {
            let retry = |failed: &Failed| failed.retry(write, now);
            slice.iter().map(retry).collect::<Result<Vec<bool>, _>>()
        });
        for (done, name) in write.await?.into_iter().zip(names) {
            if done {
                response.retried += 1;
            } else {
                response.skipped.push(name.clone());
            }
        }
    }
    Ok(response)
}

/// Numbers and reasons of a slice of what failed, behind a number.
type Slice = fn(&Store, u64) -> Result<Vec<(u64, String)>, store_core::Error>;

fn failed_tasks(store: &Store, after: u64) -> Result<Vec<(u64, String)>, store_core::Error> {
    let tasks = store.tasks(Some(State::Failed), after, SLICE)?.into_iter();
    Ok(tasks.map(|task| (task.id, task.reason)).collect())
}

fn failed_files(store: &Store, after: u64) -> Result<Vec<(u64, String)>, store_core::Error> {
    let files = store.ingest_failures(after, SLICE)?.into_iter();
    Ok(files.map(|file| (file.id, file.reported.reason)).collect())
}

async fn retry_all(
    engine: &Engine,
    reason: &str,
    slice: Slice,
    failed: fn(u64) -> Failed,
) -> Result<u64, Error> {
    let (mut retried, mut after) = (0, 0);
    loop {
        let reason = reason.to_owned();
        let write = engine.write(move |write, now| {
            let found = slice(write, after)?;
            let mut done = 0;
            for (id, why) in &found {
                if (reason.is_empty() || *why == reason) && failed(*id).retry(write, now)? {
                    done += 1;
                }
            }
            let more = found.len() == SLICE as usize;
            Ok((done, found.last().map(|(id, _)| *id).filter(|_| more)))
        });
        let (done, next): (u64, Option<u64>) = write.await?;
        retried += done;
        match next {
            Some(next) => after = next,
            None => return Ok(retried),
        }
    }
}

/// Pauses or resumes all models of a kind, or all.
pub(super) fn pause(
    write: &mut Write<'_>,
    kind: Option<ModelKind>,
    paused: bool,
    now: Now,
) -> Result<(), store_core::Error> {
    let models = write.models()?;
    let concerned = |m: &&store_core::model::Model| {
        m.paused != paused && kind.is_none_or(|kind| m.kind == kind)
    };
    let ids: Vec<ModelId> = models.iter().filter(concerned).map(|m| m.id).collect();
    ids.into_iter()
        .try_for_each(|id| write.pause_model(id, paused, now))
}

/// Lets a node lease again.
pub(super) fn resume_node(
    write: &mut Write<'_>,
    node: &str,
    now: Now,
) -> Result<(), store_core::Error> {
    let name = node.strip_prefix("nodes/").unwrap_or(node);
    if !write.nodes(now)?.iter().any(|n| n.announced.name == name) {
        return Err(store_core::Error::NotFound {
            noun: "node",
            name: name.to_owned(),
        });
    }
    write.pause_node(name, false, now)
}
