//! What tests of ranks share: ranks that are threads, and places where they meet.
#![allow(unreachable_pub, reason = "a module of each test file")]

use std::net::TcpListener;
use std::time::Duration;

use isograd_comm::{Launcher, World};

pub const LONG: Duration = Duration::from_secs(60);

/// Runs `work` on a thread for each rank.
pub fn together<T: Send>(size: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let ranks: Vec<_> = (0..size).map(|rank| scope.spawn(move || work(rank))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// A port where nobody listens.
pub fn free_place() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub fn world(rank: usize, size: usize, place: &str) -> World {
    World { rank, size, local_rank: rank, launcher: Launcher::Flags, rendezvous: Some(place.to_owned()), key: None }
}
