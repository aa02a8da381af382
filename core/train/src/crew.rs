//! The threads that one rank computes on.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// Groups of threads, one for each part of a batch: what a part does in parallel stays in its group, so that parts neither
/// wait for each other's threads nor hand work over where each has one thread only.
pub struct Crew {
    groups: Vec<ThreadPool>,
}

impl Crew {
    /// As many groups as there are `parts`, which share `threads`, each of one at least.
    ///
    /// # Errors
    /// [`Error::Internal`] where the system makes no more threads.
    pub fn new(parts: usize, threads: usize) -> Result<Self> {
        let of = |part: usize| threads / parts + usize::from(part < threads % parts);
        let group = |part: usize| {
            let builder = ThreadPoolBuilder::new().num_threads(of(part).max(1));
            builder.thread_name(move |thread| format!("part-{part}-{thread}")).build()
        };
        let groups = (0..parts).map(group).collect::<Result<_, _>>();
        let groups = groups.map_err(|error| Error::Internal(format!("no threads for parts of a batch: {error}")))?;
        Ok(Self { groups })
    }

    /// No threads but the caller's.
    pub fn caller() -> Self {
        Self { groups: Vec::new() }
    }

    /// Does work on each item, the first in the first group and so on, side by side; without groups one after the other.
    ///
    /// # Panics
    /// If work does, or there are groups, but fewer than items.
    pub fn each<I: Send, T: Send>(&self, items: Vec<I>, work: impl Fn(I) -> T + Sync) -> Vec<T> {
        if self.groups.is_empty() {
            return items.into_iter().map(work).collect();
        }
        assert!(items.len() <= self.groups.len(), "Crew: {} items in {} groups", items.len(), self.groups.len());
        let mut done: Vec<Option<T>> = items.iter().map(|_| None).collect();
        let tasks = self.groups.iter().zip(items).zip(&mut done).map(|((group, item), done)| (group, item, done));
        all(tasks.collect(), &work);
        done.into_iter().flatten().collect()
    }
}

/// Starts the work on the first item, then that on the others, and waits for all.
fn all<I: Send, T: Send>(mut tasks: Vec<(&ThreadPool, I, &mut Option<T>)>, work: &(impl Fn(I) -> T + Sync)) {
    let Some((group, item, done)) = tasks.pop() else { return };
    group.in_place_scope(|scope| {
        scope.spawn(move |_| *done = Some(work(item)));
        all(tasks, work);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn items_are_worked_on_side_by_side_each_on_threads_of_its_own() {
        let crew = Crew::new(3, 4).unwrap();
        let barrier = Barrier::new(3);
        let found = crew.each(vec![10, 20, 30], |item| {
            barrier.wait();
            (item, rayon::current_num_threads())
        });
        assert_eq!(found, [(10, 2), (20, 1), (30, 1)]);
    }

    #[test]
    fn without_groups_the_caller_does_all() {
        let caller = std::thread::current().id();
        let found = Crew::caller().each(vec![1, 2], |item| (item, std::thread::current().id()));
        assert_eq!(found, [(1, caller), (2, caller)]);
    }

    #[test]
    #[should_panic(expected = "a part failed")]
    fn a_panic_reaches_the_caller() {
        Crew::new(2, 2).unwrap().each(vec![1, 2], |item| assert!(item < 2, "a part failed"));
    }
}
