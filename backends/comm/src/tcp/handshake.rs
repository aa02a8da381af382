//! How two ends of a new connection show each other that they know the job key, without saying it.
//!
//! | from | says |
//! |---|---|
//! | who connects | an opening: a name, whether it has a key, 32 random bytes |
//! | who accepts | an opening of its own, and a proof of its rank |
//! | who connects | who it is, with a proof |
//! | who accepts | welcome, or why not, with a proof |
//!
//! A proof is a keyed hash, BLAKE3, of which end says something, how much that end has said before, and what it says. Its
//! key is made of the job key and the random bytes of both ends. A recorded proof is therefore worth nothing on another
//! connection, at the other end, or a second time. Nothing is encrypted, and what is said later has no proofs: whoever sits
//! between two ranks can still pass on their proofs, and then read and change what they send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::JobKey;

/// What every opening begins with; the last byte is the version of this way of joining.
const NAME: [u8; 8] = *b"isograd\x01";

/// Random bytes of an opening.
const NONCE: usize = 32;

/// Bytes of a proof.
const PROOF: usize = blake3::OUT_LEN;

/// What a connection begins with.
#[derive(Clone, Copy)]
struct Opening {
    keyed: bool,
    nonce: [u8; NONCE],
}

/// Bytes of an opening.
pub(super) const OPENING: usize = NAME.len() + 1 + NONCE;

impl Opening {
    fn new(key: Option<&JobKey>) -> Self {
        Self { keyed: key.is_some(), nonce: rand::random() }
    }

    fn bytes(&self) -> [u8; OPENING] {
        let mut bytes = [0; OPENING];
        bytes[..NAME.len()].copy_from_slice(&NAME);
        bytes[NAME.len()] = u8::from(self.keyed);
        bytes[NAME.len() + 1..].copy_from_slice(&self.nonce);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (keyed, nonce) = bytes.strip_prefix(&NAME)?.split_first()?;
        Some(Self { keyed: *keyed == 1, nonce: nonce.try_into().ok()? })
    }
}

/// An end of a connection.
#[derive(Clone, Copy)]
enum End {
    Connecting = 1,
    Accepting = 2,
}

/// The key of the proofs of one connection.
struct Seal([u8; 32]);

impl Seal {
    fn new(key: Option<&JobKey>, connecting: &Opening, accepting: &Opening) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&JobKey::for_proofs(key));
        hasher.update(&connecting.bytes()).update(&accepting.bytes());
        Self(hasher.finalize().into())
    }

    /// What shows that an end that knows the key has said something, after `before` other things. Such hashes are compared in
    /// a time that does not depend on them.
    fn proof(&self, end: End, before: u8, text: &[u8]) -> blake3::Hash {
        blake3::Hasher::new_keyed(&self.0).update(&[end as u8, before]).update(text).finalize()
    }

    /// Reads a text that is followed by its proof.
    fn open<T: DeserializeOwned>(&self, end: End, before: u8, bytes: &[u8]) -> io::Result<T> {
        let (text, proof) = bytes.split_last_chunk::<PROOF>().ok_or(ErrorKind::InvalidData)?;
        if self.proof(end, before, text) != *proof {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(serde_json::from_slice(text)?)
    }
}

/// One end of a connection whose two ends have the same key.
pub(super) struct Line {
    stream: TcpStream,
    seal: Seal,
    own: End,
    /// Proofs given and taken.
    given: u8,
    taken: u8,
}

impl Line {
    /// Says something, with a proof.
    pub(super) fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(what)?;
        let proof = self.seal.proof(self.own, self.given, &text);
        self.given += 1;
        self.stream.write_all(&[&(text.len() as u32).to_le_bytes()[..], &text, proof.as_bytes()].concat())
    }

    /// What the other end says, of at most so many bytes.
    pub(super) fn hear<T: DeserializeOwned>(&mut self, longest: usize, deadline: Instant) -> io::Result<T> {
        let other = match self.own {
            End::Connecting => End::Accepting,
            End::Accepting => End::Connecting,
        };
        let mut length = [0; 4];
        read(&mut self.stream, &mut length, deadline)?;
        let mut bytes = vec![0; sealed(length, longest)?];
        read(&mut self.stream, &mut bytes, deadline)?;
        self.taken += 1;
        self.seal.open(other, self.taken - 1, &bytes)
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// Bytes of a text of this length with its proof, unless it is too long.
fn sealed(length: [u8; 4], longest: usize) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    if length > longest { Err(ErrorKind::InvalidData.into()) } else { Ok(length + PROOF) }
}

/// Time until a deadline, of which sockets want some.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Fills a buffer by the deadline, however slowly bytes come.
fn read(stream: &mut TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        if Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left(deadline)))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Why whoever was called is not the rank that was meant.
pub(super) enum Wrong {
    /// Nothing was found out; it may go better another time.
    Connection(io::Error),
    /// It does not speak as ranks of this version do.
    NoRank,
    /// It has a key, this rank has none.
    KeyThere,
    /// This rank has a key, it has none.
    KeyHere,
    /// Both have one, but not the same; or it is another rank of the job.
    OtherKey,
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// Begins a conversation with rank `rank` on a connection made to it.
pub(super) fn call(mut stream: TcpStream, key: Option<&JobKey>, rank: usize, deadline: Instant) -> Result<Line, Wrong> {
    let own = Opening::new(key);
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left(deadline)))?;
    stream.write_all(&own.bytes())?;
    let mut opening = [0; OPENING];
    // Other programs may say less than ranks do.
    read(&mut stream, &mut opening[..1], deadline)?;
    if opening[0] != NAME[0] {
        return Err(Wrong::NoRank);
    }
    read(&mut stream, &mut opening[1..], deadline)?;
    let other = Opening::read(&opening).ok_or(Wrong::NoRank)?;
    match (own.keyed, other.keyed) {
        (false, true) => return Err(Wrong::KeyThere),
        (true, false) => return Err(Wrong::KeyHere),
        _ => {}
    }
    let mut proof = [0; PROOF];
    read(&mut stream, &mut proof, deadline)?;
    let seal = Seal::new(key, &own, &other);
    if seal.proof(End::Accepting, 0, &of_rank(rank)) != proof {
        return Err(Wrong::OtherKey);
    }
    Ok(Line { stream, seal, own: End::Connecting, given: 0, taken: 1 })
}

/// What the first proof of who accepts is of.
fn of_rank(rank: usize) -> [u8; 8] {
    (rank as u64).to_le_bytes()
}

/// Somebody who has connected, and may be a rank. Nothing that it does makes this end wait, or hold more than a few hundred
/// bytes.
pub(super) struct Guest {
    stream: TcpStream,
    /// What it has said since it said something whole.
    bytes: Vec<u8>,
    /// Once both have opened.
    seal: Option<Seal>,
}

impl Guest {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, bytes: Vec::new(), seal: None })
    }

    /// Goes on with what has come in the meantime, as rank `rank`: what it says of itself, in at most `longest` bytes, once it
    /// has shown that it has the same key. An error is a guest that is no rank of this job.
    pub(super) fn advance<T: DeserializeOwned>(
        &mut self,
        key: Option<&JobKey>,
        rank: usize,
        longest: usize,
    ) -> io::Result<Option<T>> {
        if self.seal.is_none() && self.fill(OPENING)? {
            self.seal = Some(self.answer(key, rank)?);
            self.bytes.clear();
        }
        if self.seal.is_none() || !self.fill(4)? {
            return Ok(None);
        }
        let length = self.bytes.first_chunk().map_or(Ok(0), |length| sealed(*length, longest))?;
        if !self.fill(4 + length)? {
            return Ok(None);
        }
        self.seal.as_ref().map(|seal| seal.open(End::Connecting, 0, &self.bytes[4..])).transpose()
    }

    /// Answers an opening.
    fn answer(&mut self, key: Option<&JobKey>, rank: usize) -> io::Result<Seal> {
        let other = Opening::read(&self.bytes).ok_or(ErrorKind::InvalidData)?;
        let own = Opening::new(key);
        let seal = Seal::new(key, &other, &own);
        let proof = seal.proof(End::Accepting, 0, &of_rank(rank));
        // So little is taken at once by a connection that is new.
        self.stream.write_all(&[&own.bytes()[..], proof.as_bytes()].concat())?;
        if own.keyed == other.keyed { Ok(seal) } else { Err(ErrorKind::InvalidData.into()) }
    }

    /// Reads until there are so many bytes; whether there are.
    fn fill(&mut self, length: usize) -> io::Result<bool> {
        let mut part = [0; 512];
        while self.bytes.len() < length {
            let room = part.len().min(length - self.bytes.len());
            match self.stream.read(&mut part[..room]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.bytes.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The connection to a rank that has said who it is, which has to take what is sent within this time.
    pub(super) fn into_line(self, patience: Duration) -> io::Result<Line> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(patience))?;
        let seal = self.seal.ok_or(ErrorKind::InvalidData)?;
        Ok(Line { stream: self.stream, seal, own: End::Accepting, given: 1, taken: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_once_at_one_end_of_one_connection() {
        let key = JobKey::new(b"a secret of all ranks").ok();
        let key = key.as_ref();
        let [own, other, third] = [0; 3].map(|_| Opening::new(key));
        let proof = |key: Option<&JobKey>, connecting: &Opening, accepting: &Opening, end, before, text: &[u8]| {
            Seal::new(key, connecting, accepting).proof(end, before, text)
        };
        let first = proof(key, &own, &other, End::Connecting, 0, b"rank 1");
        let others = [
            proof(None, &own, &other, End::Connecting, 0, b"rank 1"),
            proof(key, &other, &own, End::Connecting, 0, b"rank 1"),
            proof(key, &third, &other, End::Connecting, 0, b"rank 1"),
            proof(key, &own, &third, End::Connecting, 0, b"rank 1"),
            proof(key, &own, &other, End::Accepting, 0, b"rank 1"),
            proof(key, &own, &other, End::Connecting, 1, b"rank 1"),
            proof(key, &own, &other, End::Connecting, 0, b"rank 2"),
        ];
        assert!(others.iter().all(|other| *other != first));
        assert_eq!(first, proof(key, &own, &other, End::Connecting, 0, b"rank 1"));
    }
}
