//! The real program as processes under `mpirun`: the same training, and what happens when a rank does not play
//! along.
#![cfg(all(feature = "mpi", target_os = "linux"))]

mod common;

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{RANKS as CONFIG, Workspace, assert_same_course, summary};

/// Whether there is an `mpirun`. Where `ISOGRAD_REQUIRE_MPI` is set, as in CI, its absence fails the test.
fn has_mpirun() -> bool {
    let found = Command::new("mpirun").arg("--version").stdout(Stdio::null()).status();
    if let Err(error) = &found {
        assert!(std::env::var_os("ISOGRAD_REQUIRE_MPI").is_none(), "mpirun: {error}");
        common::skipped(&format!("mpirun: {error}"));
    }
    found.is_ok()
}

/// `mpirun` with the program's arguments for each group of ranks; `before` goes before the program.
fn mpirun(space: &Workspace, groups: &[(usize, &[&str], Vec<&str>)]) -> Command {
    let mut command = Command::new("mpirun");
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.current_dir(space.path("")).arg("--oversubscribe");
    for (place, (ranks, before, arguments)) in groups.iter().enumerate() {
        command.args(if place == 0 { &[][..] } else { &[":"] });
        command.args(["-n", &ranks.to_string()]).args(*before);
        command.arg(env!("CARGO_BIN_EXE_isograd")).args(arguments);
    }
    command
}

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "config.toml", "--out", out], more].concat()
}

fn run(space: &Workspace, ranks: usize, arguments: Vec<&str>) -> (i32, String) {
    ended(mpirun(space, &[(ranks, &[], arguments)]).output().unwrap())
}

/// Exit code, and all that was printed.
fn ended(Output { status, stdout, stderr }: Output) -> (i32, String) {
    (status.code().unwrap_or(-1), [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}

/// The process of a rank of the run in this workspace.
fn process(space: &Workspace, rank: usize) -> Option<u32> {
    let folder = fs::canonicalize(space.path("")).unwrap();
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let entry = entry.ok()?;
        let process = entry.file_name().to_str()?.parse().ok()?;
        let has = fs::read(entry.path().join("environ")).ok()?.split(|b| *b == 0).any(|v| v == wanted.as_bytes());
        (has && fs::read_link(entry.path().join("cwd")).ok()? == folder).then_some(process)
    })
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap().success());
}

fn start(space: &Workspace, ranks: usize, arguments: Vec<&str>) -> Child {
    let mut command = mpirun(space, &[(ranks, &[], arguments)]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the run has logged so many lines.
fn wait_for_lines(space: &Workspace, out: &str, lines: usize) {
    let file = space.path(out).join("metrics.jsonl");
    let start = Instant::now();
    while fs::read_to_string(&file).map_or(0, |text| text.lines().count()) < lines {
        assert!(start.elapsed() < Duration::from_secs(120), "the run does not get to line {lines}");
        sleep(Duration::from_millis(1));
    }
}

/// The end of a run, which must come soon.
fn end_of(child: Child) -> (i32, String) {
    let start = Instant::now();
    let end = ended(child.wait_with_output().unwrap());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    end
}

#[test]
fn processes_train_alike() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(160, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "alone"]);
    for (ranks, zero, recompute) in [(2, "0", "none"), (3, "1", "layer"), (2, "2", "layer"), (3, "3", "none")] {
        let out = format!("run-{ranks}-{zero}");
        let recompute = format!("parallel.recompute={recompute}");
        let (code, text) = run(&space, ranks, train(&out, &["--zero", zero, "--set", &recompute]));
        assert_eq!(code, 0, "{text}");
        assert_eq!(text.matches("parameters").count(), 1, "one rank prints: {text}");
        assert_same_course(&space.path(&out), &space.path("alone"));
        assert!(fs::read_to_string(space.path(&out).join("report.html")).unwrap().contains("waits for ranks"));
    }
}

#[test]
fn each_rank_takes_what_was_planned() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(200, CONFIG);
    // Layers and batches of a step. Validation is part of each run: it must not hold what training does not.
    for (zero, recompute, layers, accumulate) in
        [("0", "none", 2, 1), ("1", "none", 4, 2), ("2", "none", 2, 1), ("3", "layer", 8, 1)]
    {
        let set = [
            format!("parallel.recompute={recompute}"),
            format!("model.layers={layers}"),
            format!("train.accumulate={accumulate}"),
            "model.width=512".into(),
            "train.epochs=1".into(),
            // The check after training of a conservative potential of this size would take minutes.
            "model.forces=direct".into(),
        ];
        let mut more = vec!["--zero", zero];
        more.extend(set.iter().flat_map(|set| ["--set", set]));
        let (code, text) = run(&space, 2, train(zero, &more));
        assert_eq!(code, 0, "{text}");
        let train = &summary(&space.path(zero))["train"];
        for rank in train["ranks"].as_array().unwrap() {
            let ratio = train["planned_bytes"].as_f64().unwrap() / rank["peak_bytes"].as_f64().unwrap();
            assert!((0.9..=1.1).contains(&ratio), "stage {zero}: {ratio} of {}", rank["peak_bytes"]);
        }
    }
}

#[test]
fn a_killed_rank_ends_all_and_the_rest_goes_on() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(160, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "whole"]);
    // Each time another rank, at another moment, and then another number of ranks goes on.
    for (victim, ranks, lines, pause) in [(1usize, 3usize, 4usize, 3), (0, 2, 11, 0), (2, 3, 19, 11)] {
        let child = start(&space, ranks, train("killed", &["--resume", "--zero", "1"]));
        wait_for_lines(&space, "killed", lines);
        sleep(Duration::from_millis(pause));
        signal("KILL", process(&space, victim.min(ranks - 1)).unwrap());
        let (code, text) = end_of(child);
        assert_ne!(code, 0, "{text}");
        assert!(text.contains(&format!("rank {}", victim.min(ranks - 1))), "{text}");
    }
    let (code, text) = run(&space, 2, train("killed", &["--resume"]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("going on from step"), "{text}");
    assert_same_course(&space.path("killed"), &space.path("whole"));
    let left = fs::read_dir(space.path("killed/snapshots")).unwrap().map(|e| e.unwrap().file_name());
    assert!(left.into_iter().all(|name| name.to_str().unwrap().starts_with("step-")));
}

#[test]
fn a_stopped_run_leaves_a_snapshot_and_exit_code_0() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(160, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "whole"]);
    // To one rank, as schedulers do, and to mpirun, which passes it on.
    for (name, lines) in [("TERM", 5), ("USR1", 15)] {
        let child = start(&space, 3, train("stopped", &["--resume", "--zero", "2"]));
        wait_for_lines(&space, "stopped", lines);
        signal(name, if name == "TERM" { process(&space, 2).unwrap() } else { child.id() });
        let (code, text) = end_of(child);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("stopped at step") && text.contains("--resume"), "{text}");
    }
    let (code, text) = run(&space, 2, train("stopped", &["--resume"]));
    assert_eq!(code, 0, "{text}");
    assert_same_course(&space.path("stopped"), &space.path("whole"));
}

#[test]
fn a_slow_rank_is_waited_for_and_a_stuck_one_is_not() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(80, CONFIG);
    let child = start(&space, 3, train("slow", &[]));
    wait_for_lines(&space, "slow", 3);
    let slow = process(&space, 1).unwrap();
    signal("STOP", slow);
    sleep(Duration::from_secs(1));
    signal("CONT", slow);
    let (code, text) = end_of(child);
    assert_eq!(code, 0, "{text}");

    let child = start(&space, 3, train("stuck", &["--set", "parallel.timeout=2"]));
    wait_for_lines(&space, "stuck", 3);
    signal("STOP", process(&space, 1).unwrap());
    let (code, text) = end_of(child);
    assert_ne!(code, 0, "{text}");
    assert!(text.contains("has waited 2 s for rank 1"), "{text}");
}

#[test]
fn ranks_that_do_not_belong_together_are_told_so() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(40, CONFIG);
    let other = Workspace::new(44, CONFIG);
    let out = space.path("run").display().to_string();
    let with = |before: &[&str], more: &[&str]| {
        let groups = [(1, &[][..], train(&out, &[])), (1, before, train(&out, more)), (1, &[], train(&out, &[]))];
        ended(mpirun(&space, &groups).output().unwrap())
    };
    let folder = other.path("").display().to_string();
    let elsewhere = ["-wdir", folder.as_str()];
    let cases: [(&[&str], &[&str], &[&str]); 3] = [
        (&[], &["--set", "train.seed=1"], &["rank 1", "[train] `seed = 1` instead of `seed = 0`"]),
        (&elsewhere, &[], &["rank 1", "has read other data"]),
        (&[], &["--set", "train.sede=1"], &["rank 1", "did you mean `seed`"]),
    ];
    for (before, more, expected) in cases {
        let (code, text) = with(before, more);
        assert_eq!(code, 2, "{text}");
        for part in expected {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("error: ").count(), 1, "one rank says it: {text}");
        assert!(!space.path("run").exists(), "a run that cannot begin leaves nothing");
    }
}

#[test]
fn what_cannot_be_written_ends_all_ranks() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(40, CONFIG);
    // The run directory of all, on a file system that takes no files.
    let (code, text) = run(&space, 3, train("/sys/isograd", &[]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("/sys/isograd") && text.contains("cannot create"), "{text}");
    // One rank whose disk is full from some point on: the system refuses it to write on.
    let more = ["--set", "model.width=64"];
    let ignoring = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
    let mut command = mpirun(&space, &[(3, &ignoring, train("full", &more))]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_lines(&space, "full", 1);
    let process = process(&space, 1).unwrap().to_string();
    assert!(Command::new("prlimit").args(["--fsize=100", "--pid", &process]).status().unwrap().success());
    let (code, text) = end_of(child);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("rank 1: ") && text.contains("cannot write: File too large"), "{text}");
    let left = fs::read_dir(space.path("full/snapshots")).unwrap().map(|e| e.unwrap().file_name());
    assert!(left.into_iter().all(|name| name.to_str().unwrap().starts_with("step-")), "a part was left");
    let (code, text) = run(&space, 3, train("full", &[&more[..], &["--resume"]].concat()));
    assert_eq!(code, 0, "{text}");
}

/// A file system of its own, of so many KiB.
struct Disk(std::path::PathBuf);

impl Disk {
    /// `None`, said loudly, where this process may not mount one.
    fn new(at: std::path::PathBuf, size: u32) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mount = ["-t", "tmpfs", "-o", &format!("size={size}k"), "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(&at).output();
        if !mounted.as_ref().is_ok_and(|output| output.status.success()) {
            common::skipped(&format!("mounting a small disk: {mounted:?}"));
            return None;
        }
        Some(Self(at))
    }

    fn grow(&self, size: u32) {
        let remount = ["-o", &format!("remount,size={size}k")];
        assert!(Command::new("mount").args(remount).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_all_ranks_and_nothing_is_lost() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(80, CONFIG);
    let Some(disk) = Disk::new(space.path("disk"), 1500) else { return };
    let more = ["--set", "model.width=64", "--resume"];
    let (code, text) = run(&space, 3, train("disk/run", &more));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("cannot write: No space left on device"), "{text}");
    let left = fs::read_dir(space.path("disk/run/snapshots")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
    assert!(!left.is_empty() && left.iter().all(|name| name.starts_with("step-")), "{left:?}");
    disk.grow(20_000);
    let (code, text) = run(&space, 3, train("disk/run", &more));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("going on from step"), "{text}");
}

#[test]
fn ends_are_decided_once() {
    if !has_mpirun() {
        return;
    }
    let space = Workspace::new(80, CONFIG);
    let time = ["--set", "train.epochs=100000", "--set", "train.seconds=2"];
    let (code, text) = run(&space, 3, train("time", &time));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("report.html"), "{text}");
    let patience =
        ["--set", "train.epochs=100000", "--set", "train.early_stopping=1", "--set", "train.learning_rate=1e-12"];
    let (code, text) = run(&space, 3, train("patience", &patience));
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_program_of_another_mpi_does_not_train_many_times_over() {
    // A launcher that is not this library's: it sees one process where four are said to be.
    let space = Workspace::new(12, CONFIG);
    let output = space.command(&["train", "config.toml"]).env("PMI_RANK", "0").env("PMI_SIZE", "4").output().unwrap();
    let (code, text) = ended(output);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("a PMI launcher has started 4 processes") && text.contains("sees 1"), "{text}");
}
