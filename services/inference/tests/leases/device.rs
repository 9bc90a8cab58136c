//! A real session that a test can hold up or spoil.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use kumo_inference::leases::Run;
use kumo_inference::{Batch, Error, Outputs, Result, Session};

/// The test's end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Control {
    gate: Arc<(Mutex<Gate>, Condvar)>,
    /// Every run fails.
    pub(crate) broken: Arc<AtomicBool>,
    /// Batches larger than one fail, as with one bad picture among others.
    pub(crate) spoiled: Arc<AtomicBool>,
    /// Batches larger than one panic.
    pub(crate) panics: Arc<AtomicBool>,
    /// Runs each batch so many times more, as a larger model would.
    pub(crate) repeats: Arc<AtomicUsize>,
    pub(crate) runs: Arc<AtomicUsize>,
    pub(crate) sizes: Arc<Mutex<Vec<usize>>>,
}

#[derive(Debug, Default)]
struct Gate {
    closed: bool,
    waiting: usize,
}

impl Control {
    /// Runs wait from now on.
    pub(crate) fn hold(&self) {
        self.gate.0.lock().unwrap().closed = true;
    }

    /// They go on.
    pub(crate) fn release(&self) {
        self.gate.0.lock().unwrap().closed = false;
        self.gate.1.notify_all();
    }

    /// Whether a run waits.
    pub(crate) fn waits(&self) -> bool {
        self.gate.0.lock().unwrap().waiting > 0
    }
}

/// The loop's end.
pub(crate) struct Device {
    pub(crate) session: Session,
    pub(crate) control: Control,
}

impl Run for Device {
    fn run(&mut self, batch: &mut Batch) -> Result<Outputs> {
        let (gate, changed) = &*self.control.gate;
        let mut held = gate.lock().unwrap();
        held.waiting += 1;
        while held.closed {
            held = changed.wait(held).unwrap();
        }
        held.waiting -= 1;
        drop(held);
        self.control.runs.fetch_add(1, Ordering::SeqCst);
        self.control.sizes.lock().unwrap().push(batch.len());
        let panics = self.control.panics.load(Ordering::SeqCst) && batch.len() > 1;
        assert!(!panics, "the test wants a panic");
        let spoiled = self.control.spoiled.load(Ordering::SeqCst) && batch.len() > 1;
        if spoiled || self.control.broken.load(Ordering::SeqCst) {
            return Err(Error::NotFinite {
                row: 0,
                column: 0,
                value: f32::NAN,
            });
        }
        for _ in 1..self.control.repeats.load(Ordering::SeqCst) {
            self.session.run(batch)?;
        }
        self.session.run(batch)
    }

    fn batch(&self, capacity: usize) -> Batch {
        self.session.batch(capacity)
    }
}
