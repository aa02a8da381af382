//! The batches of one rank, in the order of training, made by background threads: of samples that the rank reads itself, or
//! that other ranks hold in memory and have sent before they are needed.

mod exchange;
mod held;
mod node;
mod resident;

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::backend::Backend;
use isograd_comm::Communicator;
use isograd_data::{BATCHES_OF_WORKER, Loader};

use self::exchange::{Arrivals, Exchange};
pub(crate) use self::held::Held;
pub use self::held::Holding;
pub(crate) use self::resident::Resident;
use crate::config::TrainConfig;
use crate::{Dataset, Error, Result, Sample};

/// Which samples each rank has of a step, by the step's number: the same on all ranks.
pub(crate) type Shares = dyn Fn(usize) -> Vec<Vec<usize>> + Send + Sync;

/// What is made of the samples that a rank has of a step.
pub(crate) type Assemble<T> = dyn Fn(&Dataset, &[usize], Vec<Sample>) -> T + Send + Sync;

/// Steps through a data set.
pub(crate) struct Walk {
    pub(crate) dataset: Arc<Dataset>,
    /// Where samples are that ranks hold for each other.
    pub(crate) held: Option<Arc<Held>>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) steps: Range<usize>,
}

/// An iterator over what one rank has of each step. All ranks call it equally often, and between the same collectives.
pub(crate) struct Feed<'a, B: Backend, T> {
    loader: Loader<T, Error>,
    exchange: Option<Exchange<'a, B>>,
    /// The next step.
    next: usize,
    /// Steps, from that one, whose samples the background threads may ask for.
    ahead: usize,
}

impl<'a, B: Backend, T: Send + 'static> Feed<'a, B, T> {
    pub(crate) fn new(
        comm: &'a dyn Communicator<B>,
        train: &TrainConfig,
        walk: Walk,
        assemble: Arc<Assemble<T>>,
    ) -> Self {
        let (rank, workers, next) = (comm.rank(), train.workers, walk.steps.start);
        let exchange = Exchange::new(comm, &walk);
        let arrivals = exchange.as_ref().map(Exchange::arrivals);
        let Walk { dataset, held, shares, steps } = walk;
        let make = move |step: usize| -> Result<T> {
            let own = shares(step).swap_remove(rank);
            let samples = samples(&dataset, held.as_deref(), arrivals.as_deref(), step, &own)?;
            Ok(assemble(&dataset, &own, samples))
        };
        // A worker may be one step further than those that wait, and the model at the first of several.
        let ahead = workers * BATCHES_OF_WORKER + train.accumulate;
        Self { loader: Loader::new(Arc::new(make), steps, workers), exchange, next, ahead }
    }

    /// Seconds that the iterator has waited for background threads so far.
    pub(crate) fn waited(&self) -> f64 {
        self.loader.waited().as_secs_f64()
    }
}

/// The samples that a rank has of a step.
fn samples(
    dataset: &Dataset,
    held: Option<&Held>,
    arrivals: Option<&Arrivals>,
    step: usize,
    own: &[usize],
) -> Result<Vec<Sample>> {
    let Some(held) = held else { return own.iter().map(|&index| dataset.sample(index)).collect() };
    let arrived = arrivals.map(|arrivals| arrivals.of_step(step)).transpose()?;
    let mut sent = arrived.as_ref().map(|window| window.samples(step)).into_iter().flatten();
    let sample = |&index: &usize| {
        if !dataset.is_stored(index) {
            return dataset.sample(index);
        }
        match held.bytes(index) {
            Some(bytes) => dataset.sample_from(index, bytes),
            None => {
                let missing = || Error::Internal(format!("sample {index} has not been sent"));
                dataset.sample_from(index, sent.next().ok_or_else(missing)?)
            }
        }
    };
    own.iter().map(sample).collect()
}

impl<B: Backend, T: Send + 'static> Iterator for Feed<'_, B, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(exchange) = &mut self.exchange
            && let Err(error) = exchange.advance(self.next, self.ahead)
        {
            return Some(Err(error));
        }
        self.next += 1;
        self.loader.next()
    }
}

impl<B: Backend, T> Drop for Feed<'_, B, T> {
    fn drop(&mut self) {
        // The loader waits for its threads, which may wait for samples.
        if let Some(exchange) = &self.exchange {
            exchange.arrivals().close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use burn_flex::Flex;
    use isograd_comm::{Communicator, Staged, spawn};
    use isograd_data::formats::Formats;
    use isograd_data::store::PackOptions;
    use isograd_data::{Source, share};
    use isograd_models::Registry;

    use super::held::Held;
    use super::node::copy_to_nodes;
    use super::{Feed, Walk};
    use crate::config::{Config, TrainConfig};
    use crate::{Dataset, Sample, prepare};

    /// Chains of 2 to 7 atoms.
    fn chains(count: usize) -> String {
        let mut text = String::new();
        for k in 0..count {
            let atoms = 2 + k * k % 6;
            let _ = writeln!(text, "{atoms}\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-{k}.5");
            for atom in 0..atoms {
                let _ = writeln!(text, "{} {} 0.{k} 0 0.{k} -0.25 {atom}", ["H", "O"][atom % 2], atom as f64 * 1.1);
            }
        }
        text
    }

    /// A store of 100 structures in small shards, beside as many in a file.
    fn dataset(folder: &Path) -> Arc<Dataset> {
        let files = ["packed.xyz", "plain.xyz"].map(|name| folder.join(name));
        fs::write(&files[0], chains(100)).unwrap();
        fs::write(&files[1], chains(100).replace(".5\n", ".75\n")).unwrap();
        let store = folder.join("packed.store");
        let options = PackOptions { cutoffs: vec![3.0], shard_graphs: 30, ..PackOptions::default() };
        Source::default().pack(&Formats::default(), &files[..1], &store, &options, &|_| {}).unwrap();
        let text = format!(
            "[[data.sources]]\nname = \"packed\"\nfiles = [{store:?}]\n\
             [[data.sources]]\nname = \"plain\"\nfiles = [{:?}]\n[model]\ncutoff = 3.0\n",
            files[1]
        );
        let overrides = ["data.suspicious=filter", "data.leakage=allow"].map(String::from);
        let config = Config::parse(&text, &overrides, "test").unwrap();
        prepare(&config, &Registry::default(), &Formats::default()).unwrap().training
    }

    /// Overwrites all shards; what reads a graph from one of them fails.
    fn damage(folder: &Path) {
        for shard in fs::read_dir(folder.join("packed.store/shards")).unwrap() {
            let path = shard.unwrap().path();
            let length = path.metadata().unwrap().len() as usize;
            fs::write(path, vec![0x55; length]).unwrap();
        }
    }

    fn samples(dataset: &Dataset) -> Vec<Sample> {
        (0..dataset.len()).map(|index| dataset.sample(index).unwrap()).collect()
    }

    #[test]
    fn ranks_have_each_other_s_samples() {
        for (ranks, width) in [(1, 1), (2, 2), (3, 3), (4, 2), (2, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let dataset = dataset(folder.path());
            let expected = samples(&dataset);
            let held: Vec<Arc<Held>> =
                (0..ranks).map(|rank| Arc::new(Held::read(&dataset, rank, width, &mut |_| {}).unwrap())).collect();
            let stored: Vec<usize> = (0..dataset.len()).filter(|&index| dataset.is_stored(index)).collect();
            for group in held.chunks(width) {
                for &index in &stored {
                    assert_eq!(group.iter().filter(|held| held.bytes(index).is_some()).count(), 1, "{index}");
                }
            }
            damage(folder.path());
            assert!(stored.iter().all(|&index| dataset.sample(index).is_err()));

            // More than a window: all samples, again and again, some of them twice in a step.
            let step = |step: usize| (0..700).map(|k| (k * 7 + step * step) % 170).collect::<Vec<_>>();
            let steps = 90;
            assert!(step(0).iter().map(|&index| dataset.sizes[index].atoms).sum::<usize>() * steps > 3 << 16);
            let found = spawn(ranks, Duration::from_secs(60), |transport| {
                let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
                let rank = comm.rank();
                let sizes = dataset.clone();
                let walk = Walk {
                    dataset: dataset.clone(),
                    held: Some(held[rank].clone()),
                    shares: Arc::new(move |number| share(&step(number), &sizes.sizes, ranks)),
                    steps: 3..steps,
                };
                let train = TrainConfig { workers: 2, accumulate: 2, ..TrainConfig::default() };
                let keep = |_: &Dataset, own: &[usize], samples: Vec<Sample>| (own.to_vec(), samples);
                let mut all = 0;
                for (number, found) in (3..).zip(Feed::new(&comm, &train, walk, Arc::new(keep))) {
                    let (own, samples) = found.unwrap();
                    assert_eq!(own, share(&step(number), &dataset.sizes, ranks)[rank]);
                    assert_eq!(samples.len(), own.len());
                    assert!(own.iter().zip(&samples).all(|(&index, sample)| *sample == expected[index]));
                    all += own.len();
                }
                all
            });
            assert_eq!(found.iter().sum::<usize>(), 700 * (steps - 3));
        }
    }

    #[test]
    fn a_walk_that_ends_early_ends_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(folder.path());
        spawn(2, Duration::from_secs(60), |transport| {
            let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
            let rank = comm.rank();
            let held = Some(Arc::new(Held::read(&dataset, rank, 2, &mut |_| {}).unwrap()));
            let sizes = dataset.clone();
            let all: Vec<usize> = (0..150).collect();
            let shares = Arc::new(move |_| share(&all, &sizes.sizes, 2));
            let feed = || {
                let (dataset, held, shares) = (dataset.clone(), held.clone(), shares.clone());
                let walk = Walk { dataset, held, shares, steps: 0..100_000 };
                let count = |_: &Dataset, _: &[usize], samples: Vec<Sample>| samples.len();
                Feed::new(&comm, &TrainConfig::default(), walk, Arc::new(count))
            };
            // Its threads wait for what nobody has asked for.
            drop(feed());
            let mut feed = feed();
            assert!(feed.by_ref().take(5).all(|found| found.is_ok_and(|count| count > 0)));
            drop(feed);
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_machine_holds_stores_for_all_its_ranks() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(folder.path());
        let expected = samples(&dataset);
        let bytes = spawn(2, Duration::from_secs(60), |transport| {
            let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
            copy_to_nodes(&comm, &dataset).unwrap()
        });
        assert_eq!(bytes[0], dataset.stores()[0].shard_bytes());
        damage(folder.path());
        assert_eq!(samples(&dataset), expected);
    }
}
