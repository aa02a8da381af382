//! The S2EF files of OC20 as they are published: a folder of `N.extxyz.xz`, each with an `N.txt.xz` beside it.
//!
//! The first has frames in extended XYZ with `tags` (0 below the surface, 1 in it, 2 adsorbate), `move_mask` and total
//! energies; the second has a line for each frame, `random1331811,frame116,-385.22`: the system, the frame of its
//! trajectory, and the reference energy, which is that of the clean surface and of the molecules that the adsorbate is
//! made from. Frames of all systems are mixed, so neither rises. All is in eV and angstrom.
//!
//! A frame gets `sid`, which keeps a system together in a split, `fid`, `reference_energy`, and `adsorption_energy`,
//! the total less the reference: what the leaderboard means by energy. `keys.energy = "adsorption_energy"` trains on
//! it.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::{fs, io, vec};

use super::extxyz::FrameReader;
use super::{Format, Frame, Frames, Input};
use crate::{Error, Result, open};

/// OC20's folders of S2EF, and each pair of files in them.
#[derive(Debug, Clone, Copy)]
pub struct Oc20;

impl Format for Oc20 {
    fn name(&self) -> &'static str {
        "oc20"
    }

    /// None by its content alone, which is extended XYZ.
    fn recognises(&self, _: &[u8]) -> bool {
        false
    }

    fn recognises_folder(&self, folder: &Path) -> bool {
        parts(folder).is_ok_and(|parts| parts.values().any(|part| !part.frames.is_empty() && !part.labels.is_empty()))
    }

    fn recognises_file(&self, path: &Path) -> bool {
        let first = |path: &Path| {
            let mut line = String::new();
            read_line(&mut open(path).ok()?, &mut line).ok()?;
            Labels::of(&line).ok()
        };
        labels_beside(path).and_then(|path| first(&path)).is_some()
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let path = input.path()?;
        if let Some(labels) = labels_beside(path) {
            return Ok(Box::new(Pairs::new(vec![(path.to_owned(), labels)], false)));
        }
        let pairs = parts(path)?.into_values().map(Part::pair).collect::<Result<_>>()?;
        Ok(Box::new(Pairs::new(pairs, true)))
    }
}

/// The frames of several pairs, one pair after the other.
struct Pairs {
    pairs: vec::IntoIter<(PathBuf, PathBuf)>,
    /// Whether they are those of a folder, in which the line of a file says nothing.
    of_folder: bool,
    current: Option<S2ef<Box<dyn BufRead + Send>, Box<dyn BufRead + Send>>>,
    index: usize,
    done: bool,
}

impl Pairs {
    fn new(pairs: Vec<(PathBuf, PathBuf)>, of_folder: bool) -> Self {
        Self { pairs: pairs.into_iter(), of_folder, current: None, index: 0, done: false }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.current.as_mut().and_then(Iterator::next) {
                let frame = Frame { index: self.index, ..frame? };
                self.index += 1;
                return Ok(Some(if self.of_folder { Frame { line: 0, header_line: 0, ..frame } } else { frame }));
            }
            let Some((frames, labels)) = self.pairs.next() else { return Ok(None) };
            let names = [&frames, &labels].map(|path| path.display().to_string());
            self.current = Some(S2ef::new(open(&frames)?, open(&labels)?, names));
        }
    }
}

impl Iterator for Pairs {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.next_frame();
        self.done = !matches!(frame, Ok(Some(_)));
        frame.transpose()
    }
}

/// The files of a number.
#[derive(Default)]
struct Part {
    frames: Vec<PathBuf>,
    labels: Vec<PathBuf>,
}

impl Part {
    fn pair(self) -> Result<(PathBuf, PathBuf)> {
        let (path, message) = match (&self.frames[..], &self.labels[..]) {
            ([frames], [labels]) => return Ok((frames.clone(), labels.clone())),
            ([path, other, ..], _) | (_, [path, other, ..]) => {
                (path, format!("has the same number as {}: expected one of the two", other.display()))
            }
            ([path], []) => (path, "has no .txt of the same number beside it, as others in its folder have".into()),
            ([], [path]) => (path, "has no .extxyz of the same number beside it, as others in its folder have".into()),
            ([], []) => return Err(Error::Internal("a number without files".into())),
        };
        Err(Error::Path { path: path.clone(), message })
    }
}

/// The numbered files of a folder, in the order of their numbers. Others are let be.
fn parts(folder: &Path) -> Result<BTreeMap<u64, Part>> {
    let mut parts: BTreeMap<u64, Part> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "read"))? {
        let path = entry.map_err(Error::io(folder, "read"))?.path();
        let Some((number, kind)) = numbered(&path) else { continue };
        let part = parts.entry(number).or_default();
        if kind == "txt" { part.labels.push(path) } else { part.frames.push(path) }
    }
    Ok(parts)
}

/// Endings of a compressed file, and none.
const PACKED: [&str; 5] = ["", ".xz", ".gz", ".zst", ".bz2"];

/// The number in the name of a file, and `extxyz` or `txt`.
fn numbered(path: &Path) -> Option<(u64, &'static str)> {
    let (number, ending) = path.file_name()?.to_str()?.split_once('.')?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let kind = ["extxyz", "txt"]
        .into_iter()
        .find(|kind| ending.strip_prefix(kind).is_some_and(|end| PACKED.contains(&end)))?;
    Some((number.parse().ok().filter(|_| is_number)?, kind))
}

/// The file with the lines of a file with frames.
fn labels_beside(path: &Path) -> Option<PathBuf> {
    numbered(path).filter(|(_, kind)| *kind == "extxyz")?;
    let number = path.file_name()?.to_str()?.split('.').next()?;
    PACKED.iter().map(|packed| path.with_file_name(format!("{number}.txt{packed}"))).find(|path| path.is_file())
}

/// Iterates over the frames of a pair. After an error the iterator ends.
pub struct S2ef<F, L> {
    frames: FrameReader<F>,
    labels: L,
    /// Of the two files.
    names: [String; 2],
    index: usize,
    /// Of the file with the labels.
    line: usize,
    done: bool,
}

impl<F: BufRead, L: BufRead> S2ef<F, L> {
    /// Reads frames in extended XYZ and a line of labels for each; `names` stand for the two in errors.
    pub fn new(frames: F, labels: L, names: [String; 2]) -> Self {
        Self { frames: FrameReader::new(frames, names[0].clone()), labels, names, index: 0, line: 0, done: false }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let frame = self.frames.next().transpose()?;
        let mut text = String::new();
        let lines = read_line(&mut self.labels, &mut text);
        let ([name, labels], index) = (&self.names, self.index);
        self.line += lines.as_ref().map_or(1, |&lines| lines.max(1));
        let wrong = |message: String| Error::frame(labels, self.line, index)(message);
        let lines =
            lines.map_err(|error| wrong(format!("cannot read on: {error} (is the file complete, and is it text?)")))?;
        let frame = match (frame, lines) {
            (Some(frame), 1..) => Labels::of(&text).map_err(wrong)?.on(frame),
            (None, 0) => return Ok(None),
            (Some(_), 0) => return Err(wrong(format!("the file ends before a line for this frame of {name}"))),
            (None, 1..) => return Err(wrong(format!("the file goes on, and {name} ends before this frame"))),
        };
        self.index += 1;
        Ok(Some(frame))
    }
}

impl<F: BufRead, L: BufRead> Iterator for S2ef<F, L> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.next_frame();
        self.done = !matches!(frame, Ok(Some(_)));
        frame.transpose()
    }
}

/// Reads the next line that is not blank, and says how many it took; 0 at the end. Of a line that is too long the start
/// is read, which is no line of labels.
fn read_line(labels: &mut impl BufRead, line: &mut String) -> io::Result<usize> {
    const LONGEST: u64 = 1 << 10;
    for lines in 1.. {
        line.clear();
        if labels.by_ref().take(LONGEST).read_line(line)? == 0 {
            break;
        }
        if !line.trim().is_empty() {
            return Ok(lines);
        }
    }
    Ok(0)
}

/// What a line says of a frame.
struct Labels {
    system: String,
    frame: u64,
    reference: f64,
}

impl Labels {
    fn of(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let labels = || {
            let [system, frame, reference]: [&str; 3] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
            let frame = frame.strip_prefix("frame").unwrap_or(frame).parse().ok()?;
            let reference = reference.trim().parse().ok().filter(|energy: &f64| energy.is_finite())?;
            Some(Self { system: system.to_owned(), frame, reference }).filter(|labels| !labels.system.is_empty())
        };
        let shown: String = line.chars().take(80).collect();
        labels().ok_or_else(|| {
            format!("expected system, frame and reference energy as in `random1,frame0,-1.5`, found `{shown}`")
        })
    }

    fn on(self, mut frame: Frame) -> Frame {
        frame.converted_from = Some("eV and angstrom");
        let total = frame.header.get("energy").and_then(|energy| energy.number());
        let frame =
            frame.with("sid", self.system).with("fid", self.frame as f64).with("reference_energy", self.reference);
        match total {
            Some(total) => frame.with("adsorption_energy", total - self.reference),
            None => frame,
        }
    }
}
