//! Some of a stream of things, drawn evenly, however long it is: reservoir sampling (Vitter 1985, doi:10.1145/3147.3165).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Keeps up to so many of the things that it is handed, each as likely as any other. The same stream leaves the same.
#[derive(Debug, Clone)]
pub(crate) struct Reservoir<T> {
    most: usize,
    met: usize,
    kept: Vec<T>,
    random: ChaCha8Rng,
}

impl<T> Reservoir<T> {
    /// Keeps up to `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, met: 0, kept: Vec::new(), random: ChaCha8Rng::seed_from_u64(0) }
    }

    /// Hands over one thing, which is made if it is kept.
    pub(crate) fn add(&mut self, thing: impl FnOnce() -> T) {
        self.met += 1;
        if self.kept.len() < self.most {
            self.kept.push(thing());
        } else {
            let place = self.random.random_range(0..self.met);
            if place < self.most {
                self.kept[place] = thing();
            }
        }
    }

    /// How many were handed over.
    pub(crate) fn met(&self) -> usize {
        self.met
    }

    /// Those that were kept, in no order.
    pub(crate) fn kept(&self) -> &[T] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_kept_evenly() {
        let mut reservoir = Reservoir::new(1000);
        (0..100_000).for_each(|k| reservoir.add(|| k));
        assert_eq!((reservoir.met(), reservoir.kept().len()), (100_000, 1000));
        let mean = reservoir.kept().iter().sum::<i32>() / 1000;
        assert!((45_000..55_000).contains(&mean), "{mean}");
        let mut few = Reservoir::new(1000);
        (0..10).for_each(|k| few.add(|| k));
        assert_eq!(few.kept(), (0..10).collect::<Vec<_>>());
    }
}
