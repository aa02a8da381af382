//! How ranks that know only where rank 0 is come to a connection to each other.
//!
//! Rank 0 listens at the rendezvous. Every other rank listens as well, at a port that the system chooses, and
//! tells rank 0. When all have come, rank 0 sends their addresses around, and each rank connects to those
//! before it. On each of these connections both ends show first that they know the job key ([`handshake`](super::handshake));
//! what comes from anybody else is dropped and counted.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::door::Door;
use super::handshake::{Line, Wrong, call, left};
use crate::{CommError, World};

/// What a rank says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hello {
    /// The version of this program.
    isograd: String,
    rank: usize,
    size: usize,
    /// Where it listens for ranks after it.
    port: u16,
    /// Whether only ranks on its own machine can reach it there.
    local: bool,
}

/// What a rank says to one that has come.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Welcome,
    /// By rank 0, when all have come: where each rank listens.
    Addresses(Vec<Option<SocketAddr>>),
    Refused(String),
}

/// The longest answer, which has the addresses of all ranks. It is read only of ranks that have shown the key.
const LONGEST: usize = 1 << 20;

/// How long a connection has to be made, and its other end to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The ranks that have come, by rank, and what they have said of themselves.
type Arrived = Vec<Option<(Line, Hello)>>;

/// What comes of a meeting.
pub(super) struct Met {
    /// A connection to each other rank, by rank.
    pub(super) streams: Vec<Option<TcpStream>>,
    /// How many came that did not show that they belong to the job.
    pub(super) turned_away: usize,
}

/// Meets the other ranks of `world`.
pub(super) fn meet(world: &World, timeout: Duration) -> Result<Met, CommError> {
    let Some(rendezvous) = &world.rendezvous else {
        return Err(CommError::Launch("ranks joined by TCP need a rendezvous, HOST:PORT of rank 0".into()));
    };
    world.check_key()?;
    let deadline = Instant::now() + timeout;
    let meeting = Meeting { world, rendezvous, deadline, seconds: timeout.as_secs() };
    if world.rank == 0 { meeting.receive() } else { meeting.join() }
}

struct Meeting<'a> {
    world: &'a World,
    rendezvous: &'a str,
    deadline: Instant,
    seconds: u64,
}

impl Meeting<'_> {
    /// Rank 0: waits for all others.
    fn receive(&self) -> Result<Met, CommError> {
        let closed = |error: io::Error| {
            CommError::Launch(format!(
                "rank 0 cannot wait for the others at {}: {error}; it must be a free port of the machine that rank 0 runs on",
                self.rendezvous
            ))
        };
        let mut door =
            resolve(self.rendezvous).and_then(|at| Door::open(self.listens_at(at[0]), self.world)).map_err(closed)?;
        let mut arrived = self.nobody();
        let met = self.gather(&mut door, &mut arrived, 1, &AtomicBool::new(false)).and_then(|()| addresses(&arrived));
        let answer = met.clone().map_or_else(|error| Answer::Refused(error.to_string()), Answer::Addresses);
        for (rank, line) in arrived.iter_mut().enumerate() {
            let told = line.as_mut().map_or(Ok(()), |(line, _)| line.say(&answer));
            // Where all end, who has gone before needs no answer.
            if met.is_ok() {
                told.map_err(|_| CommError::Lost(rank))?;
            }
        }
        met.map(|_| Met { streams: streams(arrived), turned_away: door.turned_away() })
    }

    /// Every other rank: finds rank 0, then those before it, while those after it come.
    fn join(&self) -> Result<Met, CommError> {
        let World { rank: own, size, .. } = *self.world;
        let mut door = None;
        let hello = |stream: &TcpStream| {
            let opened = Door::open(self.listens_beside(stream.local_addr()?), self.world)?;
            let port = opened.port()?;
            door = Some(opened);
            let (isograd, local) = (env!("CARGO_PKG_VERSION").into(), self.world.is_local());
            Ok(Hello { isograd, rank: own, size, port, local })
        };
        let (first, hello) = self.reach(0, self.rendezvous, || resolve(self.rendezvous), hello)?;
        let Some(mut door) = door else {
            return Err(CommError::Launch(format!("rank {own} has found rank 0, and not listened itself")));
        };
        let stop = AtomicBool::new(false);
        let mut arrived = self.nobody();
        let (before, after) = std::thread::scope(|scope| {
            let after = scope.spawn(|| self.gather(&mut door, &mut arrived, own + 1, &stop));
            let before = self.find(first, &hello);
            stop.store(before.is_err(), Relaxed);
            (before, after.join())
        });
        let mut found = before?;
        after.unwrap_or_else(|_| Err(CommError::Launch("the thread that waits for ranks ended early".into())))?;
        found.extend(streams(arrived).split_off(found.len()));
        Ok(Met { streams: found, turned_away: door.turned_away() })
    }

    /// Takes in ranks from this one on until none is missing, or it is told to stop.
    fn gather(
        &self,
        door: &mut Door<'_>,
        arrived: &mut Arrived,
        from: usize,
        stop: &AtomicBool,
    ) -> Result<(), CommError> {
        let World { rank: own, size, .. } = *self.world;
        let version = env!("CARGO_PKG_VERSION");
        loop {
            let missing: Vec<usize> = (from..size).filter(|&rank| arrived[rank].is_none()).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let over = || stop.load(Relaxed) || Instant::now() >= self.deadline;
            let Some((mut line, hello)) = door.next::<Hello>(over) else {
                return Err(self.absent(missing, door.turned_away()));
            };
            let Hello { isograd, rank, size: found, .. } = &hello;
            let wrong = if isograd != version {
                format!("is version {isograd} of isograd, rank {own} is {version}")
            } else if *found != size {
                format!("was started as one of {found}, rank {own} as one of {size}")
            } else if !missing.contains(rank) {
                "has come twice: every rank needs a number of its own, and every job another rendezvous".into()
            } else {
                // One that has gone comes again.
                if line.say(&Answer::Welcome).is_ok() {
                    let rank = *rank;
                    arrived[rank] = Some((line, hello));
                }
                continue;
            };
            // It may be gone; the others are told as well.
            let _ = line.say(&Answer::Refused(format!("rank {rank} {wrong}")));
            return Err(CommError::Launch(format!("rank {rank} {wrong}")));
        }
    }

    /// Hears from rank 0 where the others are, and connects to those before this one.
    fn find(&self, mut first: Line, hello: &Hello) -> Result<Vec<Option<TcpStream>>, CommError> {
        let addresses = match first.hear(LONGEST, self.deadline) {
            Ok(Answer::Addresses(addresses)) => addresses,
            Ok(Answer::Refused(message)) => return Err(CommError::Launch(message)),
            Err(error) if is_late(&error) => return Err(self.absent(vec![0], 0)),
            Ok(Answer::Welcome) | Err(_) => return Err(CommError::Lost(0)),
        };
        let mut streams = vec![Some(first.into_stream())];
        for rank in 1..self.world.rank {
            let address = addresses.get(rank).copied().flatten().ok_or(CommError::Lost(rank))?;
            let (line, _) = self.reach(rank, &address.to_string(), || Ok(vec![address]), |_| Ok(hello.clone()))?;
            streams.push(Some(line.into_stream()));
        }
        streams.push(None);
        Ok(streams)
    }

    /// Connects to a rank that may not listen yet, and says `hello`.
    fn reach(
        &self,
        rank: usize,
        place: &str,
        addresses: impl Fn() -> io::Result<Vec<SocketAddr>>,
        mut hello: impl FnMut(&TcpStream) -> io::Result<Hello>,
    ) -> Result<(Line, Hello), CommError> {
        let own = self.world.rank;
        let mut attempt = || -> Result<(Answer, Line, Hello), Wrong> {
            let stream = connect(&addresses()?, self.deadline)?;
            let patience = self.deadline.min(Instant::now() + PATIENCE);
            let mut line = call(stream, self.world.key.as_ref(), rank, patience)?;
            let hello = hello(line.stream())?;
            line.say(&hello)?;
            // From here on it counts as come, and must not come again.
            let answer = line.hear(LONGEST, self.deadline)?;
            Ok((answer, line, hello))
        };
        let end = loop {
            match attempt() {
                Err(Wrong::Connection(_)) if Instant::now() < self.deadline => sleep(PAUSE),
                end => break end,
            }
        };
        let share = "give every rank of a job the same --job-key FILE or ISOGRAD_JOB_KEY";
        Err(match end {
            Ok((Answer::Welcome, line, hello)) => return Ok((line, hello)),
            Ok((Answer::Refused(message), ..)) => CommError::Launch(message),
            Ok((Answer::Addresses(_), ..)) | Err(Wrong::NoRank) => CommError::Launch(format!(
                "rank {own} has found something else than rank {rank} of this version of isograd at {place}; the rendezvous \
                 must be a port of the machine of rank 0 where nothing else listens"
            )),
            Err(Wrong::KeyThere) => {
                CommError::Key(format!("rank {rank} at {place} has a job key, rank {own} has none; {share}"))
            }
            Err(Wrong::KeyHere) => {
                CommError::Key(format!("rank {own} has a job key, rank {rank} at {place} has none; {share}"))
            }
            Err(Wrong::OtherKey) => CommError::Key(format!(
                "the job key of rank {own} differs from that of rank {rank} at {place}; {share}, and every job a rendezvous \
                 of its own"
            )),
            Err(Wrong::Connection(error)) => CommError::Launch(format!(
                "rank {own} has not reached rank {rank} at {place} within {} s: {error}",
                self.seconds
            )),
        })
    }

    fn absent(&self, absent: Vec<usize>, turned_away: usize) -> CommError {
        CommError::Absent { rank: self.world.rank, absent, seconds: self.seconds, turned_away }
    }

    fn nobody(&self) -> Arrived {
        (0..self.world.size).map(|_| None).collect()
    }

    /// Where rank 0 listens, whose rendezvous has this address: there, but at all addresses of the machine where a name stands
    /// for it, which may mean another one to the others.
    fn listens_at(&self, rendezvous: SocketAddr) -> SocketAddr {
        let exact = self.world.is_local() || self.rendezvous.parse::<SocketAddr>().is_ok();
        if exact { rendezvous } else { everywhere(rendezvous) }
    }

    /// Where another rank listens, whose connection to rank 0 has this end: there, as the others come the same way; but at all
    /// addresses of a machine that is that of rank 0 and not of all others.
    fn listens_beside(&self, mut end: SocketAddr) -> SocketAddr {
        end.set_port(0);
        let hidden = end.ip().to_canonical().is_loopback() && !self.world.is_local();
        if hidden { everywhere(end) } else { end }
    }
}

/// The same port at all addresses of this machine.
fn everywhere(at: SocketAddr) -> SocketAddr {
    let ip: IpAddr = if at.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, at.port())
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn streams(arrived: Arrived) -> Vec<Option<TcpStream>> {
    arrived.into_iter().map(|rank| rank.map(|(line, _)| line.into_stream())).collect()
}

/// Where ranks can be reached by each other. One that came over the loopback interface is on the machine of rank 0,
/// whose address in the network is the one at which the others have come.
fn addresses(arrived: &Arrived) -> Result<Vec<Option<SocketAddr>>, CommError> {
    let mut public = None;
    let mut hosts = Vec::new();
    for (rank, come) in arrived.iter().enumerate() {
        let Some((line, hello)) = come else {
            hosts.push(None);
            continue;
        };
        let ends =
            |stream: &TcpStream| Ok([stream.peer_addr()?, stream.local_addr()?].map(|end| end.ip().to_canonical()));
        let [peer, own] = ends(line.stream()).map_err(|_: io::Error| CommError::Lost(rank))?;
        public = public.or(Some(own).filter(|_| !peer.is_loopback()));
        hosts.push(Some((peer, hello)));
    }
    if let Some(rank) = hosts.iter().position(|host| host.is_some_and(|(_, hello)| hello.local) && public.is_some()) {
        return Err(CommError::Launch(format!(
            "rank {rank} was told to meet at an address that only its own machine has, but others are on other machines; \
             give every rank the same --rendezvous"
        )));
    }
    let reachable = |ip: IpAddr| public.filter(|_| ip.is_loopback()).unwrap_or(ip);
    Ok(hosts.iter().map(|host| host.map(|(ip, hello)| SocketAddr::new(reachable(ip), hello.port))).collect())
}

/// The addresses of a place, of which there is at least one.
fn resolve(place: &str) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = place.to_socket_addrs()?.collect();
    if found.is_empty() { Err(io::Error::new(ErrorKind::NotFound, "the name has no address")) } else { Ok(found) }
}

/// Connects to the first of these addresses that answers.
fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut error = io::Error::from(ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(address, PATIENCE.min(left(deadline))) {
            // Where nobody listens, the system may have chosen the same port for this end, and connected it to itself.
            Ok(stream) if stream.local_addr()? == *address => error = ErrorKind::ConnectionRefused.into(),
            Ok(stream) => return Ok(stream),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}
