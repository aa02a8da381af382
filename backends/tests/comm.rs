//! Collectives between ranks: against sums made by hand, for any number of ranks, and when ranks are lost,
//! silent, or fail.

use std::time::Duration;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use burn_ndarray::NdArray;
use isograd_backends::comm::{CommError, Communicator, Failure, Solo, Staged, Transport, spawn};

const LONG: Duration = Duration::from_secs(60);

/// What rank `rank` gives in round `round`: numbers whose sum depends on the order of the ranks.
fn values(rank: usize, round: usize, length: usize) -> Vec<f64> {
    (0..length).map(|k| ((1 + rank) as f64 * 0.1 + k as f64).powi(1 + (rank + round) as i32 % 5)).collect()
}

fn tensor<B: Backend>(values: Vec<f64>) -> Tensor<B, 1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]).convert::<B::FloatElem>(), &Default::default())
}

/// The sum in the order of the ranks, added in the precision of the backend.
fn sum<B: Backend>(ranks: usize, round: usize, length: usize) -> TensorData {
    let total = (1..ranks)
        .fold(tensor::<B>(values(0, round, length)), |total, rank| total + tensor(values(rank, round, length)));
    total.into_data()
}

/// Many rounds of changing sizes, so that fast ranks run into slow ones; one of them long enough to be cut.
fn ranks_agree<B: Backend>() {
    for ranks in 1..=4 {
        let all = spawn(ranks, LONG, |transport| {
            let comm = Staged::<B>::start(move || Ok(transport)).unwrap();
            assert_eq!(comm.size(), ranks);
            let mut found = Vec::new();
            for round in 0..60 {
                let length = if round == 30 { 9000 } else { round % 23 };
                let own = |length| tensor::<B>(values(comm.rank(), round, length));
                // All under way at once.
                let reduced = comm.all_reduce(vec![own(length), own(3)]);
                let piece = comm.reduce_scatter(vec![own(length), own(2)]);
                let sent = comm.broadcast(vec![tensor(vec![comm.rank() as f64 + 0.5; 3])], round % ranks);
                let piece = piece.wait().unwrap();
                assert_eq!(piece.dims(), [(length + 2).div_ceil(ranks)]);
                let gathered = comm.all_gather(piece, vec![length, 2]);
                let bytes = comm.gather_bytes(vec![7; comm.rank()]).unwrap();
                assert!(bytes.iter().enumerate().all(|(rank, bytes)| bytes.len() == rank));
                comm.barrier().unwrap();
                found.push(
                    [reduced, gathered, sent]
                        .map(|pending| pending.wait().unwrap().into_iter().map(Tensor::into_data).collect::<Vec<_>>()),
                );
            }
            let usage = comm.usage();
            assert_eq!(usage.sent == 0, ranks == 1);
            found
        });
        for found in all {
            for (round, [reduced, gathered, sent]) in found.into_iter().enumerate() {
                let length = if round == 30 { 9000 } else { round % 23 };
                let sum = |length| sum::<B>(ranks, round, length);
                assert_eq!(reduced, [sum(length), sum(3)]);
                assert_eq!(gathered, [sum(length), sum(2)]);
                assert_eq!(sent, [tensor::<B>(vec![(round % ranks) as f64 + 0.5; 3]).into_data()]);
            }
        }
    }
}

#[test]
fn ranks_agree_with_sums_by_hand() {
    ranks_agree::<Flex>();
    ranks_agree::<NdArray<f64>>();
}

#[test]
fn alone_there_is_nothing_to_add() {
    let own = tensor::<Flex>(values(0, 1, 7));
    let piece = Solo.reduce_scatter(vec![own.clone(), own.clone()]).wait().unwrap();
    let again = Solo.all_gather(piece, vec![7, 7]).wait().unwrap();
    let reduced = Solo.all_reduce(again).wait().unwrap();
    assert!(reduced.into_iter().all(|values| values.into_data() == own.to_data()));
}

/// Sums until an error comes.
fn sum_until(comm: &Staged<Flex>, stop: impl Fn(usize) -> bool) -> Result<(), CommError> {
    for round in 0.. {
        if stop(round) {
            return Ok(());
        }
        comm.all_reduce(vec![tensor(vec![1.0, 2.0])]).wait()?;
    }
    Ok(())
}

#[test]
fn a_lost_rank_is_an_error_on_the_others() {
    let ends = spawn(3, LONG, |transport| {
        let comm = Staged::start(move || Ok(transport)).unwrap();
        sum_until(&comm, |round| comm.rank() == 1 && round == 5)
    });
    assert_eq!(ends, [Err(CommError::Lost(1)), Ok(()), Err(CommError::Lost(1))]);
}

#[test]
fn a_rank_that_fails_says_why() {
    let failure = Failure { message: "the disk is full".into(), input: false };
    let ends = spawn(3, LONG, |transport| {
        let comm = Staged::start(move || Ok(transport)).unwrap();
        let end = sum_until(&comm, |round| comm.rank() == 2 && round == 5);
        if comm.rank() == 2 {
            comm.fail(failure.clone());
        }
        end
    });
    let told = CommError::Failed { rank: 2, failure: failure.clone() };
    assert_eq!(ends, [Err(told.clone()), Err(told.clone()), Ok(())]);
    assert_eq!(told.to_string(), "rank 2: the disk is full");
}

#[test]
fn a_silent_rank_is_not_waited_for_for_ever() {
    let ends = spawn(3, Duration::from_millis(200), |transport| {
        let rank = transport.rank();
        let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
        if rank == 1 {
            std::thread::sleep(Duration::from_secs(2));
            return Ok(());
        }
        comm.barrier()
    });
    assert_eq!(ends[0], Err(CommError::Silent { rank: 0, silent: vec![1], seconds: 0 }));
    assert!(ends[0].as_ref().unwrap_err().to_string().contains("for rank 1;"));
}

#[test]
fn different_work_is_an_error() {
    let ends = spawn(2, LONG, |transport| {
        let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
        comm.all_reduce(vec![tensor(vec![0.0; 3 + comm.rank()])]).wait().map(|_| ())
    });
    assert_eq!(ends[0], Err(CommError::Mismatch { rank: 0, expected: 12, other: 1, found: 16 }));
    assert_eq!(ends[1], Err(CommError::Mismatch { rank: 1, expected: 16, other: 0, found: 12 }));
}
