//! How ranks that know only where rank 0 is come to a connection to each other.
//!
//! Rank 0 listens at the rendezvous. Every other rank listens as well, at a port that the system chooses, and
//! tells rank 0. When all have come, rank 0 sends their addresses around, and each rank connects to those
//! before it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{CommError, World};

/// What a rank says of itself first.
#[derive(Debug, Serialize, Deserialize)]
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

/// What rank 0 answers when all have come, or when it cannot go on.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// Where each rank listens.
    Addresses(Vec<Option<SocketAddr>>),
    Refused(String),
}

/// The longest text that is read from somebody who has not shown to be a rank.
const LONGEST: u32 = 1 << 20;

/// How long a connection has to be made, and to say who it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection to each other rank, by rank.
type Streams = Vec<Option<TcpStream>>;

/// Meets the other ranks of `world`.
pub(super) fn meet(world: &World, timeout: Duration) -> Result<Streams, CommError> {
    let Some(rendezvous) = &world.rendezvous else {
        return Err(CommError::Launch("ranks joined by TCP need a rendezvous, HOST:PORT of rank 0".into()));
    };
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
    fn receive(&self) -> Result<Streams, CommError> {
        let closed = |error: io::Error| {
            CommError::Launch(format!(
                "rank 0 cannot wait for the others at {}: {error}; it must be a free port of the machine that rank 0 runs on",
                self.rendezvous
            ))
        };
        let listener = resolve(self.rendezvous).and_then(|at| self.listen(at[0].is_ipv6(), at[0].port()));
        let listener = listener.map_err(closed)?;
        let mut streams = self.nobody();
        let mut places = vec![(0, false); self.world.size];
        let met = self.gather(&listener, &mut streams, &mut places).and_then(|()| addresses(&streams, &places));
        let answer = met.clone().map_or_else(|error| Answer::Refused(error.to_string()), Answer::Addresses);
        for (rank, stream) in streams.iter_mut().enumerate() {
            let told = stream.as_mut().map_or(Ok(()), |stream| say(stream, &answer));
            // Where all end, who has gone before needs no answer.
            if met.is_ok() {
                told.map_err(|_| CommError::Lost(rank))?;
            }
        }
        met.map(|_| streams)
    }

    /// Rank 0: takes ranks in until none is missing.
    fn gather(
        &self,
        listener: &TcpListener,
        streams: &mut Streams,
        places: &mut [(u16, bool)],
    ) -> Result<(), CommError> {
        let World { size, .. } = *self.world;
        let version = env!("CARGO_PKG_VERSION");
        loop {
            let missing = missing(streams, 1);
            if missing.is_empty() {
                return Ok(());
            }
            let (mut stream, Hello { isograd, rank, size: found, port, local }) = self.next(listener, &missing)?;
            let wrong = if isograd != version {
                format!("is version {isograd} of isograd, rank 0 is {version}")
            } else if found != size {
                format!("was started as one of {found}, rank 0 as one of {size}")
            } else if !missing.contains(&rank) {
                "has come twice: every rank needs a number of its own, and every job another rendezvous".into()
            } else {
                streams[rank] = Some(stream);
                places[rank] = (port, local);
                continue;
            };
            // It may be gone; the others are told as well.
            let _ = say(&mut stream, &Answer::Refused(format!("rank {rank} {wrong}")));
            return Err(CommError::Launch(format!("rank {rank} {wrong}")));
        }
    }

    /// Every other rank: finds rank 0, then those before it, then waits for those after it.
    fn join(&self) -> Result<Streams, CommError> {
        let World { rank: own, size, .. } = *self.world;
        let unreachable = |rank: usize, place: &str, error: io::Error| {
            let seconds = self.seconds;
            CommError::Launch(format!("rank {own} has not reached rank {rank} at {place} within {seconds} s: {error}"))
        };
        let lost = |_| CommError::Lost(0);
        let mut first = reach(|| resolve(self.rendezvous), self.deadline)
            .map_err(|error| unreachable(0, self.rendezvous, error))?;
        let listener = self.listen(first.peer_addr().map_err(lost)?.is_ipv6(), 0);
        let listener = listener.map_err(|error| CommError::Launch(format!("rank {own} cannot listen: {error}")))?;
        let port = listener.local_addr().map_err(lost)?.port();
        let local = self.is_local();
        let hello = Hello { isograd: env!("CARGO_PKG_VERSION").into(), rank: own, size, port, local };
        say(&mut first, &hello).and_then(|()| first.set_read_timeout(Some(left(self.deadline)))).map_err(lost)?;
        let addresses = match hear::<Answer>(&mut first) {
            Ok(Answer::Addresses(addresses)) => addresses,
            Ok(Answer::Refused(message)) => return Err(CommError::Launch(message)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(CommError::Silent { rank: own, silent: vec![0], seconds: self.seconds });
            }
            Err(_) => return Err(CommError::Lost(0)),
        };
        let mut streams = self.nobody();
        streams[0] = Some(first);
        for (rank, address) in addresses.iter().enumerate().take(own) {
            let Some(address) = *address else { continue };
            let failed = |error| unreachable(rank, &address.to_string(), error);
            let mut stream = reach(|| Ok(vec![address]), self.deadline).map_err(failed)?;
            say(&mut stream, &hello).map_err(|_| CommError::Lost(rank))?;
            streams[rank] = Some(stream);
        }
        loop {
            let missing = missing(&streams, own + 1);
            if missing.is_empty() {
                return Ok(streams);
            }
            let (stream, hello) = self.next(&listener, &missing)?;
            if missing.contains(&hello.rank) {
                streams[hello.rank] = Some(stream);
            }
        }
    }

    fn nobody(&self) -> Streams {
        (0..self.world.size).map(|_| None).collect()
    }

    /// Whether the rendezvous is one for this machine alone.
    fn is_local(&self) -> bool {
        let host = self.rendezvous.rsplit_once(':').map_or("", |(host, _)| host.trim_matches(['[', ']']));
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// Listens at all addresses of this machine; only for the machine itself where the rendezvous says so.
    fn listen(&self, ipv6: bool, port: u16) -> io::Result<TcpListener> {
        let address: IpAddr = match (self.is_local(), ipv6) {
            (true, false) => Ipv4Addr::LOCALHOST.into(),
            (true, true) => Ipv6Addr::LOCALHOST.into(),
            (false, false) => Ipv4Addr::UNSPECIFIED.into(),
            (false, true) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let listener = TcpListener::bind((address, port))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// The next connection that says which rank it is.
    fn next(&self, listener: &TcpListener, missing: &[usize]) -> Result<(TcpStream, Hello), CommError> {
        while Instant::now() < self.deadline {
            let Ok((mut stream, _)) = listener.accept() else {
                sleep(PAUSE);
                continue;
            };
            // Whoever does not speak as ranks do is not one.
            let ready = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
            if let Ok(hello) = ready.and_then(|()| hear(&mut stream)) {
                return Ok((stream, hello));
            }
        }
        Err(CommError::Silent { rank: self.world.rank, silent: missing.to_vec(), seconds: self.seconds })
    }
}

/// Ranks from this one on that are not connected yet.
fn missing(streams: &Streams, from: usize) -> Vec<usize> {
    (from..streams.len()).filter(|&rank| streams[rank].is_none()).collect()
}

/// Where ranks can be reached by each other. One that came over the loopback interface is on the machine of rank 0,
/// whose address in the network is the one at which the others have come.
fn addresses(streams: &Streams, places: &[(u16, bool)]) -> Result<Vec<Option<SocketAddr>>, CommError> {
    let mut public = None;
    let mut hosts = Vec::new();
    for (rank, stream) in streams.iter().enumerate() {
        let ends =
            |stream: &TcpStream| Ok([stream.peer_addr()?, stream.local_addr()?].map(|end| end.ip().to_canonical()));
        let ends = stream.as_ref().map(ends).transpose().map_err(|_: io::Error| CommError::Lost(rank))?;
        public = public.or(ends.filter(|[peer, _]| !peer.is_loopback()).map(|[_, own]| own));
        hosts.push(ends.map(|[peer, _]| peer));
    }
    if let Some(rank) = places.iter().position(|(_, local)| *local).filter(|_| public.is_some()) {
        return Err(CommError::Launch(format!(
            "rank {rank} was told to meet at an address that only its own machine has, but others are on other machines; \
             give every rank the same --rendezvous"
        )));
    }
    let reachable = |ip: IpAddr| public.filter(|_| ip.is_loopback()).unwrap_or(ip);
    Ok(hosts.iter().zip(places).map(|(host, (port, _))| Some(SocketAddr::new(reachable((*host)?), *port))).collect())
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// The addresses of a place, of which there is at least one.
fn resolve(place: &str) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = place.to_socket_addrs()?.collect();
    if found.is_empty() { Err(io::Error::new(ErrorKind::NotFound, "the name has no address")) } else { Ok(found) }
}

/// Connects to a place where nobody may listen yet.
fn reach(addresses: impl Fn() -> io::Result<Vec<SocketAddr>>, deadline: Instant) -> io::Result<TcpStream> {
    loop {
        let connect = |address| TcpStream::connect_timeout(&address, PATIENCE.min(left(deadline)));
        let mut error = io::Error::from(ErrorKind::NotFound);
        match addresses() {
            Err(unknown) => error = unknown,
            Ok(addresses) => {
                for address in addresses {
                    match connect(address) {
                        Ok(stream) => return Ok(stream),
                        Err(failed) => error = failed,
                    }
                }
            }
        }
        if Instant::now() >= deadline {
            return Err(error);
        }
        sleep(PAUSE);
    }
}

fn say(stream: &mut TcpStream, what: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(what)?;
    stream.write_all(&(text.len() as u32).to_le_bytes())?;
    stream.write_all(&text)
}

fn hear<T: DeserializeOwned>(stream: &mut TcpStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
