//! The real program as processes joined by TCP, without a launcher: the same training, and what happens when
//! they do not belong together or one is lost.

use std::fs::Permissions;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{RANKS as CONFIG, Workspace, assert_same_course};

/// A port where nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts the program with arguments of its own for each rank, and those of all.
fn start(space: &Workspace, own: &[Vec<String>], all: &[&str]) -> Vec<Child> {
    let start = |own: &Vec<String>| {
        let mut command = space.command(&["train", "config.toml"]);
        command.args(own).args(all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    own.iter().map(start).collect()
}

/// Which rank of how many each process is said to be.
fn numbered(ranks: &[(usize, usize)]) -> Vec<Vec<String>> {
    let place = format!("localhost:{}", free_port());
    let own = |(rank, size): &(usize, usize)| {
        ["--rank", &rank.to_string(), "--world-size", &size.to_string(), "--rendezvous", &place]
            .map(String::from)
            .to_vec()
    };
    ranks.iter().map(own).collect()
}

fn all_of(size: usize) -> Vec<Vec<String>> {
    numbered(&(0..size).map(|rank| (rank, size)).collect::<Vec<_>>())
}

/// Exit codes and all that was printed, by process.
fn ends(children: Vec<Child>) -> Vec<(i32, String)> {
    let end = |child: Child| {
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (status.code().unwrap_or(-1), text)
    };
    children.into_iter().map(end).collect()
}

fn succeed(children: Vec<Child>) -> Vec<String> {
    let check = |(rank, (code, text)): (usize, (i32, String))| {
        assert_eq!(code, 0, "rank {rank}: {text}");
        text
    };
    ends(children).into_iter().enumerate().map(check).collect()
}

#[test]
fn processes_joined_by_tcp_train_alike() {
    let space = Workspace::new(160, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "alone"]);
    for (ranks, zero) in [(2, "2"), (3, "3")] {
        let out = format!("run-{ranks}");
        let printed = succeed(start(&space, &all_of(ranks), &["--out", &out, "--zero", zero]));
        assert!(printed[0].contains("waits for ranks"), "{}", printed[0]);
        assert!(printed[1..].iter().all(String::is_empty), "only rank 0 prints: {printed:?}");
        assert_same_course(&space.path(&out), &space.path("alone"));
    }
}

#[test]
fn processes_hold_samples_for_each_other() {
    let space = Workspace::new(120, CONFIG);
    space.succeed(&["data", "pack", "data.xyz", "-o", "data.store", "--cutoff", "3", "--group-key", "system"]);
    space.succeed(&["train", "config.toml", "--out", "alone"]);
    for (ranks, resident) in [(2, "ranks"), (3, "ranks"), (2, "node")] {
        let out = format!("{resident}-{ranks}");
        let set = format!("data.resident={resident}");
        let all = ["--out", &out, "--set", &set, "--set", "data.files=[\"data.store\"]"];
        let printed = succeed(start(&space, &all_of(ranks), &all));
        assert!(printed[0].contains("in memory"), "{}", printed[0]);
        assert_same_course(&space.path(&out), &space.path("alone"));
    }
}

#[test]
fn variables_of_torchrun_are_enough() {
    let space = Workspace::new(40, CONFIG);
    let port = free_port().to_string();
    let start = |rank: &str| {
        let mut command = space.command(&["train", "config.toml", "--out", "run"]);
        command.env("RANK", rank).env("LOCAL_RANK", rank).env("WORLD_SIZE", "2");
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", &port);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let printed = succeed(vec![start("0"), start("1")]);
    assert!(printed[0].contains("waits for ranks"), "{}", printed[0]);
}

#[test]
fn a_killed_process_ends_the_others_at_once() {
    let space = Workspace::new(160, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "whole"]);
    let mut children = start(&space, &all_of(3), &["--out", "killed", "--zero", "1"]);
    let lines = || std::fs::read_to_string(space.path("killed/metrics.jsonl")).map_or(0, |text| text.lines().count());
    let began = Instant::now();
    while lines() < 9 {
        assert!(began.elapsed() < Duration::from_secs(120), "the run does not begin");
        sleep(Duration::from_millis(1));
    }
    children[1].kill().unwrap();
    let killed = Instant::now();
    let ends = ends(children);
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    for (rank, (code, text)) in ends.iter().enumerate().filter(|(rank, _)| *rank != 1) {
        assert_eq!(*code, 1, "rank {rank}: {text}");
        assert!(text.contains("rank 1 was lost"), "rank {rank}: {text}");
    }
    succeed(start(&space, &all_of(2), &["--out", "killed", "--resume"]));
    assert_same_course(&space.path("killed"), &space.path("whole"));
}

#[test]
fn one_process_trains_in_a_directory_and_a_closed_terminal_leaves_a_snapshot() {
    let space = Workspace::new(160, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "whole"]);
    let mut command = space.command(&["train", "config.toml", "--out", "run"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = || std::fs::read_to_string(space.path("run/metrics.jsonl")).map_or(0, |text| text.lines().count());
    let began = Instant::now();
    while lines() < 5 {
        assert!(began.elapsed() < Duration::from_secs(120), "the run does not begin");
        sleep(Duration::from_millis(1));
    }
    let signal = |name: &str| {
        let kill = std::process::Command::new("kill").args([name, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    };
    signal("-STOP");
    let (code, _, message) = space.run(&["train", "config.toml", "--out", "run", "--resume"]);
    assert!(code == 2 && message.contains("is being trained in by another process"), "{message}");
    signal("-CONT");
    signal("-HUP");
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    let (code, _, said) = space.run(&["train", "config.toml", "--out", "run", "--resume"]);
    assert!(code == 0 && said.contains("going on from step"), "{said}");
    assert_same_course(&space.path("run"), &space.path("whole"));
}

#[test]
fn processes_that_do_not_belong_together_end_with_2() {
    let space = Workspace::new(12, CONFIG);
    let refused = |ranks: &[(usize, usize)], all: &[&str], expected: &str| {
        for (code, text) in ends(start(&space, &numbered(ranks), all)) {
            assert_eq!(code, 2, "{text}");
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!space.path("run").exists(), "a run that cannot begin leaves nothing");
    };
    refused(&[(0, 2), (1, 3)], &["--out", "run"], "was started as one of 3, rank 0 as one of 2");
    refused(&[(0, 2), (1, 2)], &["--out", "run", "--set", "train.sede=1"], "did you mean `seed`");
    refused(&[(2, 2)], &["--out", "run"], "rank 2 of 2");
    refused(&[(0, 2)], &["--out", "run", "--ranks", "3"], "has started 2 processes; leave it out");
    let (code, _, message) = space.run(&["train", "config.toml", "--rank", "0", "--world-size", "2"]);
    assert_eq!((code, message.contains("--rendezvous")), (2, true), "{message}");
    let (code, _, message) = space.run(&["train", "config.toml", "--rendezvous", "localhost:9"]);
    assert_eq!((code, message.contains("--world-size")), (2, true), "{message}");
}

#[test]
fn a_process_that_does_not_come_is_named() {
    let space = Workspace::new(12, CONFIG);
    let own = numbered(&[(0, 3), (2, 3)]);
    let ends = ends(start(&space, &own, &["--out", "run", "--set", "parallel.timeout=1"]));
    assert_eq!(ends[0].0, 1, "{ends:?}");
    assert!(ends[0].1.contains("has waited 1 s for rank 1;"), "{ends:?}");
    assert_ne!(ends[1].0, 0, "{ends:?}");
    assert!(!space.path("run").exists());
}

/// A connection to a rank that may not listen yet.
fn dial(place: &str) -> TcpStream {
    let began = Instant::now();
    loop {
        match TcpStream::connect(place) {
            // The system may have connected it to itself.
            Ok(stream) if stream.local_addr().unwrap() != stream.peer_addr().unwrap() => return stream,
            Ok(_) => {}
            Err(error) => assert!(began.elapsed() < Duration::from_secs(120), "{place}: {error}"),
        }
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn processes_with_a_key_are_not_disturbed_by_strangers() {
    let space = Workspace::new(40, CONFIG);
    for (name, secret) in [("job.key", "a secret of all ranks\n"), ("other.key", "the secret of another job\n")] {
        std::fs::write(space.path(name), secret).unwrap();
        std::fs::set_permissions(space.path(name), Permissions::from_mode(0o600)).unwrap();
    }
    // At all addresses of this machine.
    let place = format!("0.0.0.0:{}", free_port());
    let rank = |rank: &str, key: &[&str]| {
        let own = ["--rank", rank, "--world-size", "2", "--rendezvous", &place, "--out", "run"];
        let mut command = space.command(&["train", "config.toml"]);
        command.args(own).args(key).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let first = rank("0", &["--job-key", "job.key"]);
    let mut stranger = dial(&place);
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let silent = dial(&place);
    let (code, text) = ends(vec![rank("1", &["--job-key", "other.key"])]).swap_remove(0);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("the job key of rank 1 differs from that of rank 0") && !text.contains("secret"), "{text}");
    let printed = succeed(vec![first, rank("1", &["--job-key", "job.key"])]);
    drop(silent);
    let warning = "3 connections were turned away while ranks were joined";
    assert_eq!(printed[0].matches(warning).count(), 2, "at the start, and once more at the end: {}", printed[0]);
    let summary = std::fs::read_to_string(space.path("run/summary.json")).unwrap();
    assert!(summary.contains(warning) && !summary.contains("secret"), "{summary}");
}

#[test]
fn processes_that_others_can_reach_need_a_key() {
    let space = Workspace::new(12, CONFIG);
    let rank = ["train", "config.toml", "--rank", "0", "--world-size", "2", "--rendezvous"];
    let refused = |place: &str, key: &[&str], expected: &[&str]| {
        let (code, _, message) = space.run(&[&rank[..], &[place], key].concat());
        assert_eq!(code, 2, "{message}");
        for expected in expected {
            assert!(message.contains(expected), "{expected}: {message}");
        }
    };
    for place in ["0.0.0.0:29400", "node1:29400"] {
        refused(place, &[], &[place, "openssl rand -hex 32 > job.key", "--job-key job.key", "ISOGRAD_JOB_KEY"]);
    }
    std::fs::write(space.path("job.key"), "short\n").unwrap();
    let key = ["--job-key", "job.key"];
    std::fs::set_permissions(space.path("job.key"), Permissions::from_mode(0o640)).unwrap();
    refused("node1:29400", &key, &["--job-key job.key: ", "mode 640", "chmod 600"]);
    std::fs::set_permissions(space.path("job.key"), Permissions::from_mode(0o400)).unwrap();
    refused("localhost:29400", &key, &["--job-key job.key: ", "has 5 bytes", "needs 16"]);
    refused("localhost:29400", &["--job-key", "none.key"], &["--job-key none.key: No such file"]);
    let (code, _, message) = space.run(&["train", "config.toml", "--job-key", "job.key"]);
    assert_eq!((code, message.contains("there is only one rank")), (2, true), "{message}");
}

#[test]
fn a_variable_has_the_key_as_well() {
    let space = Workspace::new(40, CONFIG);
    let port = free_port().to_string();
    let start = |rank: &str| {
        let mut command = space.command(&["train", "config.toml", "--out", "run"]);
        command.env("RANK", rank).env("LOCAL_RANK", rank).env("WORLD_SIZE", "2");
        command.env("MASTER_ADDR", "0.0.0.0").env("MASTER_PORT", &port);
        command.env("ISOGRAD_JOB_KEY", "a secret of all ranks");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let printed = succeed(vec![start("0"), start("1")]);
    assert!(printed[0].contains("waits for ranks"), "{}", printed[0]);
    assert!(!printed[0].contains("turned away"), "{}", printed[0]);
}

/// A model and its training state of 2 GB.
const LARGE: &str = "[model]
width = 1024
layers = 20
cutoff = 3.0
[train]
epochs = 1000
validate_every = 1000
batch_graphs = 12
ema_decay = 0.0
[parallel]
recompute = \"layer\"
[run]
log_every = 1
";

/// The program as [`start`] starts it, unable to take more than this many KiB of address space.
fn start_within(space: &Workspace, kibibytes: usize, own: &[Vec<String>], all: &[&str]) -> Vec<Child> {
    let start = |own: &Vec<String>| {
        let mut command = std::process::Command::new("sh");
        command.current_dir(space.path(".")).args(["-c", &format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"")]);
        command.args([env!("CARGO_BIN_EXE_isograd"), "train", "config.toml"]).args(own).args(all);
        // Threads take address space too.
        command.env("RAYON_NUM_THREADS", "2");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    own.iter().map(start).collect()
}

#[test]
fn a_model_too_large_for_one_process_trains_on_two_with_zero_3() {
    const LIMIT: usize = 2_100_000;
    let space = Workspace::new(24, LARGE);
    let (code, text) = ends(start_within(&space, LIMIT, &[Vec::new()], &["--out", "alone"])).swap_remove(0);
    assert!(code == 1 && text.contains("out of memory"), "{code}: {text}");

    let children = start_within(&space, LIMIT, &all_of(2), &["--out", "shared", "--zero", "3"]);
    let lines = || std::fs::read_to_string(space.path("shared/metrics.jsonl")).map_or(0, |text| text.lines().count());
    let began = Instant::now();
    while lines() < 2 && began.elapsed() < Duration::from_secs(300) {
        sleep(Duration::from_millis(20));
    }
    for child in &children {
        std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    }
    let printed = succeed(children);
    assert!(printed[0].contains("stopped at step"), "{}", printed[0]);
    assert!(lines() >= 2, "{}", printed[0]);
}
