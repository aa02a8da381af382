//! Collectives between ranks: against sums made by hand, for any number of ranks, and when ranks are lost,
//! silent, or fail.

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use burn_ndarray::NdArray;
use common::{LONG, free_place, together, world};
use isograd_comm::{CommError, Communicator, Failure, Solo, Staged, Tcp, Threads, Transport, spawn};

/// A kind of transport, whose ranks are threads here.
trait Kind {
    type Rank: Transport + Send + 'static;

    fn spawn<T: Send>(size: usize, timeout: Duration, work: impl Fn(Self::Rank) -> T + Sync) -> Vec<T>;
}

struct InProcess;

impl Kind for InProcess {
    type Rank = Threads;

    fn spawn<T: Send>(size: usize, timeout: Duration, work: impl Fn(Threads) -> T + Sync) -> Vec<T> {
        spawn(size, timeout, work)
    }
}

struct OverTcp;

impl Kind for OverTcp {
    type Rank = Tcp;

    fn spawn<T: Send>(size: usize, timeout: Duration, work: impl Fn(Tcp) -> T + Sync) -> Vec<T> {
        let place = free_place();
        together(size, |rank| work(Tcp::connect(&world(rank, size, &place), timeout).unwrap()))
    }
}

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
fn ranks_agree<B: Backend, K: Kind>() {
    for ranks in 1..=4 {
        let all = K::spawn(ranks, LONG, |transport| {
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
                let card = |from: usize, to: usize| Arc::new(vec![(16 * from + to) as u8; from + 2 * to + round % 3]);
                let letters = comm.exchange_bytes((0..ranks).map(|to| card(comm.rank(), to)).collect());
                let bytes = comm.gather_bytes(vec![7; comm.rank()]).unwrap();
                let letters = letters.wait().unwrap();
                assert!(letters.iter().enumerate().all(|(from, letter)| *letter == card(from, comm.rank())));
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
    ranks_agree::<Flex, InProcess>();
    ranks_agree::<NdArray<f64>, InProcess>();
    ranks_agree::<Flex, OverTcp>();
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
    lost::<InProcess>();
    lost::<OverTcp>();
}

fn lost<K: Kind>() {
    let ends = K::spawn(3, LONG, |transport| {
        let comm = Staged::start(move || Ok(transport)).unwrap();
        sum_until(&comm, |round| comm.rank() == 1 && round == 5)
    });
    assert_eq!(ends, [Err(CommError::Lost(1)), Ok(()), Err(CommError::Lost(1))]);
}

#[test]
fn a_rank_that_fails_says_why() {
    fails::<InProcess>();
    fails::<OverTcp>();
}

fn fails<K: Kind>() {
    let failure = Failure { message: "the disk is full".into(), input: false };
    let ends = K::spawn(3, LONG, |transport| {
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
    silent::<InProcess>();
    silent::<OverTcp>();
}

fn silent<K: Kind>() {
    let ends = K::spawn(3, Duration::from_millis(200), |transport| {
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
    different::<InProcess>();
    different::<OverTcp>();
}

fn different<K: Kind>() {
    let ends = K::spawn(2, LONG, |transport| {
        let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
        comm.all_reduce(vec![tensor(vec![0.0; 3 + comm.rank()])]).wait().map(|_| ())
    });
    assert_eq!(ends[0], Err(CommError::Mismatch { rank: 0, expected: 12, other: 1, found: 16 }));
    assert_eq!(ends[1], Err(CommError::Mismatch { rank: 1, expected: 16, other: 0, found: 12 }));
}

/// What a rank sees of another one without asking it anything, once there is something to see.
fn seen<K: Kind>(end: impl Fn(&Staged<Flex>) + Sync) -> CommError {
    let all = K::spawn(2, LONG, |transport| {
        let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
        if comm.rank() == 1 {
            comm.barrier().unwrap();
            end(&comm);
            return None;
        }
        comm.check().unwrap();
        comm.barrier().unwrap();
        (0..1000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            comm.check().err()
        })
    });
    all.into_iter().flatten().next().unwrap()
}

#[test]
fn a_rank_that_ends_is_seen_without_asking() {
    let failure = Failure { message: "the GPU fell off the bus".into(), input: false };
    let fail = |comm: &Staged<Flex>| comm.fail(failure.clone());
    let failed = CommError::Failed { rank: 1, failure: failure.clone() };
    assert_eq!([seen::<InProcess>(fail), seen::<OverTcp>(fail)], [failed.clone(), failed]);
    assert_eq!([seen::<InProcess>(|_| {}), seen::<OverTcp>(|_| {})], [CommError::Lost(1), CommError::Lost(1)]);
}

#[test]
fn processes_that_do_not_belong_together_are_told_so() {
    let meet = |ranks: &[(usize, usize)]| {
        let place = free_place();
        together(ranks.len(), |k| Tcp::connect(&world(ranks[k].0, ranks[k].1, &place), LONG).map(|_| ()))
    };
    let told = |message: &str| Err(CommError::Launch(message.into()));
    assert_eq!(meet(&[(0, 2), (1, 2)]), [Ok(()), Ok(())]);
    let other_size = told("rank 1 was started as one of 3, rank 0 as one of 2");
    assert_eq!(meet(&[(0, 2), (1, 3)]), [other_size.clone(), other_size]);
    let twice = meet(&[(0, 3), (1, 3), (1, 3)]);
    assert!(
        twice.iter().all(|end| end.as_ref().unwrap_err().to_string().contains("rank 1 has come twice")),
        "{twice:?}"
    );
}

#[test]
fn ranks_that_do_not_come_are_named() {
    let place = free_place();
    let short = Duration::from_secs(1);
    let ends = together(2, |k| Tcp::connect(&world([0, 2][k], 4, &place), short).map(|_| ()));
    let absent = CommError::Absent { rank: 0, absent: vec![1, 3], seconds: 1, turned_away: 0 };
    assert_eq!(ends[0], Err(absent.clone()));
    // Rank 2 waits as long, and may be told first.
    let nobody = CommError::Absent { rank: 2, absent: vec![0], seconds: 1, turned_away: 0 };
    assert!([Err(CommError::Launch(absent.to_string())), Err(nobody)].contains(&ends[1]), "{ends:?}");
    let Err(error) = Tcp::connect(&world(1, 2, &place), short) else { panic!("nobody listens") };
    assert!(error.to_string().contains(&format!("rank 1 has not reached rank 0 at {place} within 1 s")), "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let Err(error) = Tcp::connect(&world(0, 2, &place), short) else { panic!("the port is taken") };
    assert!(error.to_string().contains("it must be a free port"), "{error}");
}
