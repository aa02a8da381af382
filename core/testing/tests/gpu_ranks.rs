//! Collectives between ranks whose tensors are on GPUs: one rank, and several that share the GPUs there are, through
//! host memory or, with the feature `nccl` and a GPU for each, from device to device.
#![allow(clippy::print_stderr, reason = "says what it skips")]

use std::time::Duration;

use burn::tensor::{Tensor, TensorData};
use isograd_comm::{Staged, Threads, Transport, spawn};
use isograd_ops::device::DeviceName;
use isograd_train::{Backend, RunOn, dispatch};

const LONG: Duration = Duration::from_secs(120);

/// What rank `rank` gives in round `round`: whole numbers, whose sums are exact in any order.
fn values(rank: usize, round: usize, length: usize) -> Vec<f32> {
    (0..length).map(|k| ((k * 7 + round) % 23) as f32 * (rank + 1) as f32).collect()
}

fn sum(ranks: usize, round: usize, length: usize) -> Vec<f32> {
    let share = (ranks * (ranks + 1) / 2) as f32;
    values(0, round, length).into_iter().map(|value| share * value).collect()
}

struct Rank(Threads);

impl RunOn for Rank {
    type Output = ();

    fn run<B: Backend>(self, device: B::Device) {
        let Self(thread) = self;
        let ranks = thread.size();
        let staged = Staged::<B>::start(move || Ok(thread)).unwrap();
        let comm = B::join(staged, &device, LONG).unwrap();
        assert_eq!(comm.size(), ranks);
        let tensor =
            |values: Vec<f32>| Tensor::<B, 1>::from_data(TensorData::new(values.clone(), [values.len()]), &device);
        let numbers = |tensor: Tensor<B, 1>| tensor.into_data().into_vec::<f32>().unwrap();
        for round in 0..20 {
            // One of them large enough to be cut into messages.
            let length = if round == 10 { 70_000 } else { 1 + round * 37 % 101 };
            let own = |length| tensor(values(comm.rank(), round, length));
            let kept = own(length);
            let reduced = comm.all_reduce(vec![kept.clone(), own(3)]);
            let piece = comm.reduce_scatter(vec![own(length), own(2)]);
            let sent = comm.broadcast(vec![own(5)], round % ranks);
            // Work that goes on meanwhile, in memory of the same sizes.
            let work = (0..10).fold(own(length), |work, _| work * 2.0 - own(length));
            let piece = piece.wait().unwrap();
            assert_eq!(piece.dims(), [(length + 2).div_ceil(ranks)]);
            let gathered = comm.all_gather(piece, vec![length, 2]).wait().unwrap();
            let expected = [sum(ranks, round, length), sum(ranks, round, 2)];
            assert_eq!(gathered.into_iter().map(numbers).collect::<Vec<_>>(), expected);
            let reduced: Vec<_> = reduced.wait().unwrap().into_iter().map(numbers).collect();
            assert_eq!(reduced, [sum(ranks, round, length), sum(ranks, round, 3)]);
            let sent = sent.wait().unwrap().into_iter().map(numbers).next().unwrap();
            assert_eq!(sent, values(round % ranks, round, 5));
            assert_eq!(numbers(work), values(comm.rank(), round, length));
            // What was given is still what it was.
            assert_eq!(numbers(kept), values(comm.rank(), round, length));
        }
        comm.barrier().unwrap();
    }
}

#[test]
fn ranks_on_gpus_agree_with_sums_by_hand() {
    for name in ["wgpu", "cuda"] {
        let name: DeviceName = name.parse().unwrap();
        for ranks in 1..=3 {
            let ends = spawn(ranks, LONG, |thread| {
                let device = name.of_rank(thread.rank());
                dispatch(&device, Rank(thread))
            });
            match ends.into_iter().collect::<Result<(), _>>() {
                Ok(()) => {}
                Err(error) if std::env::var_os("ISOGRAD_REQUIRE_WGPU").is_some() && name.to_string() == "wgpu" => {
                    panic!("{error}")
                }
                Err(error) => eprintln!("skipped: {error}"),
            }
        }
    }
}
