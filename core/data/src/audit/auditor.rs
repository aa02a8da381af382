//! Gathers of every frame what an audit compares, in little memory: some 200 bytes a frame, 300 for each kind of frames that are
//! alike, 8 kB more where there are 8 to 14 of a kind, and 2 kB where there are more.

use std::collections::HashMap;
use std::hash::Hash;

use isograd_structure::{Element, Structure, Units};
use rayon::prelude::*;

use super::bonds::Bonds;
use super::fingerprint::{Changes, Difference, Fingerprint, Metric, difference, fingerprint, response};
use super::slopes::ForceSlope;
use super::{Fault, Inspection, Limits, Summary, inspect};
use crate::split::{held_out, without_key};
use crate::store::Composition;
use crate::{Measured, Result, SplitBy};

/// Frames that are looked at together, in parallel.
const CHUNK: usize = 1024;

/// Which of the frames that are alike are looked at to measure distances in every direction, if there are so many.
const MEASURED: std::ops::RangeInclusive<usize> = 8..=15;

/// Pairs of near frames from which on forces are held against energies.
pub(super) const FORCE_PAIRS: usize = 16;

/// Frames of several sizes from which on energies are looked at as energies per atom.
pub(super) const SIZES: usize = 20;

/// Edges are not asked for; pairs of atoms are looked for up to 4 angstrom anyway.
const CUTOFF: f64 = 1.0;

/// What an audit takes for what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AuditOptions {
    /// The limits beyond which a frame is not trusted.
    pub limits: Limits,
    /// How far two structures are apart that are called near copies, in angstrom: the square root of the sum of the squares of what
    /// atoms are moved by. Default 0.05.
    pub near: f64,
    /// How many robust deviations an energy lies from what its elements contribute, to be reported. Default 20.
    pub deviations: f64,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), near: 0.05, deviations: 20.0 }
    }
}

/// Things by their numbers, in the order in which they were met.
pub(super) struct Numbered<T> {
    numbers: HashMap<T, u32>,
    pub(super) list: Vec<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), list: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn number(&mut self, thing: T) -> u32 {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        let number = self.list.len() as u32;
        self.list.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }
}

/// Structures that may be the same one: shares of elements (numbers, where nothing repeats), and in how many directions it repeats.
type Alike = (Composition, u8);

/// What is known of frames that are alike.
pub(super) struct AlikeFrames {
    count: usize,
    /// The fingerprint of the first, from which others are counted.
    first: Fingerprint,
    /// By how much fingerprints differ for each angstrom, once there are two frames.
    pub(super) response: f64,
    /// How they change in every direction, as long as there are too few to say so.
    changes: Option<Changes>,
    /// The same, once there are enough.
    pub(super) metric: Option<Metric>,
}

/// What is remembered of a frame that can be trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) source: u32,
    pub(super) file: u32,
    pub(super) frame: u32,
    pub(super) composition: u32,
    pub(super) alike: u32,
    /// Number of its group, from 1.
    group: Option<u32>,
    pub(super) held_out: bool,
    pub(super) atoms: u32,
    /// NaN where there is none.
    pub(super) energy: f64,
    /// Root mean square of force components; NaN where there are none.
    pub(super) force_rms: f32,
    pub(super) largest_force: f32,
    /// Infinite where no two atoms are below 4 angstrom.
    pub(super) shortest: f32,
}

/// A source that is being looked at.
pub(super) struct Looked {
    pub(super) name: String,
    pub(super) units: Units,
    pub(super) summary: Summary,
    pub(super) forces: ForceSlope,
    pub(super) bonds: Bonds,
    /// Frames whose energy is that of the frame before, though atoms have moved.
    pub(super) stale: Vec<(u32, u32)>,
    pub(super) stale_frames: usize,
    /// The frame before: file, hash of the geometry, energy.
    previous: Option<(u32, u64, f64)>,
}

/// What moving its atoms does to the fingerprint of a frame: of the second that is alike, or of a later one by its number.
enum Moved {
    Second(f64),
    Later(usize, Changes),
}

/// What one look at a frame says.
struct Look {
    inspection: Inspection,
    composition: Composition,
    alike: Alike,
    print: Option<Fingerprint>,
    hash: u64,
}

/// Takes a long look at data: frames are handed to it source by source and file by file, in one pass; what it remembers is
/// what an [`Audit`](super::Audit) is made of.
pub struct Auditor {
    pub(super) options: AuditOptions,
    pub(super) sources: Vec<Looked>,
    pub(super) files: Vec<String>,
    pub(super) compositions: Numbered<Composition>,
    alike: Numbered<Alike>,
    groups: Numbered<String>,
    pub(super) alike_frames: Vec<AlikeFrames>,
    pub(super) records: Vec<Record>,
    /// The fingerprint of each record, less that of the first frame that is alike.
    pub(super) prints: Vec<Difference>,
    pub(super) faulty: Vec<(u32, u32, u32, Fault)>,
}

impl Auditor {
    /// Nothing was looked at yet.
    pub fn new(options: AuditOptions) -> Self {
        Self {
            options,
            sources: Vec::new(),
            files: Vec::new(),
            compositions: Numbered::default(),
            alike: Numbered::default(),
            groups: Numbered::default(),
            alike_frames: Vec::new(),
            records: Vec::new(),
            prints: Vec::new(),
            faulty: Vec::new(),
        }
    }

    /// A new source, and the units that its files are read with, which remedies depend on. Returns its number.
    pub fn source(&mut self, name: &str, units: Units) -> usize {
        self.sources.push(Looked {
            name: name.to_owned(),
            units,
            summary: Summary::default(),
            forces: ForceSlope::default(),
            bonds: Bonds::default(),
            stale: Vec::new(),
            stale_frames: 0,
            previous: None,
        });
        self.sources.len() - 1
    }

    /// Looks at all structures of a file of a source, which are trained on, or held out. `progress` is told how many frames were
    /// looked at. Returns the number of the file.
    ///
    /// # Errors
    /// The first that the file has.
    ///
    /// # Panics
    /// If there is no such source.
    pub fn read(
        &mut self,
        source: usize,
        file: &str,
        is_held_out: bool,
        structures: impl Iterator<Item = Result<Structure>>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<usize> {
        let number = self.files.len();
        self.files.push(file.to_owned());
        let mut structures = structures.peekable();
        let mut first = 0;
        while structures.peek().is_some() {
            let chunk: Vec<Structure> = structures.by_ref().take(CHUNK).collect::<Result<_>>()?;
            let limits = self.options.limits;
            let looks: Vec<Look> = chunk.par_iter().map(|structure| look(structure, &limits)).collect();
            let count = chunk.len();
            let frames: Vec<u32> = (first..first + count).map(|frame| frame as u32).collect();
            let structures: Vec<&Structure> = chunk.iter().collect();
            self.add(source as u32, number as u32, &frames, is_held_out, &structures, looks);
            first += count;
            progress(count);
        }
        Ok(number)
    }

    /// Looks at structures of a source in memory, which are trained on, or held out.
    ///
    /// # Panics
    /// If there is no such source.
    pub fn look_at(&mut self, source: usize, structures: &[Measured], is_held_out: bool) {
        for of_file in structures.chunk_by(|a, b| a.place.file == b.place.file) {
            let number = self.files.len();
            self.files.push(of_file[0].place.file.to_string());
            for chunk in of_file.chunks(CHUNK) {
                let limits = self.options.limits;
                let looks: Vec<Look> = chunk.par_iter().map(|own| look(&own.structure, &limits)).collect();
                let frames: Vec<u32> = chunk.iter().map(|own| own.place.frame as u32).collect();
                let structures: Vec<&Structure> = chunk.iter().map(|own| &own.structure).collect();
                self.add(source as u32, number as u32, &frames, is_held_out, &structures, looks);
            }
        }
    }

    fn add(&mut self, source: u32, file: u32, frames: &[u32], held_out: bool, chunk: &[&Structure], looks: Vec<Look>) {
        let mut asked = Vec::new();
        for (place, ((&structure, look), &frame)) in chunk.iter().zip(looks).zip(frames).enumerate() {
            let own = &mut self.sources[source as usize];
            let name = &self.files[file as usize];
            own.summary.add(structure, &look.inspection, || format!("{name}: frame {frame}"));
            let (None, Some(print)) = (look.inspection.fault, look.print) else {
                self.faulty.push((source, file, frame, look.inspection.fault.unwrap_or(Fault::FlatCell)));
                continue;
            };
            own.forces.add(structure);
            own.bonds.add(structure);
            if let Some(energy) = structure.energy {
                let stale = |&(of, hash, before): &(u32, u64, f64)| of == file && hash != look.hash && before == energy;
                if own.previous.as_ref().is_some_and(stale) {
                    own.stale_frames += 1;
                    if own.stale.len() < super::finding::MOST {
                        own.stale.push((file, frame));
                    }
                }
                own.previous = Some((file, look.hash, energy));
            }
            let alike = self.alike.number(look.alike);
            if self.alike_frames.len() < self.alike.list.len() {
                self.alike_frames.push(AlikeFrames {
                    count: 0,
                    first: print,
                    response: 0.0,
                    changes: None,
                    metric: None,
                });
            }
            let frames = &mut self.alike_frames[alike as usize];
            frames.count += 1;
            if frames.count == 2 || MEASURED.contains(&frames.count) {
                asked.push((alike, place, frames.count));
            }
            let forces = structure.forces.as_deref().map(|forces| forces.as_flattened());
            let rms = |forces: &[f64]| {
                (forces.iter().map(|force| force * force).sum::<f64>() / forces.len().max(1) as f64).sqrt()
            };
            self.prints.push(difference(&print, &self.alike_frames[alike as usize].first));
            self.records.push(Record {
                source,
                file,
                frame,
                composition: self.compositions.number(look.composition),
                alike,
                group: structure.group.clone().map(|group| self.groups.number(group)),
                held_out,
                atoms: structure.len() as u32,
                energy: structure.energy.unwrap_or(f64::NAN),
                force_rms: forces.map_or(f32::NAN, |forces| rms(forces) as f32),
                largest_force: forces.into_iter().flatten().fold(0.0f32, |most, force| most.max(force.abs() as f32)),
                shortest: look.inspection.pairs.shortest.map_or(f32::INFINITY, |distance| distance as f32),
            });
        }
        let of = |&(alike, place, count): &(u32, usize, usize)| match count {
            2 => (alike, Moved::Second(response(chunk[place]).unwrap_or_default())),
            _ => (alike, Moved::Later(count, Changes::of(chunk[place], count))),
        };
        for (alike, moved) in asked.par_iter().map(of).collect::<Vec<_>>() {
            let frames = &mut self.alike_frames[alike as usize];
            match moved {
                Moved::Second(response) => frames.response = response,
                Moved::Later(count, own) => {
                    let changes = frames.changes.get_or_insert_with(Changes::new);
                    changes.add(&own);
                    if count == *MEASURED.end() {
                        frames.metric = changes.metric();
                        frames.changes = None;
                    }
                }
            }
        }
    }

    /// Divides what each source has into a part to train on and one held out, as training does it; a source of which files are
    /// held out stays as it is.
    ///
    /// # Errors
    /// As [`split`](fn@crate::split).
    pub fn split(&mut self, by: &SplitBy, validation_fraction: f64, seed: u64) -> Result<(), String> {
        for source in 0..self.sources.len() {
            let own: Vec<usize> =
                (0..self.records.len()).filter(|&place| self.records[place].source as usize == source).collect();
            if own.iter().any(|&place| self.records[place].held_out) {
                continue;
            }
            let group = |place: usize| {
                let record = &self.records[own[place]];
                match by {
                    SplitBy::Frame => Ok(None),
                    SplitBy::Formula => Ok(Some(record.composition)),
                    SplitBy::Key(key) => record.group.map(Some).ok_or_else(|| without_key(key)),
                }
            };
            let held_out = held_out(own.len(), group, by, validation_fraction, seed, source)?;
            for (place, held_out) in own.into_iter().zip(held_out) {
                self.records[place].held_out = held_out;
            }
        }
        Ok(())
    }
}

fn look(structure: &Structure, limits: &Limits) -> Look {
    let inspection = inspect(structure, limits, CUTOFF);
    let print = if inspection.fault.is_none() { fingerprint(structure) } else { None };
    let composition = Composition::of(&structure.elements);
    Look { inspection, alike: alike(structure, &composition), composition, print, hash: geometry_hash(structure) }
}

/// Structures whose fingerprints may be compared are alike.
pub(super) fn alike(structure: &Structure, composition: &Composition) -> Alike {
    let directions = structure.geometry.periodic.iter().filter(|&&repeats| repeats).count() as u8;
    if directions == 0 {
        return (composition.clone(), 0);
    }
    let common = composition.0.iter().fold(0, |common, (_, count)| divisor(common, *count)).max(1);
    let shares: Vec<(Element, u32)> = composition.0.iter().map(|&(element, count)| (element, count / common)).collect();
    (Composition(shares), directions)
}

/// The greatest common divisor.
fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// A hash of elements, positions and cell.
pub(super) fn geometry_hash(structure: &Structure) -> u64 {
    let mut hasher = blake3::Hasher::new();
    let cell = structure.geometry.cell.map_or([[0.0; 3]; 3], |cell| cell.0);
    let rows = structure.geometry.positions.iter().chain(&cell);
    rows.flatten().for_each(|number| {
        hasher.update(&number.to_le_bytes());
    });
    structure.elements.iter().for_each(|element| {
        hasher.update(&[element.number()]);
    });
    crate::store::short(&hasher)
}
