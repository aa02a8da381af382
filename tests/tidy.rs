//! House rules, as tests.

use std::collections::{BTreeMap, BTreeSet};
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

/// Folders with the sources of a library.
const LIBRARIES: [&str; 12] = [
    "./backends/comm/src",
    "./backends/ops/src",
    "./core/data/src",
    "./core/engine/src",
    "./core/lab/src",
    "./core/models/src",
    "./core/report/src",
    "./core/structure/src",
    "./core/tasks/src",
    "./core/testing/src",
    "./core/train/src",
    "./equivariance/src",
];

#[test]
fn every_library_is_looked_at() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let members: BTreeSet<String> = members
        .split(',')
        .map(|name| name.trim().trim_matches('"'))
        .filter(|name| !name.is_empty())
        .map(|name| format!("./{name}/src"))
        .collect();
    assert_eq!(members, LIBRARIES.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in rust_files() {
        let start = text.trim_start_matches("#![no_main]\n");
        assert!(start.starts_with("//! "), "{path} does not open with `//!`");
    }
}

/// Length is a hint and no fault: a long file of one idea is better than two that need each other.
#[test]
#[allow(clippy::print_stderr, reason = "a warning")]
fn files_of_more_than_600_lines_are_named() {
    for (path, text) in rust_files().iter().filter(|(_, text)| text.lines().count() > 600) {
        eprintln!("warning: {path} has {} lines: two ideas in one file?", text.lines().count());
    }
}

#[test]
fn only_the_program_prints_and_libraries_do_not_read_the_environment() {
    for (path, text) in rust_files() {
        let library = LIBRARIES.iter().any(|folder| path.starts_with(folder)) || path == "./src/lib.rs";
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

/// The modules of a crate and those that each of them uses, from its files' `use crate::`, `use super::` and paths.
fn module_graph(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut paths = Vec::new();
    sources(Path::new(folder), &mut paths);
    let name = |path: &Path| -> String {
        let inner = path.strip_prefix(folder).unwrap().with_extension("");
        inner.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("::")
    };
    let modules: BTreeSet<String> = paths.iter().map(|path| name(path)).collect();
    let texts: BTreeMap<String, String> =
        paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect();
    // What `lib.rs` and the files of folders re-export counts as what it comes from.
    let mut exports: BTreeMap<String, String> = BTreeMap::new();
    for (module, text) in &texts {
        for (path, items) in uses(program(text), "pub use ").into_iter().chain(uses(program(text), "pub(crate) use ")) {
            let base = if module == "lib" { String::new() } else { format!("{module}::") };
            for item in items {
                let from = format!("{base}{}", path.trim_start_matches("self::"));
                let known = if base.is_empty() { item.clone() } else { format!("{}{item}", base) };
                exports.insert(known, from);
            }
        }
    }
    let mut graph = BTreeMap::new();
    for (module, text) in &texts {
        let mut used = BTreeSet::new();
        let parent = module.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_owned());
        for (path, items) in uses(program(text), "use ") {
            let absolute = if let Some(rest) = path.strip_prefix("crate") {
                rest.trim_start_matches("::").to_owned()
            } else if let Some(rest) = path.strip_prefix("super") {
                [parent.as_str(), rest.trim_start_matches("::")]
                    .iter()
                    .filter(|part| !part.is_empty())
                    .copied()
                    .collect::<Vec<_>>()
                    .join("::")
            } else {
                continue;
            };
            for item in items {
                let mut full = if absolute.is_empty() { item.clone() } else { format!("{absolute}::{item}") };
                // Follows re-exports to where a thing lives.
                for _ in 0..4 {
                    let Some(from) = exports.get(&full) else { break };
                    full = format!("{from}::{item}");
                }
                let mut target = full.as_str();
                while !modules.contains(target) {
                    let Some((outer, _)) = target.rsplit_once("::") else { break };
                    target = outer;
                }
                // A file's folder is part of it.
                let within = target.starts_with(&format!("{module}::")) || module.starts_with(&format!("{target}::"));
                if modules.contains(target) && target != module && target != "lib" && !within {
                    used.insert(target.to_owned());
                }
            }
        }
        if module != "lib" {
            graph.insert(module.clone(), used);
        }
    }
    graph
}

/// Paths and items of the `use` lines that begin so: `use a::b::{C, D}` is `a::b` with C and D.
fn uses(text: &str, start: &str) -> Vec<(String, Vec<String>)> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let statements = code.split(';').filter_map(|statement| {
        let place = statement.rfind(start).filter(|&place| place == 0 || statement[..place].ends_with(['\n', ' ']))?;
        let before = statement[..place].trim_end();
        (start != "use " || !before.ends_with("pub") && !before.ends_with(')'))
            .then(|| &statement[place + start.len()..])
    });
    let mut found = Vec::new();
    for statement in statements {
        let flat: String = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        expand("", &flat, &mut found);
    }
    found
}

/// Takes braces apart.
fn expand(prefix: &str, text: &str, found: &mut Vec<(String, Vec<String>)>) {
    let joined = |rest: &str| if prefix.is_empty() { rest.to_owned() } else { format!("{prefix}::{rest}") };
    if let Some((path, rest)) = text.split_once("::{") {
        let inner = rest.trim_end().trim_end_matches('}');
        let mut depth = 0;
        let mut item = String::new();
        for letter in inner.chars().chain([',']) {
            match letter {
                ',' if depth == 0 => {
                    if !item.trim().is_empty() {
                        expand(&joined(path.trim()), item.trim(), found);
                    }
                    item.clear();
                    continue;
                }
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            item.push(letter);
        }
        return;
    }
    let text = text.split(" as ").next().unwrap().trim();
    match text.rsplit_once("::") {
        Some((path, item)) => found.push((joined(path), vec![item.to_owned()])),
        None => found.push((prefix.to_owned(), vec![text.to_owned()])),
    }
}

/// The first circle that a walk from a module comes to.
fn circle(
    graph: &BTreeMap<String, BTreeSet<String>>,
    module: &str,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(start) = path.iter().position(|own| own == module) {
        return Some(path[start..].to_vec());
    }
    if !done.insert(module.to_owned()) {
        return None;
    }
    path.push(module.to_owned());
    let found = graph.get(module).into_iter().flatten().find_map(|next| circle(graph, next, path, done));
    path.pop();
    found
}

#[test]
fn modules_do_not_depend_on_each_other_in_circles() {
    let mut found = Vec::new();
    for folder in LIBRARIES {
        let graph = module_graph(folder);
        let mut done = BTreeSet::new();
        for module in graph.keys() {
            if let Some(circle) = circle(&graph, module, &mut Vec::new(), &mut done) {
                found.push(format!("{folder}: {}", circle.join(" -> ")));
            }
        }
    }
    assert!(found.is_empty(), "modules in circles:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let uses = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let graph: BTreeMap<String, _> =
        [("a", uses(&["b"])), ("b", uses(&["c"])), ("c", uses(&["b"]))].map(|(k, v)| (k.to_owned(), v)).into();
    let found = circle(&graph, "a", &mut Vec::new(), &mut BTreeSet::new());
    assert_eq!(found, Some(vec!["b".to_owned(), "c".to_owned()]));
    let mut parts = Vec::new();
    expand("", "crate::{a::{B, c::D}, E as F}", &mut parts);
    let expected = [("crate::a", "B"), ("crate::a::c", "D"), ("crate", "E")];
    assert_eq!(parts, expected.map(|(path, item)| (path.to_owned(), vec![item.to_owned()])));
}

#[test]
fn fixtures_are_small() {
    for folder in ["core/structure/tests/golden", "core/train/tests/golden"] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            assert!(entry.metadata().unwrap().len() < 64 << 10, "{:?}", entry.path());
        }
    }
}
