//! Where a rank waits for others, and strangers come too: none of them holds up a rank, however many there are.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::handshake::{Guest, Line};
use crate::{JobKey, World};

/// How long a guest has to say who it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most guests at a time that have not said who they are, beside as many as there are ranks. Where there are more, the
/// one that came first goes, and comes again if it is a rank.
const GUESTS: usize = 256;

/// The most that come in before those that are in are heard: nobody can keep the door so busy that no guest is.
const AT_ONCE: usize = 32;

/// The longest text in which a rank says who it is.
const LONGEST: usize = 512;

/// Pauses between looks at the door: with guests, and without.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(20)];

/// Where a rank listens.
pub(super) struct Door<'a> {
    listener: TcpListener,
    /// Who listens, and the key of its job.
    rank: usize,
    key: Option<&'a JobKey>,
    /// The most guests at a time.
    most: usize,
    /// With the time until which each may stay.
    guests: VecDeque<(Instant, Guest)>,
    /// How many have come, and how many of them have said who they are.
    came: usize,
    known: usize,
}

impl<'a> Door<'a> {
    /// Listens at `at` as a rank of `world`.
    pub(super) fn open(at: SocketAddr, world: &'a World) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        let World { rank, size, ref key, .. } = *world;
        Ok(Self { listener, rank, key: key.as_ref(), most: GUESTS + size, guests: VecDeque::new(), came: 0, known: 0 })
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// How many have come and not shown that they belong to the job.
    pub(super) fn turned_away(&self) -> usize {
        self.came - self.known
    }

    /// The next rank that says who it is, with the key; none once `over`.
    pub(super) fn next<T: DeserializeOwned>(&mut self, over: impl Fn() -> bool) -> Option<(Line, T)> {
        while !over() {
            let came = self.let_in();
            if let Some(known) = self.listen() {
                return Some(known);
            }
            if came < AT_ONCE {
                sleep(PAUSES[usize::from(self.guests.is_empty())]);
            }
        }
        None
    }

    /// Lets in who is waiting; how many.
    fn let_in(&mut self) -> usize {
        for count in 0..AT_ONCE {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.came += 1;
                    if let Ok(guest) = Guest::new(stream) {
                        self.guests.push_back((Instant::now() + PATIENCE, guest));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Also where the process may not open more: guests that go make room.
                Err(_) => return count,
            }
            if self.guests.len() > self.most {
                self.guests.pop_front();
            }
        }
        AT_ONCE
    }

    /// Hears every guest once, up to one that says who it is.
    fn listen<T: DeserializeOwned>(&mut self) -> Option<(Line, T)> {
        let now = Instant::now();
        let mut place = 0;
        while let Some((until, guest)) = self.guests.get_mut(place) {
            let said = guest.advance(self.key, self.rank, LONGEST);
            if matches!(said, Ok(None)) && now < *until {
                place += 1;
                continue;
            }
            let guest = self.guests.remove(place);
            if let (Ok(Some(said)), Some((_, guest))) = (said, guest) {
                self.known += 1;
                if let Ok(line) = guest.into_line(PATIENCE) {
                    return Some((line, said));
                }
            }
        }
        None
    }
}
