//! Ranks that are threads of one process.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{CommError, Failure, Message, Transport};

/// What all ranks see.
#[derive(Default)]
struct Post {
    /// Messages under way, by sender and receiver.
    boxes: Vec<Vec<VecDeque<Message>>>,
    /// Ranks that have ended, the first one first.
    ended: Vec<usize>,
    /// Why a rank cannot go on, the first one that said so.
    failed: Option<(usize, Failure)>,
}

struct Shared {
    post: Mutex<Post>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rank that is a thread. Dropping it tells the others that it has ended.
pub struct Threads {
    rank: usize,
    size: usize,
    timeout: Duration,
    shared: Arc<Shared>,
}

impl Threads {
    /// As many ranks as asked for, which belong to each other and wait at most so long for one another.
    pub fn new(size: usize, timeout: Duration) -> Vec<Self> {
        let boxes = (0..size).map(|_| (0..size).map(|_| VecDeque::new()).collect()).collect();
        let post = Mutex::new(Post { boxes, ..Default::default() });
        let shared = Arc::new(Shared { post, changed: Condvar::new() });
        (0..size).map(|rank| Self { rank, size, timeout, shared: shared.clone() }).collect()
    }

    /// The next message of a rank.
    fn receive(&self, from: usize, deadline: Instant) -> Result<Message, CommError> {
        let mut post = self.shared.lock();
        loop {
            if let Some(message) = post.boxes[from][self.rank].pop_front() {
                return Ok(message);
            }
            if let Some((rank, failure)) = &post.failed {
                return Err(CommError::Failed { rank: *rank, failure: failure.clone() });
            }
            if post.ended.contains(&from) {
                // Those that ended later did so for want of the first.
                return Err(CommError::Lost(post.ended[0]));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let silent = (0..self.size).filter(|&other| other != self.rank);
                let silent = silent.filter(|&other| post.boxes[other][self.rank].is_empty() && other >= from);
                let (rank, seconds) = (self.rank, self.timeout.as_secs());
                return Err(CommError::Silent { rank, silent: silent.collect(), seconds });
            }
            post = self.shared.changed.wait_timeout(post, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Transport for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&mut self, to: Vec<Message>) -> Result<Vec<Message>, CommError> {
        assert_eq!(to.len(), self.size, "exchange: messages");
        let mut post = self.shared.lock();
        for (target, message) in post.boxes[self.rank].iter_mut().zip(to) {
            target.push_back(message);
        }
        drop(post);
        self.shared.changed.notify_all();
        let deadline = Instant::now() + self.timeout;
        (0..self.size).map(|from| self.receive(from, deadline)).collect()
    }

    fn check(&mut self) -> Result<(), CommError> {
        let post = self.shared.lock();
        match (&post.failed, post.ended.first()) {
            (Some((rank, failure)), _) => Err(CommError::Failed { rank: *rank, failure: failure.clone() }),
            (None, Some(&lost)) => Err(CommError::Lost(lost)),
            (None, None) => Ok(()),
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.shared.lock().failed.get_or_insert_with(|| (self.rank, failure.clone()));
        self.shared.changed.notify_all();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.lock().ended.push(self.rank);
        self.shared.changed.notify_all();
    }
}

/// Runs `work` as `size` ranks, each on a thread of its own; what they return, by rank.
///
/// # Panics
/// If a rank panics, once all have ended.
pub fn spawn<T: Send>(size: usize, timeout: Duration, work: impl Fn(Threads) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let ranks = Threads::new(size, timeout).into_iter();
        let ranks: Vec<_> = ranks.map(|rank| scope.spawn(move || work(rank))).collect();
        let ended: Vec<_> = ranks.into_iter().map(|rank| rank.join()).collect();
        ended.into_iter().map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}
