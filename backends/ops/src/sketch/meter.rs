//! The account of a run on shapes: bytes that are held, and the moment at which they are most.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pool::{Pool, Slice};
use crate::profile::{Profile, packings};

/// Bytes that are held at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// What was there when a block had run, and is there still.
    pub kept: u64,
    /// What comes and goes.
    pub passing: u64,
    /// Gradients that a sink holds.
    pub gradients: u64,
}

impl Moment {
    /// All together.
    pub fn total(self) -> u64 {
        self.kept + self.passing + self.gradients
    }
}

#[derive(Debug, Default)]
struct Account {
    now: Moment,
    most: Moment,
    /// How often everything there was has been counted as kept.
    generation: u64,
    held: u64,
    /// The pages of a GPU.
    pool: Option<Pool>,
    /// Shares of them: of gradients that a sink holds, and of what is there all the time.
    collected: Vec<Slice>,
    aside: Vec<Slice>,
    /// Whether the caller, and whether all threads beside it, have made a product.
    multiplied: [bool; 2],
}

impl Account {
    fn note(&mut self, passing: u64) {
        let now = Moment { passing: self.now.passing + passing, ..self.now };
        if now.total() > self.most.total() {
            self.most = now;
        }
    }

    fn take(&mut self, bytes: u64) -> Option<Slice> {
        self.pool.as_mut().map(|pool| pool.take(bytes))
    }
}

/// Counts the bytes of sketches.
#[derive(Debug)]
pub struct Meter {
    profile: Profile,
    graphs: u64,
    account: Mutex<Account>,
    refused: AtomicBool,
}

impl Meter {
    /// Of a device, on which a batch of so many graphs is computed.
    pub fn new(profile: Profile, graphs: u64) -> Arc<Self> {
        let pool = match profile {
            Profile::Cpu { .. } => None,
            Profile::Gpu { largest, alignment } => Some(Pool::new(largest, alignment)),
        };
        let account = Account { pool, ..Default::default() };
        Arc::new(Self { profile, graphs, account: Mutex::new(account), refused: AtomicBool::new(false) })
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device that is sketched.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Number of graphs in the batch.
    pub fn graphs(&self) -> u64 {
        self.graphs
    }

    /// What is there now.
    pub fn now(&self) -> Moment {
        self.account().now
    }

    /// The moment at which there was most.
    pub fn most(&self) -> Moment {
        self.account().most
    }

    /// What operations hold from their first call on.
    pub fn held(&self) -> u64 {
        let account = self.account();
        account.held + packings(self.profile, account.multiplied)
    }

    /// Whether products were made by the caller and others by all threads: on a thread of the pool, the caller is one of these.
    pub fn multiplied_by_all_and_caller(&self) -> bool {
        self.account().multiplied == [true; 2]
    }

    /// Bytes of the pages that a GPU's pool has come to; `None` on a CPU, which has no pool.
    pub fn reserved(&self) -> Option<u64> {
        self.account().pool.as_ref().map(Pool::reserved)
    }

    /// A tensor of so many bytes that is there all the time, and that nobody counts here.
    pub fn set_aside(&self, bytes: u64) {
        let mut account = self.account();
        let slice = account.take(bytes);
        account.aside.extend(slice);
    }

    /// What is there from now on counts as kept.
    pub fn settle(&self) {
        let mut account = self.account();
        account.generation += 1;
        account.now.kept += account.now.passing;
        account.now.passing = 0;
    }

    /// A sink holds on to so many bytes of gradients.
    pub fn collect(&self, bytes: u64) {
        let mut account = self.account();
        account.now.gradients += bytes;
        account.note(0);
        let slice = account.take(bytes);
        account.collected.extend(slice);
    }

    /// A sink lets go of its gradients.
    pub fn let_go(&self) {
        let mut account = self.account();
        account.now.gradients = 0;
        account.collected.clear();
    }

    /// An operation has so many bytes while it runs.
    pub fn pass(&self, bytes: u64) {
        self.account().note(bytes);
    }

    /// Operations like this one hold so many bytes from their first call on, all of them together.
    pub fn hold(&self, bytes: u64) {
        let mut account = self.account();
        account.held = account.held.max(bytes);
    }

    /// Products are made, by the caller alone or by all other threads.
    pub fn multiply(&self, by_all: bool) {
        self.account().multiplied[usize::from(by_all)] = true;
    }

    /// Somebody has asked for numbers.
    pub fn refuse(&self) {
        self.refused.store(true, Relaxed);
    }

    /// Whether anybody has.
    pub fn has_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }
}

/// Bytes on a meter, until they are dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: u64,
    generation: u64,
    meter: Option<Arc<Meter>>,
    _slice: Option<Slice>,
}

impl Buffer {
    pub(super) fn new(bytes: u64, meter: Option<Arc<Meter>>) -> Arc<Self> {
        let (mut generation, mut slice) = (0, None);
        if let Some(meter) = &meter {
            let mut account = meter.account();
            account.now.passing += bytes;
            account.note(0);
            generation = account.generation;
            slice = account.take(bytes);
        }
        Arc::new(Self { bytes, generation, meter, _slice: slice })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn meter(&self) -> Option<&Arc<Meter>> {
        self.meter.as_ref()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(meter) = &self.meter else { return };
        let mut account = meter.account();
        if self.generation < account.generation {
            account.now.kept -= self.bytes;
        } else {
            account.now.passing -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_outlives_a_block_is_kept() {
        let meter = Meter::new(Profile::USUAL_GPU, 1);
        let of = |bytes| Buffer::new(bytes, Some(meter.clone()));
        let first = of(5);
        let passing = of(7);
        drop(passing);
        meter.settle();
        let second = of(1);
        assert_eq!(meter.now(), Moment { kept: 5, passing: 1, gradients: 0 });
        assert_eq!(meter.most(), Moment { kept: 0, passing: 12, gradients: 0 });
        meter.collect(20);
        meter.pass(3);
        drop((first, second));
        assert_eq!(meter.now(), Moment { gradients: 20, ..Default::default() });
        meter.let_go();
        assert_eq!(meter.now().total(), 0);
        assert_eq!(meter.most(), Moment { kept: 5, passing: 4, gradients: 20 });
    }
}
