//! House rules, as tests.

use std::path::{Path, PathBuf};

/// Our Rust files; what cargo builds is not ours.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn rust_files() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    sources(Path::new("."), &mut paths);
    assert!(paths.len() > 40, "found only {} files", paths.len());
    paths.into_iter().map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// The part before the unit tests.
fn program(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in rust_files() {
        let start = text.trim_start_matches("#![no_main]\n");
        assert!(start.starts_with("//! "), "{path} does not open with `//!`");
    }
}

#[test]
fn files_are_short() {
    for (path, text) in rust_files() {
        assert!(text.lines().count() <= 400, "{path} has {} lines: two ideas in one file?", text.lines().count());
    }
}

#[test]
fn only_the_program_prints_and_libraries_do_not_read_the_environment() {
    for (path, text) in rust_files() {
        let library = path.starts_with("./core/src")
            || path.starts_with("./core/data/src")
            || path.starts_with("./core/structure/src")
            || path.starts_with("./backends/src")
            || path.starts_with("./equivariance/src")
            || path == "./src/lib.rs";
        let code = program(&text).lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|_| library) {
            for word in
                ["println!", "eprintln!", "print!(", "std::env::var", "env::var_os", "dbg!", "todo!", ".unwrap()"]
            {
                assert!(!line.contains(word), "{path}: {line}");
            }
        }
    }
}

#[test]
fn fixtures_are_small() {
    for entry in std::fs::read_dir("core/structure/tests/golden").unwrap() {
        let entry = entry.unwrap();
        assert!(entry.metadata().unwrap().len() < 64 << 10, "{:?}", entry.path());
    }
}
