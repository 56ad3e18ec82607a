//! Holds calls of a disk in memory back, so that a test decides what happens meanwhile.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{MemoryDisk, Operation, Tree};

/// Holds calls of one operation back until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    tree: Arc<Mutex<Tree>>,
    operation: Operation,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    waiting: usize,
    is_open: bool,
}

impl Hold {
    /// Waits until a call is held back.
    pub(crate) fn wait_for_a_call(&self) {
        let mut state = self.gate.state.lock();
        while state.waiting == 0 {
            self.gate.changed.wait(&mut state);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.tree.lock().gates.remove(&self.operation);
        self.gate.state.lock().is_open = true;
        self.gate.changed.notify_all();
    }
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while !state.is_open {
            self.changed.wait(&mut state);
        }
    }
}

impl MemoryDisk {
    /// Holds every call of an operation back from now on, before it does anything.
    pub(crate) fn hold(&self, operation: Operation) -> Hold {
        let gate = Arc::<Gate>::default();
        self.tree.lock().gates.insert(operation, Arc::clone(&gate));
        Hold { tree: Arc::clone(&self.tree), operation, gate }
    }
}

/// Waits where calls of an operation are held back; others go on meanwhile.
pub(super) fn pass_gate(tree: &mut MutexGuard<'_, Tree>, operation: Operation) {
    if let Some(gate) = tree.gates.get(&operation).map(Arc::clone) {
        MutexGuard::unlocked(tree, || gate.pass());
    }
}
