//! The device thread: runs one batch after the other, and between two of them whatever somebody
//! waits for. One batch may lie ready while another runs, so the device never waits for it.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kit::trace::TraceContext;
use tokio::sync::{mpsc, oneshot};

use super::decoders::Row;
use super::task::Task;
use crate::batch::{Batch, Outputs};
use crate::error::{Error, Result};
use crate::session::{Canceller, Session};

/// A device without work gives its buffers back after this.
const IDLE: Duration = Duration::from_secs(10);
/// Rows that may wait out of turn.
const MOST_URGENT: usize = 64;

/// What runs batches: a [`Session`].
pub trait Run: Send + 'static {
    /// See [`Session::run`].
    ///
    /// # Errors
    /// As there.
    fn run(&mut self, batch: &mut Batch) -> Result<Outputs>;

    /// See [`Session::batch`].
    fn batch(&self, capacity: usize) -> Batch;

    /// Stops the run in progress from another thread; `None` if that cannot be done.
    fn canceller(&self) -> Option<Canceller> {
        None
    }
}

impl Run for Session {
    fn run(&mut self, batch: &mut Batch) -> Result<Outputs> {
        Self::run(self, batch)
    }
    fn batch(&self, capacity: usize) -> Batch {
        Self::batch(self, capacity)
    }
    fn canceller(&self) -> Option<Canceller> {
        Some(Self::canceller(self))
    }
}

/// A batch and whose it is, row by row.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) batch: Batch,
    pub(super) tasks: Vec<Task>,
}

/// A task with its output row, or why it has none.
type Outcome = (Task, Result<Vec<f32>>);

/// A batch that was run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) batch: Batch,
    /// What came of each task.
    pub(super) rows: Vec<Outcome>,
    /// Time on the device.
    pub(super) time: Duration,
    /// Nothing at all runs any more, not even a blank picture: the node is at fault, not the
    /// pictures.
    pub(super) sick: bool,
}

/// A row that somebody waits for.
struct Urgent {
    row: Row,
    reply: oneshot::Sender<Result<Vec<f32>>>,
}

#[derive(Default)]
struct Inbox {
    urgent: VecDeque<Urgent>,
    /// At most two: one of them is about to be taken.
    ready: VecDeque<Filled>,
    probe: Option<oneshot::Sender<bool>>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    work: Condvar,
}

/// The device, as the loop sees it.
pub(super) struct Engine {
    shared: Arc<Shared>,
    canceller: Option<Canceller>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Moves `run` to a thread of its own. Finished batches go to `done`; at most two are ever
    /// under way, so that it need not be bounded.
    pub(super) fn start(run: impl Run, done: mpsc::UnboundedSender<Ran>) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let canceller = run.canceller();
        let mut device = Device {
            run,
            shared: Arc::clone(&shared),
            single: None,
        };
        let thread = kit::Tasks::spawn_thread("device", move || device.serve(&done))?;
        Ok(Self {
            shared,
            canceller,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Ends the thread and with it the session; blocks while a run is in progress. Libraries under
    /// a session must not find it alive when the process ends.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A panic of the thread has been logged where it happened.
        let _ = thread.map(JoinHandle::join);
    }

    /// Hands over the next batch.
    pub(super) fn submit(&self, filled: Filled) {
        self.shared.lock().ready.push_back(filled);
        self.shared.work.notify_one();
    }

    /// Takes back the batches whose run has not begun, and says how many.
    pub(super) fn take_back(&self) -> usize {
        let waiting = std::mem::take(&mut self.shared.lock().ready);
        waiting.len()
    }

    /// Runs one row before all batches that wait; `None` if too many wait so already.
    pub(super) fn submit_urgent(&self, row: Row) -> Option<oneshot::Receiver<Result<Vec<f32>>>> {
        let (reply, answer) = oneshot::channel();
        let mut inbox = self.shared.lock();
        if inbox.closed || inbox.urgent.len() >= MOST_URGENT {
            return None;
        }
        inbox.urgent.push_back(Urgent { row, reply });
        drop(inbox);
        self.shared.work.notify_one();
        Some(answer)
    }

    /// Rows that wait out of turn.
    pub(super) fn waiting(&self) -> usize {
        self.shared.lock().urgent.len()
    }

    /// Whether a blank picture runs.
    pub(super) async fn probe(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.shared.lock().probe = Some(reply);
        self.shared.work.notify_one();
        answer.await.unwrap_or(false)
    }

    /// Stops the run in progress, for good.
    pub(super) fn cancel(&self) {
        if let Some(canceller) = &self.canceller {
            canceller.cancel();
        }
    }
}

impl Drop for Engine {
    /// The thread ends after the run in progress.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    /// Whole after every statement, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread is to do next.
enum Work {
    Urgent(Vec<Urgent>),
    Ready(Filled),
    Probe(oneshot::Sender<bool>),
}

struct Device<R> {
    run: R,
    shared: Arc<Shared>,
    /// Room for one picture, kept while there is work.
    single: Option<Batch>,
}

impl<R: Run> Device<R> {
    fn serve(&mut self, done: &mpsc::UnboundedSender<Ran>) {
        while let Some(work) = self.next() {
            match work {
                Work::Urgent(urgent) => self.answer(urgent),
                Work::Ready(filled) => {
                    let ran = self.run_batch(filled);
                    if done.send(ran).is_err() {
                        return;
                    }
                }
                Work::Probe(reply) => {
                    // Who asked may have left.
                    let _ = reply.send(self.blank_runs());
                }
            }
        }
    }

    /// Who waits comes first, then the batch.
    fn next(&mut self) -> Option<Work> {
        let shared = Arc::clone(&self.shared);
        let mut inbox = shared.lock();
        loop {
            if inbox.closed {
                return None;
            }
            if !inbox.urgent.is_empty() {
                return Some(Work::Urgent(inbox.urgent.drain(..).collect()));
            }
            if let Some(filled) = inbox.ready.pop_front() {
                return Some(Work::Ready(filled));
            }
            if let Some(probe) = inbox.probe.take() {
                return Some(Work::Probe(probe));
            }
            let (woken, wait) = shared
                .work
                .wait_timeout(inbox, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            inbox = woken;
            if wait.timed_out() && self.single.is_some() {
                drop(inbox);
                self.single = None;
                kit::memory::release();
                inbox = shared.lock();
            }
        }
    }

    fn run_batch(&mut self, filled: Filled) -> Ran {
        let Filled { mut batch, tasks } = filled;
        // A batch mixes files, so its run is a trace of its own that names theirs.
        let trace = TraceContext::new_root();
        let linked: Vec<String> = tasks.iter().map(|task| task.trace.trace_id()).collect();
        let started = Instant::now();
        let outcome = self.run_caught(&mut batch);
        let time = started.elapsed();
        tracing::debug!(
            trace_id = trace.trace_id(),
            batch.pictures = tasks.len(),
            batch.links = linked.join(","),
            run.duration_ms = time.as_secs_f64() * 1e3,
            "run"
        );
        let (rows, sick) = match outcome {
            Ok(outputs) => {
                let rows = tasks.into_iter().zip(outputs.rows());
                (rows.map(|(t, row)| (t, Ok(row.to_vec()))).collect(), false)
            }
            Err(Error::RunCancelled) => {
                let cancelled = |task| (task, Err(Error::RunCancelled));
                (tasks.into_iter().map(cancelled).collect(), false)
            }
            Err(error) => self.isolate(&batch, tasks, &error),
        };
        Ran {
            batch,
            rows,
            time,
            sick,
        }
    }

    /// A panic is a failed run like any other: without this thread, nobody would ever hear what
    /// became of its tasks. What the panic left of the session shows in the runs that follow.
    fn run_caught(&mut self, batch: &mut Batch) -> Result<Outputs> {
        catch_unwind(AssertUnwindSafe(|| self.run.run(batch)))
            .unwrap_or_else(|_| Err(Error::run("the run panicked")))
    }

    /// Finds out who is to blame for a batch that failed: one picture must not take the others
    /// with it, and a broken device must not fail the library.
    fn isolate(&mut self, batch: &Batch, tasks: Vec<Task>, error: &Error) -> (Vec<Outcome>, bool) {
        tracing::warn!(
            error.reason = error.reason(),
            batch.pictures = tasks.len(),
            "{error}"
        );
        let rows: Vec<_> = if tasks.len() == 1 {
            tasks
                .into_iter()
                .map(|task| (task, Err(error.again())))
                .collect()
        } else {
            let alone = |(index, task)| (task, self.run_one(batch.slice(index, 1)));
            tasks.into_iter().enumerate().map(alone).collect()
        };
        let sick = rows.iter().all(|(_, outcome)| outcome.is_err()) && !self.blank_runs();
        (rows, sick)
    }

    fn run_one(&mut self, row: &[f32]) -> Result<Vec<f32>> {
        let mut single = self.single.take().unwrap_or_else(|| self.run.batch(1));
        single.clear();
        single.push(|slot| {
            slot.copy_from_slice(row);
            Ok::<_, Error>(())
        });
        let outcome = self.run_caught(&mut single);
        self.single = Some(single);
        Ok(outcome?.row(0).unwrap_or_default().to_vec())
    }

    fn blank_runs(&mut self) -> bool {
        let blank = vec![0.0; self.run.batch(1).row()];
        self.run_one(&blank).is_ok()
    }

    /// One by one: whoever waits first is answered first, and a failure is his own.
    fn answer(&mut self, urgent: Vec<Urgent>) {
        for Urgent { row, reply } in urgent {
            if !reply.is_closed() {
                // Who asked may have left while it ran.
                let _ = reply.send(self.run_one(&row.values));
            }
        }
    }
}
