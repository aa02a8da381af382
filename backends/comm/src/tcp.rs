//! Ranks that are processes joined by TCP: no launcher and no library is needed.
//!
//! Every rank keeps a connection to every other, and a thread that reads it, so that a rank may send before
//! the other one receives.

mod door;
mod handshake;
mod meeting;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use self::meeting::Met;
use super::{CommError, Failure, Message, Transport, World};

/// What a frame holds: a message, or why its sender cannot go on.
const DATA: u8 = 0;
const FAILURE: u8 = 1;

/// How long a connection may be silent before its other end is asked whether it is still there; and how often, until
/// it counts as lost. Machines that lose power do not say so.
const PROBE: Duration = Duration::from_secs(5);
const PROBES: u32 = 4;

/// How long the reason of a failure may take after a connection has ended for it: each connection has a reader of its own,
/// and a rank that was told why may end before another one has read it.
const REASON: Duration = Duration::from_millis(300);

/// What a connection has brought.
enum Arrival {
    Message(Message),
    Failure(Failure),
    Closed,
}

/// A rank that is a process joined to the others by TCP.
pub struct Tcp {
    rank: usize,
    timeout: Duration,
    /// By rank; none to itself.
    links: Vec<Option<TcpStream>>,
    readers: Vec<JoinHandle<()>>,
    arrivals: Receiver<(usize, Arrival)>,
    /// Messages that came before they were asked for, by rank.
    early: Vec<VecDeque<Message>>,
    /// Ranks that have ended, the first one first.
    ended: Vec<usize>,
    turned_away: usize,
}

impl Tcp {
    /// Meets the other ranks at the rendezvous of `world`, which rank 0 opens, and connects to each. Ranks wait
    /// at most `timeout` for one another. On each connection both ends show first that they know the key of `world`; whoever
    /// does not is turned away, and holds up nobody.
    ///
    /// # Errors
    /// [`CommError::Launch`] if there is no rendezvous, it cannot be reached or opened, it is not this machine's alone and
    /// there is no key, or ranks come that do not belong together; [`CommError::Key`] if the key differs from that of the
    /// ranks there; [`CommError::Absent`] if ranks do not come.
    pub fn connect(world: &World, timeout: Duration) -> Result<Self, CommError> {
        let Met { streams, turned_away } = meeting::meet(world, timeout)?;
        let (tell, arrivals) = channel();
        let mut links = Vec::new();
        let mut readers = Vec::new();
        for (rank, stream) in streams.into_iter().enumerate() {
            if let Some(stream) = &stream {
                let reader = prepare(stream, timeout).map_err(|error| {
                    CommError::Launch(format!("the connection to rank {rank} cannot be used: {error}"))
                })?;
                let tell = tell.clone();
                readers.push(std::thread::spawn(move || read(reader, rank, &tell)));
            }
            links.push(stream);
        }
        let early = vec![VecDeque::new(); world.size];
        Ok(Self { rank: world.rank, timeout, links, readers, arrivals, early, ended: Vec::new(), turned_away })
    }

    /// How many have connected to this rank while it waited for others, and not shown that they belong to the job.
    pub fn turned_away(&self) -> usize {
        self.turned_away
    }

    /// Sends a frame; where that fails, what has arrived says why.
    fn send(&mut self, to: usize, kind: u8, bytes: &[u8]) -> Result<(), CommError> {
        let Some(mut link) = self.links[to].as_ref() else { return Ok(()) };
        let mut header = [kind; 9];
        header[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        let Err(error) = link.write_all(&header).and_then(|()| link.write_all(bytes)) else { return Ok(()) };
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return Err(self.silent(vec![to]));
        }
        // Its last words may be under way.
        while !self.ended.contains(&to) {
            self.take(Instant::now() + PROBE, &[to])?;
        }
        Err(self.lost())
    }

    /// Why a rank is gone: what one of them says, or that the first one ended. Those that ended later did so for want of it.
    fn lost(&mut self) -> CommError {
        let deadline = Instant::now() + REASON;
        while let Ok((from, arrival)) = self.arrivals.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Err(told) = self.keep(from, arrival) {
                return told;
            }
        }
        CommError::Lost(self.ended[0])
    }

    fn silent(&self, silent: Vec<usize>) -> CommError {
        CommError::Silent { rank: self.rank, silent, seconds: self.timeout.as_secs() }
    }

    /// Takes in the next arrival.
    fn take(&mut self, deadline: Instant, waiting: &[usize]) -> Result<(), CommError> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.arrivals.recv_timeout(left) {
            Ok((from, arrival)) => self.keep(from, arrival),
            Err(RecvTimeoutError::Timeout) => Err(self.silent(waiting.to_vec())),
            Err(RecvTimeoutError::Disconnected) => Err(CommError::Lost(waiting[0])),
        }
    }

    fn keep(&mut self, from: usize, arrival: Arrival) -> Result<(), CommError> {
        match arrival {
            Arrival::Message(message) => self.early[from].push_back(message),
            Arrival::Failure(failure) => return Err(CommError::Failed { rank: from, failure }),
            Arrival::Closed => self.ended.push(from),
        }
        Ok(())
    }
}

/// Sets a connection up; its half that is read.
fn prepare(stream: &TcpStream, timeout: Duration) -> io::Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(Some(timeout))?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE).with_interval(PROBE).with_retries(PROBES))?;
    // The same for what was sent and is not confirmed.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PROBE * (PROBES + 1)))?;
    stream.try_clone()
}

/// Reads frames until the connection ends.
fn read(mut stream: TcpStream, from: usize, tell: &Sender<(usize, Arrival)>) {
    loop {
        let arrival = next(&mut stream).unwrap_or(Arrival::Closed);
        let last = matches!(arrival, Arrival::Closed);
        if tell.send((from, arrival)).is_err() || last {
            return;
        }
    }
}

fn next(stream: &mut TcpStream) -> io::Result<Arrival> {
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    let [kind, length @ ..] = header;
    let mut bytes = vec![0; u64::from_le_bytes(length) as usize];
    stream.read_exact(&mut bytes)?;
    if kind == DATA {
        return Ok(Arrival::Message(Arc::new(bytes)));
    }
    Ok(Arrival::Failure(serde_json::from_slice(&bytes)?))
}

impl Transport for Tcp {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.links.len()
    }

    fn exchange(&mut self, to: Vec<Message>) -> Result<Vec<Message>, CommError> {
        let (rank, size) = (self.rank, self.size());
        assert_eq!(to.len(), size, "exchange: messages");
        let deadline = Instant::now() + self.timeout;
        self.early[rank].push_back(to[rank].clone());
        // Each rank begins with the one after it, so that not all send to the same.
        for other in (rank + 1..size).chain(0..rank) {
            self.send(other, DATA, &to[other])?;
        }
        loop {
            let waiting: Vec<usize> = (0..size).filter(|&other| self.early[other].is_empty()).collect();
            if waiting.is_empty() {
                return Ok(self.early.iter_mut().filter_map(VecDeque::pop_front).collect());
            }
            if waiting.iter().any(|other| self.ended.contains(other)) {
                return Err(self.lost());
            }
            self.take(deadline, &waiting)?;
        }
    }

    fn check(&mut self) -> Result<(), CommError> {
        while let Ok((from, arrival)) = self.arrivals.try_recv() {
            self.keep(from, arrival)?;
        }
        if self.ended.is_empty() { Ok(()) } else { Err(self.lost()) }
    }

    fn fail(&mut self, failure: &Failure) {
        let text = serde_json::to_vec(failure).unwrap_or_default();
        for other in 0..self.size() {
            // Who is gone need not be told.
            let _ = self.send(other, FAILURE, &text);
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        for link in self.links.iter().flatten() {
            // What was sent still arrives; a connection that is gone already is no error.
            let _ = link.shutdown(Shutdown::Both);
        }
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}
