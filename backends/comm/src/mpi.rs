//! Ranks that are processes under MPI.
//!
//! Every rank sends to every other and takes what arrives, so that it knows whom it still waits for. Messages
//! are copied by MPI's own means: shared memory within a node, the network between nodes.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::environment::Universe;
use mpi::point_to_point::{Destination, Source, Status};
use mpi::request::{Request, StaticScope};
use mpi::topology::{Communicator as _, SimpleCommunicator};
use mpi::traits::Equivalence as _;

use super::{CommError, Failure, Message, Transport, World};

/// Tags of messages, and of the message that its sender cannot go on.
const DATA: i32 = 1;
const FAILURE: i32 = 2;

/// How often ranks on this node are looked at while they are waited for.
const LOOK: Duration = Duration::from_millis(100);

/// A rank that is a process under MPI.
pub struct Mpi {
    /// Ends MPI when dropped, which the other ranks take part in.
    universe: ManuallyDrop<Universe>,
    world: SimpleCommunicator,
    rank: usize,
    size: usize,
    timeout: Duration,
    /// Those on this node, by rank.
    neighbours: Vec<Option<u32>>,
    /// Whether a rank is gone, so that MPI cannot be ended together.
    broken: bool,
}

impl Mpi {
    /// Starts MPI on this thread, which must be the one that communicates; `world` is what the launcher said.
    /// Ranks wait at most `timeout` for one another.
    ///
    /// # Errors
    /// [`CommError::Launch`] if MPI does not see the ranks that the launcher has started.
    pub fn connect(world: &World, timeout: Duration) -> Result<Self, CommError> {
        let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
            return Err(CommError::Launch("MPI was started twice in this process".into()));
        };
        let communicator = universe.world();
        let (rank, size) = (communicator.rank() as usize, communicator.size() as usize);
        if size != world.size {
            return Err(CommError::Launch(format!(
                "{} has started {} processes, but the MPI library of this program ({}) sees {size}; start it with the mpirun \
                 of that library, or rebuild isograd against the one in use",
                world.launcher,
                world.size,
                mpi::environment::library_version().unwrap_or_default().lines().next().unwrap_or_default()
            )));
        }
        let mut own = Self {
            universe: ManuallyDrop::new(universe),
            world: communicator,
            rank,
            size,
            timeout,
            neighbours: vec![None; size],
            broken: false,
        };
        own.meet()?;
        Ok(own)
    }

    /// Finds out which ranks are processes of this node.
    fn meet(&mut self) -> Result<(), CommError> {
        let host = mpi::environment::processor_name().unwrap_or_default();
        let card = Arc::new(format!("{} {host}", std::process::id()).into_bytes());
        for (rank, card) in self.exchange(vec![card; self.size])?.into_iter().enumerate() {
            let card = String::from_utf8_lossy(&card);
            let Some((process, place)) = card.split_once(' ') else { continue };
            let process = process.parse().ok().filter(|_| place == host);
            // Processes of other containers cannot be seen.
            self.neighbours[rank] = process.filter(|&process| rank != self.rank && is_alive(process));
        }
        Ok(())
    }

    fn complete(&mut self, exchange: &mut Exchange) -> Result<(), CommError> {
        let start = Instant::now();
        let mut looked = start;
        let mut idle = 0u32;
        while !exchange.is_done() {
            idle = if exchange.advance(&self.world)? { 0 } else { idle + 1 };
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.check_waiting(&exchange.needs(), start).inspect_err(|_| self.broken = true)?;
            }
            // Other ranks may need this core.
            match idle {
                0 => {}
                1..100 => std::thread::yield_now(),
                _ => std::thread::sleep(Duration::from_micros(50)),
            }
        }
        Ok(())
    }

    /// Whether ranks that are processes of this node are there.
    fn check_alive(&self, ranks: &[usize]) -> Result<(), CommError> {
        let gone = |&&rank: &&usize| self.neighbours[rank].is_some_and(|process| !is_alive(process));
        ranks.iter().find(gone).map_or(Ok(()), |&lost| Err(CommError::Lost(lost)))
    }

    /// Whether ranks that are waited for can still answer.
    fn check_waiting(&self, waiting: &[usize], start: Instant) -> Result<(), CommError> {
        self.check_alive(waiting)?;
        if start.elapsed() > self.timeout {
            let (rank, seconds) = (self.rank, self.timeout.as_secs());
            return Err(CommError::Silent { rank, silent: waiting.to_vec(), seconds });
        }
        Ok(())
    }
}

/// Whether a request is complete; then it is gone.
fn is_complete<D: ?Sized>(request: &mut Option<Request<'static, D, StaticScope>>) -> bool {
    let Some(pending) = request.take() else { return true };
    *request = pending.test().err();
    request.is_none()
}

/// A message that MPI reads. It must not be dropped before it is sent.
struct Outgoing {
    to: usize,
    /// Kept for MPI.
    _message: Message,
    request: Option<Request<'static, [u8], StaticScope>>,
}

impl Outgoing {
    fn new(world: &SimpleCommunicator, to: usize, message: Message, tag: i32) -> Self {
        // SAFETY: the message is kept beside its request, and both are forgotten where that is not completed.
        #[allow(unsafe_code, reason = "a buffer that MPI reads while this thread does other things")]
        let bytes: &'static [u8] = unsafe { &*std::ptr::from_ref(message.as_slice()) };
        let target = world.process_at_rank(to as i32);
        let request = Some(target.immediate_send_with_tag(StaticScope, bytes, tag));
        Self { to, _message: message, request }
    }
}

/// A message that MPI writes. It must not be dropped before it has arrived.
struct Incoming {
    from: usize,
    buffer: *mut [u8],
    request: Option<Request<'static, [u8], StaticScope>>,
}

impl Incoming {
    fn new(from: usize, message: mpi::point_to_point::Message, length: usize) -> Self {
        let buffer = Box::into_raw(vec![0u8; length].into_boxed_slice());
        // SAFETY: the box is leaked until the request is complete, and read only then.
        #[allow(unsafe_code, reason = "a buffer that MPI writes while this thread does other things")]
        let bytes: &'static mut [u8] = unsafe { &mut *buffer };
        Self { from, buffer, request: Some(message.immediate_matched_receive_into(StaticScope, bytes)) }
    }

    /// The message, once it has arrived.
    fn arrived(&mut self) -> Option<Message> {
        if !is_complete(&mut self.request) {
            return None;
        }
        // SAFETY: it came from `Box::into_raw`, MPI is done with it, and this is called until it returns it once.
        #[allow(unsafe_code, reason = "takes the buffer back")]
        let bytes = unsafe { Box::from_raw(self.buffer) };
        Some(Arc::new(bytes.into_vec()))
    }
}

/// One exchange while it is under way.
struct Exchange {
    sends: Vec<Outgoing>,
    receives: Vec<Incoming>,
    /// Ranks of which nothing has come yet.
    waiting: Vec<usize>,
    found: Vec<Option<Message>>,
}

impl Exchange {
    fn is_done(&self) -> bool {
        self.sends.is_empty() && self.receives.is_empty() && self.waiting.is_empty()
    }

    /// Ranks that it cannot do without.
    fn needs(&self) -> Vec<usize> {
        let sends = self.sends.iter().map(|send| send.to);
        let mut ranks: Vec<usize> =
            self.waiting.iter().copied().chain(sends).chain(self.receives.iter().map(|receive| receive.from)).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }

    /// Takes what has come and lets go of what has left; whether that was anything.
    fn advance(&mut self, world: &SimpleCommunicator) -> Result<bool, CommError> {
        let before = (self.sends.len(), self.receives.len(), self.waiting.len());
        let mut failed = None;
        let receives = &mut self.receives;
        self.waiting.retain(|&from| {
            let source = world.process_at_rank(from as i32);
            let Some((message, status)) = source.immediate_matched_probe() else { return true };
            if status.tag() == FAILURE {
                failed.get_or_insert(told(message, &status));
            } else {
                receives.push(Incoming::new(from, message, length(&status)));
            }
            false
        });
        if let Some(error) = failed {
            return Err(error);
        }
        self.sends.retain_mut(|send| !is_complete(&mut send.request));
        let found = &mut self.found;
        self.receives.retain_mut(|receive| {
            found[receive.from] = receive.arrived();
            found[receive.from].is_none()
        });
        Ok(before != (self.sends.len(), self.receives.len(), self.waiting.len()))
    }
}

/// Bytes of a message that has been found.
fn length(status: &Status) -> usize {
    status.count(u8::equivalent_datatype()) as usize
}

/// What a rank said when it could not go on.
fn told(message: mpi::point_to_point::Message, status: &Status) -> CommError {
    let mut text = vec![0u8; length(status)];
    message.matched_receive_into(&mut text[..]);
    let lost = || Failure { message: "failed for a reason that did not arrive".into(), input: false };
    let failure = serde_json::from_slice(&text).unwrap_or_else(|_| lost());
    CommError::Failed { rank: status.source_rank() as usize, failure }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&mut self, to: Vec<Message>) -> Result<Vec<Message>, CommError> {
        assert_eq!(to.len(), self.size, "exchange: messages");
        let others: Vec<usize> = (0..self.size).filter(|&other| other != self.rank).collect();
        let mut found = vec![None; self.size];
        let mut sends = Vec::new();
        for (rank, message) in to.into_iter().enumerate() {
            if rank == self.rank {
                found[rank] = Some(message);
            } else {
                sends.push(Outgoing::new(&self.world, rank, message, DATA));
            }
        }
        let mut exchange = Exchange { sends, receives: Vec::new(), waiting: others, found };
        if let Err(error) = self.complete(&mut exchange) {
            // MPI may still touch what is under way.
            std::mem::forget(exchange);
            return Err(error);
        }
        Ok(exchange.found.into_iter().flatten().collect())
    }

    fn check(&mut self) -> Result<(), CommError> {
        let any = self.world.any_process();
        if let Some((message, status)) = any.immediate_matched_probe_with_tag(FAILURE) {
            return Err(told(message, &status));
        }
        let others: Vec<usize> = (0..self.size).filter(|&other| other != self.rank).collect();
        self.check_alive(&others)
    }

    fn fail(&mut self, failure: &Failure) {
        let text = Arc::new(serde_json::to_vec(failure).unwrap_or_default());
        for other in (0..self.size).filter(|&other| other != self.rank) {
            // Short enough for MPI to take it without the receiver, who may have failed as well.
            std::mem::forget(Outgoing::new(&self.world, other, text.clone(), FAILURE));
        }
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if !self.broken {
            // SAFETY: dropped once, here.
            #[allow(unsafe_code, reason = "MPI is ended only where all ranks can")]
            unsafe {
                ManuallyDrop::drop(&mut self.universe);
            }
        }
    }
}

/// Whether a process of this node runs; true where that cannot be told.
fn is_alive(process: u32) -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    // The state follows the name, which may hold anything but ends with the last parenthesis.
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
    !matches!(state, Some('Z' | 'X'))
}
