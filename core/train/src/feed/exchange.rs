//! Samples on their way between the ranks of a group. Steps are taken in windows. Each rank knows which samples the others
//! need of a window, and sends those that it holds while the model still computes on the window before.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use burn::tensor::backend::Backend;
use isograd_comm::{Communicator, Message, Pending};

use super::{Held, Shares, Walk};
use crate::{Dataset, Error, Result};

/// Atoms of a window, of all ranks together, which are a few megabytes; a window has one step at least.
const WINDOW_ATOMS: usize = 1 << 16;

/// Bytes before each sample of a message: how long it is.
const LENGTH: usize = size_of::<u64>();

/// What one rank sends and takes.
pub(super) struct Exchange<'a, B: Backend> {
    comm: &'a dyn Communicator<B>,
    dataset: Arc<Dataset>,
    held: Arc<Held>,
    shares: Arc<Shares>,
    /// Steps that nothing was asked for yet.
    rest: Range<usize>,
    /// The window that is on its way.
    under_way: Option<(Asked, Pending<Vec<Message>>)>,
    /// The end of the windows that have arrived.
    arrived: usize,
    arrivals: Arc<Arrivals>,
}

/// What this rank needs of a window from others.
struct Asked {
    steps: Range<usize>,
    /// Who holds the samples that others send, in the order in which they are needed, step by step.
    holders: Vec<Vec<usize>>,
}

impl<'a, B: Backend> Exchange<'a, B> {
    /// `None` where each rank has all it needs.
    pub(super) fn new(comm: &'a dyn Communicator<B>, walk: &Walk) -> Option<Self> {
        let held = walk.held.clone().filter(|held| held.group().len() > 1)?;
        let (dataset, shares, rest) = (walk.dataset.clone(), walk.shares.clone(), walk.steps.clone());
        let arrived = rest.start;
        Some(Self { comm, dataset, held, shares, rest, under_way: None, arrived, arrivals: Arc::default() })
    }

    /// Where samples are once they have arrived.
    pub(super) fn arrivals(&self) -> Arc<Arrivals> {
        self.arrivals.clone()
    }

    /// Brings what is needed up to `ahead` steps from `step`, which the model is at, and asks for what follows.
    ///
    /// # Errors
    /// Those of the communicator.
    pub(super) fn advance(&mut self, step: usize, ahead: usize) -> Result<()> {
        self.arrivals.forget_before(step);
        while self.arrived < step + ahead
            && let Some((asked, pending)) = self.under_way.take().or_else(|| self.ask())
        {
            let window = Window::new(asked, pending.wait()?)?;
            self.arrived = window.steps.end;
            self.arrivals.add(window);
        }
        if self.under_way.is_none() {
            self.under_way = self.ask();
        }
        Ok(())
    }

    /// Sends what others need of the next window, and asks for what this rank needs.
    fn ask(&mut self) -> Option<(Asked, Pending<Vec<Message>>)> {
        let (rank, group) = (self.comm.rank(), self.held.group());
        let steps = self.rest.start;
        let mut messages: Vec<Vec<u8>> = vec![Vec::new(); self.comm.size()];
        let mut holders = Vec::new();
        let mut atoms = 0;
        while atoms < WINDOW_ATOMS
            && let Some(step) = self.rest.next()
        {
            let shares = (self.shares)(step);
            atoms += shares.iter().flatten().map(|&index| self.dataset.sizes[index].atoms).sum::<usize>();
            let stored = |&&index: &&usize| self.dataset.is_stored(index);
            for other in group.clone().filter(|&other| other != rank) {
                let own = shares[other].iter().filter(stored).filter_map(|&index| self.held.bytes(index));
                for bytes in own {
                    messages[other].extend((bytes.len() as u64).to_le_bytes());
                    messages[other].extend(bytes);
                }
            }
            let needed = shares[rank].iter().filter(stored).map(|&index| self.held.holder(index));
            holders.push(needed.filter(|&holder| holder != rank).collect());
        }
        (steps < self.rest.start).then(|| {
            let asked = Asked { steps: steps..self.rest.start, holders };
            (asked, self.comm.exchange_bytes(messages.into_iter().map(Arc::new).collect()))
        })
    }
}

/// Samples that have arrived.
pub(super) struct Window {
    steps: Range<usize>,
    messages: Vec<Message>,
    /// The message of each sample and its place there, step by step.
    places: Vec<Vec<(usize, Range<usize>)>>,
}

impl Window {
    fn new(asked: Asked, messages: Vec<Message>) -> Result<Self> {
        let mut read = vec![0; messages.len()];
        let mut place = |&holder: &usize| {
            let short = || Error::Internal(format!("rank {holder} has sent fewer samples than it holds"));
            let start = read[holder] + LENGTH;
            let length = messages[holder].get(read[holder]..start).and_then(|bytes| bytes.first_chunk());
            let end = start.saturating_add(u64::from_le_bytes(*length.ok_or_else(short)?) as usize);
            read[holder] = end;
            messages[holder].get(start..end).map(|_| (holder, start..end)).ok_or_else(short)
        };
        let places = asked.holders.iter().map(|own| own.iter().map(&mut place).collect()).collect::<Result<_>>()?;
        Ok(Self { steps: asked.steps, messages, places })
    }

    /// The samples of a step that others hold, in their order.
    pub(super) fn samples(&self, step: usize) -> impl Iterator<Item = &[u8]> {
        let places = &self.places[step - self.steps.start];
        places.iter().map(|(holder, place)| &self.messages[*holder][place.clone()])
    }
}

/// Windows that have arrived and are still needed.
#[derive(Default)]
pub(super) struct Arrivals {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    windows: VecDeque<Arc<Window>>,
    /// Whether nothing more will come.
    closed: bool,
}

impl Arrivals {
    /// Waits for the window that a step is in.
    pub(super) fn of_step(&self, step: usize) -> Result<Arc<Window>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(window) = state.windows.iter().find(|window| window.steps.contains(&step)) {
                return Ok(window.clone());
            }
            if state.closed {
                return Err(Error::Internal("training ended before its samples arrived".into()));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the waiting of all.
    pub(super) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    fn add(&self, window: Window) {
        self.change(|state| state.windows.push_back(Arc::new(window)));
    }

    fn forget_before(&self, step: usize) {
        self.change(|state| state.windows.retain(|window| window.steps.end > step));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}
