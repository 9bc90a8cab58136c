//! One named thread that owns one value which blocks or cannot be shared, behind a bounded queue.

use std::io;

use tokio::sync::{mpsc, oneshot};

use crate::{
    code::{Code, Fault},
    tasks::Tasks,
};

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A handle on the thread. Clones share it; when the last one is dropped, the thread drops the
/// value and ends.
#[derive(Debug)]
pub struct Worker<T> {
    name: &'static str,
    queue: mpsc::Sender<Job<T>>,
}

impl<T> Clone for Worker<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            queue: self.queue.clone(),
        }
    }
}

/// Why a call was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many calls wait already.
    #[error("{0} is busy: its queue is full")]
    Full(&'static str),
    /// The thread has ended, by shutdown or because a call panicked.
    #[error("{0} has stopped")]
    Gone(&'static str),
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Full(_) => Code::ResourceExhausted,
            Self::Gone(_) => Code::Unavailable,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::Full(_) => "QUEUE_FULL",
            Self::Gone(_) => "WORKER_GONE",
        }
    }
}

impl<T: 'static> Worker<T> {
    /// Starts the thread; `make` builds the value on it. At most `capacity` calls wait.
    ///
    /// # Errors
    /// What `make` answers, or the system's refusal of a thread.
    pub async fn spawn<E, F>(name: &'static str, capacity: usize, make: F) -> Result<Self, E>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        E: From<io::Error> + Send + 'static,
    {
        let (queue, mut jobs) = mpsc::channel::<Job<T>>(capacity);
        let (made, answer) = oneshot::channel();
        Tasks::spawn_thread(name, move || {
            let mut value = match make() {
                Ok(value) => {
                    // The caller may have left; then the queue is closed and the loop ends.
                    let _ = made.send(Ok(()));
                    value
                }
                Err(error) => {
                    let _ = made.send(Err(error));
                    return;
                }
            };
            while let Some(job) = jobs.blocking_recv() {
                job(&mut value);
            }
        })?;
        match answer.await {
            Ok(made) => made.map(|()| Self { name, queue }),
            Err(_) => Err(io::Error::other(format!("{name} panicked while starting")).into()),
        }
    }

    /// Runs `work` on the thread and waits for its answer. If the caller leaves before its turn
    /// comes, the work is dropped.
    ///
    /// # Errors
    /// [`Error::Full`] at once if the queue is full, [`Error::Gone`] if the thread has ended.
    pub async fn call<R, F>(&self, work: F) -> Result<R, Error>
    where
        F: FnOnce(&mut T) -> R + Send + 'static,
        R: Send + 'static,
    {
        let (job, answer) = Self::job(work);
        self.queue.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Full(self.name),
            mpsc::error::TrySendError::Closed(_) => Error::Gone(self.name),
        })?;
        answer.await.map_err(|_| Error::Gone(self.name))
    }

    /// Like [`Worker::call`], but waits for a place in the queue: back-pressure instead of refusal.
    ///
    /// # Errors
    /// [`Error::Gone`] if the thread has ended.
    pub async fn call_when_free<R, F>(&self, work: F) -> Result<R, Error>
    where
        F: FnOnce(&mut T) -> R + Send + 'static,
        R: Send + 'static,
    {
        let (job, answer) = Self::job(work);
        self.queue
            .send(job)
            .await
            .map_err(|_| Error::Gone(self.name))?;
        answer.await.map_err(|_| Error::Gone(self.name))
    }

    fn job<R, F>(work: F) -> (Job<T>, oneshot::Receiver<R>)
    where
        F: FnOnce(&mut T) -> R + Send + 'static,
        R: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job<T> = Box::new(move |value| {
            if !reply.is_closed() {
                // A caller that left in the meantime wants no answer.
                let _ = reply.send(work(value));
            }
        });
        (job, answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;

    use super::*;

    #[tokio::test]
    async fn calls_run_in_order_on_one_named_thread() {
        let worker = Worker::spawn("counter", 4, || Ok::<_, io::Error>(0_u32))
            .await
            .expect("starts");
        for expected in 1..=3 {
            let got = worker.call(|n| {
                *n += 1;
                (*n, std::thread::current().name().map(str::to_owned))
            });
            assert_eq!(got.await, Ok((expected, Some("counter".to_owned()))));
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_dead_thread_says_so() {
        let worker = Worker::spawn("slow", 1, || Ok::<_, io::Error>(()))
            .await
            .expect("starts");
        let (release, gate) = std_mpsc::channel::<()>();
        let (entered_in, entered) = oneshot::channel();
        let blocked = worker.clone();
        let first = async move {
            blocked
                .call(move |()| {
                    let _ = entered_in.send(());
                    let _ = gate.recv();
                })
                .await
        };
        let tasks = Tasks::new();
        let first = tasks.spawn("first", first);
        entered.await.expect("the first call is running");
        let waiting = worker.clone();
        let second = tasks.spawn("second", async move { waiting.call(|()| ()).await });
        while worker.queue.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(worker.call(|()| ()).await, Err(Error::Full("slow")));
        release.send(()).expect("the first call waits");
        assert_eq!(first.await.expect("joins"), Ok(()));
        assert_eq!(second.await.expect("joins"), Ok(()));

        let fatal = worker.call(|()| panic!("planted")).await;
        assert_eq!(fatal, Err(Error::Gone("slow")));
        assert_eq!(worker.call(|()| ()).await, Err(Error::Gone("slow")));
    }

    #[tokio::test]
    async fn a_failed_start_is_the_makers_error() {
        let failed = Worker::<()>::spawn("broken", 1, || {
            Err(io::Error::new(io::ErrorKind::NotFound, "no such thing"))
        })
        .await;
        assert_eq!(
            failed.err().map(|e| e.kind()),
            Some(io::ErrorKind::NotFound)
        );
    }
}
