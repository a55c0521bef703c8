//! Byte credits: how much may be in flight.
//!
//! Invariant: the sum of credits out never exceeds the budget. Credits are issued by one producer in split order, so
//! the oldest unfinished split always holds its credits and the run cannot lock up.

use std::sync::{Condvar, Mutex, PoisonError};

/// A number of bytes shared by everything in flight.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: u64,
    closed: bool,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        Budget { total, state: Mutex::new(State { free: total, closed: false }), changed: Condvar::new() }
    }

    /// All bytes of the budget.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Waits for `bytes` and takes them; false if the budget was closed meanwhile. Never called by a worker.
    pub fn acquire(&self, bytes: u64) -> bool {
        let bytes = bytes.min(self.total);
        let mut state = self.lock();
        while state.free < bytes && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return false;
        }
        state.free -= bytes;
        true
    }

    /// Gives `bytes` back.
    pub fn release(&self, bytes: u64) {
        self.lock().free += bytes.min(self.total);
        self.changed.notify_all();
    }

    /// Ends all waiting.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
