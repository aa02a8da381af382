//! From what an auditor remembers to what it found.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use isograd_structure::Element;
use rayon::prelude::*;
use serde::Serialize;

use super::auditor::{Auditor, FORCE_PAIRS, Looked, Record, SIZES};
use super::energies::{Residuals, are_per_atom, median, residuals};
use super::finding::{Finding, MOST, Severity, Worst};
use super::judged::{self, Judged};
use super::near::{self, Groups};
use super::slopes::{Difference, Slope, slope};
use super::{Fault, SAME, Summary};
use crate::Fit;

/// By how much energies of near copies may differ beyond what forces say: in eV per atom, and in eV/angstrom^2 of their distance.
const DIFFERENCE: f64 = 1e-3;
const CURVATURE: f64 = 25.0;

/// By how much more than measured two structures may be apart: a distance is measured at another structure that is alike.
const UNSURE: f64 = 3.0;

/// The same of the root mean square of forces: in eV/angstrom, and as a share.
const FORCE_DIFFERENCE: (f32, f32) = (0.05, 0.05);

/// A force component in eV/angstrom that is assumed where there are no forces.
const ASSUMED_FORCE: f32 = 1.0;

/// How far structures are apart that are the same, where it is not known in every direction, in angstrom.
const SURELY_SAME: f64 = 0.1 * SAME;

/// Frames in which an element is called rare.
const RARE: usize = 5;

/// Numbers of a plot.
const DRAWN: usize = 20_000;

/// Differences of energies of pairs of one source, in a plot.
const DRAWN_PAIRS: usize = 2_000;

/// One source, as it was found.
#[derive(Debug, Clone, Serialize)]
pub struct AuditedSource {
    /// Its name.
    pub name: String,
    /// What its frames hold.
    pub summary: Summary,
    /// What atoms of each element contribute to energies, without frames that are far off; `None` without energies.
    pub references: Option<Fit>,
    /// Robust standard deviation of energies about that, in eV per atom.
    pub energy_deviation: Option<f64>,
    /// How energies follow forces between near frames.
    pub forces: Option<Slope>,
    /// How energies follow stresses between frames of other volumes.
    pub stresses: Option<Slope>,
    /// How much energies of copies differ that are not labelled the same, in eV per atom: a median over the square root of two. `None`
    /// where there are no such copies.
    pub label_noise: Option<f64>,
    /// Frames to train on, and held out.
    pub training: usize,
    /// Frames held out.
    pub held_out: usize,
    /// What plots are drawn of.
    #[serde(skip)]
    pub distributions: Distributions,
}

/// Numbers of one source for plots; of many frames, some.
#[derive(Debug, Clone, Default)]
pub struct Distributions {
    /// What is left of energies after references, in eV per atom.
    pub energies: Vec<f64>,
    /// Largest force component of each frame, in eV/angstrom.
    pub forces: Vec<f64>,
    /// Atoms of each frame.
    pub atoms: Vec<f64>,
    /// Shortest distance of each frame, in angstrom.
    pub shortest: Vec<f64>,
    /// Differences of energies between near frames: what forces say, and what was found, in eV/angstrom.
    pub force_pairs: Vec<[f64; 2]>,
    /// Differences of energies between frames of other volumes: what stresses say, and what was found, in eV per atom.
    pub stress_pairs: Vec<[f64; 2]>,
}

/// How many frames of a source have copies in another, or in the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// The source of the frames that are counted.
    pub of: String,
    /// Where their copies are.
    pub within: String,
    /// Frames that are the same structure as one that is there; of one source, without the first of each.
    pub same: usize,
    /// Frames that are near to one that is there, but not the same.
    pub near: usize,
}

/// What an audit found.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// Frames that were looked at.
    pub frames: usize,
    /// Frames that are left out where all that is wrong with single frames is.
    pub left_out: usize,
    /// The sources.
    pub sources: Vec<AuditedSource>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Copies within sources and between them, where there are any.
    pub copies: Vec<Copies>,
    #[serde(skip)]
    leave_out: HashSet<(u32, u32)>,
}

impl Audit {
    /// Compares everything that was looked at.
    pub fn of(auditor: Auditor) -> Self {
        conclude(auditor)
    }

    /// Whether a frame, by the number of its file and its position there, is better left out: it cannot be trusted, is the copy of an
    /// earlier one, contradicts a copy, or has an energy far off.
    pub fn leaves_out(&self, file: usize, frame: usize) -> bool {
        self.leave_out.contains(&(file as u32, frame as u32))
    }
}

/// Two records that are copies, and how far they are apart in angstrom.
#[derive(Debug, Clone, Copy)]
struct Pair {
    records: [u32; 2],
    distance: f64,
}

impl Pair {
    fn is_same(&self) -> bool {
        self.distance <= SAME
    }
}

/// All there is to conclude from.
struct Evidence {
    auditor: Auditor,
    pairs: Vec<Pair>,
    /// Residuals of each source, and the records that they are of.
    energies: Vec<Option<(Residuals, Vec<u32>)>>,
}

fn conclude(auditor: Auditor) -> Audit {
    let pairs = copies(&auditor);
    let energies = (0..auditor.sources.len()).map(|source| energies(&auditor, source)).collect();
    let mut evidence = Evidence { auditor, pairs, energies };
    let mut findings = Vec::new();
    let mut leave_out: HashSet<(u32, u32)> =
        evidence.auditor.faulty.iter().map(|&(_, file, frame, _)| (file, frame)).collect();
    let mut sources = Vec::new();
    for source in 0..evidence.auditor.sources.len() {
        evidence.faults(source, &mut findings);
        evidence.labels(source, &mut findings);
        leave_out.extend(evidence.energies(source, &mut findings));
        let audited = evidence.source(source);
        evidence.forces(source, &audited, &mut findings);
        evidence.stresses(source, &audited, &mut findings);
        sources.push(audited);
    }
    leave_out.extend(evidence.same(&mut findings));
    leave_out.extend(evidence.contradictions(&mut findings));
    evidence.leaks(&mut findings);
    evidence.coverage(&mut findings);
    findings.sort_by_key(|finding| (finding.severity, std::cmp::Reverse(finding.frames)));
    let frames = evidence.auditor.records.len() + evidence.auditor.faulty.len();
    let copies = evidence.counts();
    Audit { frames, left_out: leave_out.len(), sources, findings, copies, leave_out }
}

/// Pairs of frames that are near copies or the same.
fn copies(auditor: &Auditor) -> Vec<Pair> {
    let mut order: Vec<u32> = (0..auditor.records.len() as u32).collect();
    order.sort_by_key(|&place| auditor.records[place as usize].alike);
    let alike: Vec<&[u32]> = order
        .chunk_by(|&a, &b| auditor.records[a as usize].alike == auditor.records[b as usize].alike)
        .filter(|own| own.len() > 1)
        .collect();
    let of = |own: &&[u32]| {
        let own: &[u32] = own;
        let frames = &auditor.alike_frames[auditor.records[own[0] as usize].alike as usize];
        let prints = own.iter().map(|&place| &auditor.prints[place as usize]);
        // Of few frames, those are found that are the same: how far others are apart is not known so well.
        let (points, scale, radius): (Vec<_>, f64, f64) = match &frames.metric {
            Some(metric) => (prints.map(|print| metric.apply(print)).collect(), 1.0, auditor.options.near.max(SAME)),
            // Single atoms in free space are all the same.
            None => {
                (prints.copied().collect(), if frames.response > 1e-6 { frames.response } else { 1.0 }, SURELY_SAME)
            }
        };
        // Among many that are near, one that is the same may not be met: those are asked for by themselves.
        let mut near = near::pairs(&points, (radius.min(SAME) * scale) as f32);
        if radius > SAME {
            near.extend(near::pairs(&points, (radius * scale) as f32));
            near.sort_unstable_by_key(|pair| pair.points);
            near.dedup_by_key(|pair| pair.points);
        }
        let pair = |pair: near::Pair| Pair {
            records: pair.points.map(|point| own[point as usize]),
            distance: f64::from(pair.distance) / scale,
        };
        near.into_iter().map(pair).collect::<Vec<_>>()
    };
    alike.par_iter().flat_map_iter(of).collect()
}

fn energies(auditor: &Auditor, source: usize) -> Option<(Residuals, Vec<u32>)> {
    let has = |place: &u32| {
        let record = &auditor.records[*place as usize];
        record.source as usize == source && !record.energy.is_nan()
    };
    let own: Vec<u32> = (0..auditor.records.len() as u32).filter(has).collect();
    let labelled: Vec<_> = own.iter().map(|&place| labelled(auditor, place)).collect();
    (!own.is_empty()).then(|| (residuals(&labelled), own))
}

fn labelled(auditor: &Auditor, place: u32) -> (&[(Element, u32)], f64) {
    let record = &auditor.records[place as usize];
    (&auditor.compositions.list[record.composition as usize].0, record.energy)
}

/// Some of many numbers, evenly spread.
fn some<T>(numbers: impl ExactSizeIterator<Item = T>, most: usize) -> Vec<T> {
    let step = numbers.len().div_ceil(most).max(1);
    numbers.step_by(step).collect()
}

/// Records of the greatest values, with those.
fn worst<T: Copy>(all: impl Iterator<Item = (T, f64)>) -> Vec<(T, f64)> {
    let mut all: Vec<(T, f64)> = all.collect();
    all.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    all.truncate(MOST);
    all
}

fn share(count: usize, of: usize) -> String {
    format!("{count} of {of} frames")
}

impl Evidence {
    fn records(&self) -> &[Record] {
        &self.auditor.records
    }

    fn record(&self, place: u32) -> &Record {
        &self.auditor.records[place as usize]
    }

    fn name(&self, file: u32, frame: u32) -> String {
        format!("{}: frame {frame}", self.auditor.files[file as usize])
    }

    fn place(&self, record: u32) -> String {
        let Record { file, frame, .. } = self.record(record);
        self.name(*file, *frame)
    }

    fn looked(&self, source: usize) -> &Looked {
        &self.auditor.sources[source]
    }

    fn finding(
        &self,
        kind: &'static str,
        severity: Severity,
        source: Option<usize>,
        frames: usize,
        says: String,
    ) -> Finding {
        let own = source.map(|source| self.looked(source));
        Finding {
            kind,
            severity,
            source: own.map(|own| own.name.clone()),
            frames,
            of: own.map_or(self.records().len() + self.auditor.faulty.len(), |own| own.summary.frames),
            says,
            remedy: None,
            worst: Vec::new(),
        }
    }

    fn faults(&self, source: usize, findings: &mut Vec<Finding>) {
        let summary = &self.looked(source).summary;
        for fault in Fault::ALL {
            let own = |entry: &&(u32, u32, u32, Fault)| entry.0 as usize == source && entry.3 == fault;
            let frames: Vec<(u32, u32)> =
                self.auditor.faulty.iter().filter(own).map(|&(_, file, frame, _)| (file, frame)).collect();
            if frames.is_empty() {
                continue;
            }
            let says = format!("{} {}", share(frames.len(), summary.frames), fault.words());
            let mut finding = self.finding(fault.name(), Severity::Error, Some(source), frames.len(), says);
            finding.remedy = Some(match fault {
                Fault::NoLabels => "name their keys with keys.energy and keys.forces".into(),
                _ => "data.suspicious = \"filter\"".into(),
            });
            finding.worst = frames
                .iter()
                .take(MOST)
                .map(|&(file, frame)| Worst { place: self.name(file, frame), beside: None, value: None, unit: "" })
                .collect();
            findings.push(finding);
        }
    }

    /// Labels that are missing, constant, or left behind when atoms moved.
    fn labels(&self, source: usize, findings: &mut Vec<Finding>) {
        let Looked { summary, stale, stale_frames, .. } = self.looked(source);
        let kept = summary.kept();
        let columns = [("no_energy", "an energy", summary.with_energy), ("no_forces", "forces", summary.with_forces)];
        for (kind, label, count) in columns {
            if count < kept {
                let says = format!("{} are without {label}", share(kept - count, kept));
                findings.push(self.finding(kind, Severity::Note, Some(source), kept - count, says));
            }
        }
        let zeros = [
            ("zero_energy", "an energy of exactly zero", summary.zero_energies, summary.with_energy, "keys.energy"),
            ("zero_forces", "forces of exactly zero", summary.zero_forces, summary.with_forces, "keys.forces"),
        ];
        for (kind, what, count, of, key) in zeros {
            if count > 0 {
                // Crystals of high symmetry have no forces.
                let severity = if count == of { Severity::Error } else { Severity::Note };
                let mut finding =
                    self.finding(kind, severity, Some(source), count, format!("{} have {what}", share(count, of)));
                finding.remedy = (count == of).then(|| format!("name the right key with {key}"));
                findings.push(finding);
            }
        }
        let mut energies =
            self.records().iter().filter(|record| record.source as usize == source).map(|own| own.energy);
        let first = energies.next();
        let constant = *stale_frames > 1 && first.is_some_and(|first| energies.all(|energy| energy == first));
        if constant && summary.zero_energies == 0 {
            let says = "every frame has the same energy, though atoms are elsewhere".into();
            let mut finding = self.finding("constant_energy", Severity::Error, Some(source), summary.with_energy, says);
            finding.remedy = Some("name the right key with keys.energy".into());
            findings.push(finding);
        } else if *stale_frames > 0 && summary.zero_energies == 0 {
            let says = format!(
                "{} have exactly the energy of the frame before, though atoms have moved",
                share(*stale_frames, kept)
            );
            let mut finding = self.finding("stale_energy", Severity::Warning, Some(source), *stale_frames, says);
            finding.worst = stale
                .iter()
                .map(|&(file, frame)| Worst { place: self.name(file, frame), beside: None, value: None, unit: "" })
                .collect();
            findings.push(finding);
        }
        let unusual = |rms: f64| rms > 20.0 || (rms > 0.0 && rms < 1e-3);
        if let Some(rms) = summary.force_rms.filter(|rms| unusual(*rms)) {
            let says = format!("the root mean square of forces, {rms:.3e} eV/angstrom, is unusual");
            let mut finding = self.finding("force_size", Severity::Warning, Some(source), summary.with_forces, says);
            finding.remedy = Some("units.force, or units.energy and units.length".into());
            findings.push(finding);
        }
    }

    /// Energies far from what elements contribute, and energies that are not those of all atoms. Returns the frames far off.
    fn energies(&self, source: usize, findings: &mut Vec<Finding>) -> Vec<(u32, u32)> {
        let Some((residuals, own)) = &self.energies[source] else { return Vec::new() };
        let labelled: Vec<_> = own.iter().map(|&place| labelled(&self.auditor, place)).collect();
        let sizes: BTreeSet<u32> = own.iter().map(|&place| self.record(place).atoms).collect();
        if own.len() >= SIZES && sizes.len() > 1 && are_per_atom(&labelled) {
            let says = "energies do not grow with the number of atoms: they are probably energies per atom".into();
            let mut finding = self.finding("energy_per_atom", Severity::Error, Some(source), own.len(), says);
            finding.remedy = Some("units.energies_are_per_atom = true".into());
            findings.push(finding);
            return Vec::new();
        }
        let limit = self.auditor.options.deviations * residuals.deviation;
        let far = || own.iter().copied().zip(residuals.left.iter().copied()).filter(|(_, left)| left.abs() > limit);
        let count = far().count();
        if count == 0 || own.len() < SIZES {
            return Vec::new();
        }
        let says = format!(
            "{} have an energy more than {} robust deviations ({:.1} meV/atom each) from what their elements contribute",
            share(count, own.len()),
            self.auditor.options.deviations,
            1e3 * residuals.deviation
        );
        let mut finding = self.finding("energy_outlier", Severity::Warning, Some(source), count, says);
        finding.remedy = Some("isograd data audit ... --write CLEAN leaves them out".into());
        finding.worst = worst(far())
            .into_iter()
            .map(|(place, left)| Worst { place: self.place(place), beside: None, value: Some(left), unit: "eV/atom" })
            .collect();
        findings.push(finding);
        far().map(|(place, _)| (self.record(place).file, self.record(place).frame)).collect()
    }

    /// What is told of a source.
    fn source(&mut self, source: usize) -> AuditedSource {
        let force_pairs = std::mem::take(&mut self.auditor.sources[source].forces).differences();
        let own = || self.auditor.records.iter().filter(|record| record.source as usize == source);
        let column = |of: fn(&Record) -> f64| {
            let all: Vec<f64> = own().map(of).filter(|value| value.is_finite()).collect();
            some(all.into_iter(), DRAWN)
        };
        let looked = &self.auditor.sources[source];
        let stress_pairs = looked.summary.stress_differences();
        let with_forces = looked.summary.with_forces > 0;
        let drawn = |pairs: &[Difference]| some(pairs.iter().copied(), DRAWN_PAIRS);
        let distributions = Distributions {
            energies: self.energies[source].iter().flat_map(|(own, _)| some(own.left.iter().copied(), DRAWN)).collect(),
            forces: if with_forces { column(|record| f64::from(record.largest_force)) } else { Vec::new() },
            atoms: column(|record| f64::from(record.atoms)),
            shortest: column(|record| f64::from(record.shortest)),
            force_pairs: drawn(&force_pairs),
            stress_pairs: drawn(&stress_pairs),
        };
        let held_out = own().filter(|record| record.held_out).count();
        AuditedSource {
            name: looked.name.clone(),
            summary: looked.summary.clone(),
            references: self.energies[source].as_ref().map(|(own, _)| own.fit.clone()),
            energy_deviation: self.energies[source].as_ref().map(|(own, _)| own.deviation),
            forces: slope(&force_pairs, FORCE_PAIRS),
            stresses: looked.summary.stress_slope(),
            label_noise: self.noise(source),
            training: own().count() - held_out,
            held_out,
            distributions,
        }
    }

    /// How much energies of copies differ that are not the same to the last digit.
    fn noise(&self, source: usize) -> Option<f64> {
        let difference = |pair: &Pair| {
            let [a, b] = pair.records.map(|place| self.record(place));
            let inside = a.source as usize == source && b.source as usize == source;
            let difference = (a.energy / f64::from(a.atoms) - b.energy / f64::from(b.atoms)).abs();
            (inside && pair.is_same() && difference > 0.0).then_some(difference)
        };
        let mut differences: Vec<f64> = self.pairs.iter().filter_map(difference).collect();
        (!differences.is_empty()).then(|| median(&mut differences) / std::f64::consts::SQRT_2)
    }

    fn forces(&self, source: usize, audited: &AuditedSource, findings: &mut Vec<Finding>) {
        let looked = self.looked(source);
        let judged = judged::forces(audited.forces, looked.bonds.restoring(), &looked.units);
        findings.extend(judged.map(|judged| self.judged(source, audited.summary.with_forces, judged)));
    }

    fn stresses(&self, source: usize, audited: &AuditedSource, findings: &mut Vec<Finding>) {
        let judged = audited.stresses.and_then(|slope| judged::stresses(slope, &self.looked(source).units));
        findings.extend(judged.map(|judged| self.judged(source, audited.summary.with_stress, judged)));
    }

    fn judged(&self, source: usize, frames: usize, judged: Judged) -> Finding {
        let Judged { kind, severity, says, remedy } = judged;
        Finding { remedy, ..self.finding(kind, severity, Some(source), frames, says) }
    }

    /// Copies within each source and between sources. Returns the frames that are copies of earlier ones.
    fn same(&self, findings: &mut Vec<Finding>) -> Vec<(u32, u32)> {
        let copies = self.later_copies();
        for (kind, between) in [("copies", false), ("copies_between", true)] {
            let own: Vec<(u32, u32)> = copies
                .iter()
                .copied()
                .filter(|&(copy, first)| (self.record(copy).source != self.record(first).source) == between)
                .collect();
            if own.is_empty() {
                continue;
            }
            let where_ = if between { "of another source" } else { "of their source" };
            let says = format!(
                "{} are copies of earlier ones {where_}, perhaps turned, renumbered, or in other lattice vectors",
                share(own.len(), self.records().len())
            );
            let mut finding = self.finding(kind, Severity::Warning, None, own.len(), says);
            finding.remedy = Some("isograd data audit ... --write CLEAN leaves them out".into());
            finding.worst = self.named(own.iter().take(MOST).map(|&(copy, first)| (copy, first, None)), "");
            findings.push(finding);
        }
        let near: HashSet<u32> =
            self.pairs.iter().filter(|pair| !pair.is_same()).flat_map(|pair| pair.records).collect();
        if !near.is_empty() {
            let says = format!(
                "{} are within {} angstrom of another: they say little that is new",
                share(near.len(), self.records().len()),
                self.auditor.options.near
            );
            let mut finding = self.finding("near_copies", Severity::Note, None, near.len(), says);
            let nearest = self.pairs.iter().filter(|pair| !pair.is_same()).take(MOST);
            finding.worst =
                self.named(nearest.map(|pair| (pair.records[1], pair.records[0], Some(pair.distance))), "angstrom");
            findings.push(finding);
        }
        copies.into_iter().map(|(copy, _)| (self.record(copy).file, self.record(copy).frame)).collect()
    }

    fn named(&self, pairs: impl Iterator<Item = (u32, u32, Option<f64>)>, unit: &'static str) -> Vec<Worst> {
        let one = |(own, other, value)| Worst { place: self.place(own), beside: Some(self.place(other)), value, unit };
        pairs.map(one).collect()
    }

    /// Near copies whose labels cannot both be right. Returns both frames of each.
    fn contradictions(&self, findings: &mut Vec<Finding>) -> Vec<(u32, u32)> {
        let beyond = |pair: &Pair| {
            let [a, b] = pair.records.map(|place| self.record(place));
            let atoms = f64::from(a.atoms);
            let forces = a.force_rms.max(b.force_rms);
            let known = !forces.is_nan();
            if !known && !pair.is_same() {
                return None;
            }
            let force = f64::from(if known { forces } else { ASSUMED_FORCE }) * (3.0 * atoms).sqrt();
            let found = atoms * (a.energy / atoms - b.energy / f64::from(b.atoms)).abs();
            let distance = UNSURE * pair.distance;
            let allowed = force * distance + CURVATURE * distance.powi(2) + DIFFERENCE * atoms;
            if found > allowed {
                return Some((*pair, (found - allowed) / atoms, true));
            }
            let apart = (a.force_rms - b.force_rms).abs();
            let allowed = FORCE_DIFFERENCE.0 + FORCE_DIFFERENCE.1 * forces;
            (pair.is_same() && apart > allowed).then(|| (*pair, f64::from(apart), false))
        };
        let all: Vec<(Pair, f64, bool)> = self.pairs.iter().filter_map(beyond).collect();
        let kinds = [
            (true, "contradicting_energies", "energies", "eV/atom"),
            (false, "contradicting_forces", "forces", "eV/angstrom"),
        ];
        for (of_energies, kind, words, unit) in kinds {
            let own = || all.iter().filter(|(.., energies)| *energies == of_energies);
            let frames: HashSet<u32> = own().flat_map(|(pair, ..)| pair.records).collect();
            if frames.is_empty() {
                continue;
            }
            let says = format!(
                "{} are near copies of others whose {words} contradict theirs",
                share(frames.len(), self.records().len())
            );
            let mut finding = self.finding(kind, Severity::Warning, None, frames.len(), says);
            finding.remedy = Some(
                "one calculation for all sources, references of their own for each, or isograd data audit ... --write CLEAN".into(),
            );
            let pairs = worst(own().map(|(pair, beyond, _)| (*pair, *beyond)));
            finding.worst =
                self.named(pairs.into_iter().map(|(pair, by)| (pair.records[1], pair.records[0], Some(by))), unit);
            findings.push(finding);
        }
        let place = |place: u32| (self.record(place).file, self.record(place).frame);
        all.iter().flat_map(|(pair, ..)| pair.records).map(place).collect()
    }

    /// Held-out frames whose copies are trained on.
    fn leaks(&self, findings: &mut Vec<Finding>) {
        let across = |pair: &&Pair| self.record(pair.records[0]).held_out != self.record(pair.records[1]).held_out;
        let held_out = |pair: &Pair| {
            let [a, b] = pair.records;
            if self.record(a).held_out { (a, b) } else { (b, a) }
        };
        let mut leaked: BTreeMap<u32, Pair> = BTreeMap::new();
        for pair in self.pairs.iter().filter(across) {
            let own = leaked.entry(held_out(pair).0).or_insert(*pair);
            if pair.distance < own.distance {
                *own = *pair;
            }
        }
        let of = self.records().iter().filter(|record| record.held_out).count();
        for (kind, same, severity, words) in [
            ("leakage", true, Severity::Error, "are trained on too: errors would be too small"),
            ("near_leakage", false, Severity::Warning, "are nearly trained on: errors would be too small"),
        ] {
            let own = || leaked.values().filter(|pair| pair.is_same() == same);
            let count = own().count();
            if count == 0 {
                continue;
            }
            let says = format!("{count} of {of} frames that are held out {words}");
            let mut finding = self.finding(kind, severity, None, count, says);
            finding.of = of;
            finding.remedy = Some(
                "data.split_by = \"formula\", or the key of what belongs together; or leave copies out with --write CLEAN".into(),
            );
            let named = own().take(MOST).map(|pair| (held_out(pair).0, held_out(pair).1, Some(pair.distance)));
            finding.worst = self.named(named, "angstrom");
            findings.push(finding);
        }
    }

    /// Elements and compositions that are held out without being trained on, and elements of few frames.
    fn coverage(&self, findings: &mut Vec<Finding>) {
        let compositions = &self.auditor.compositions.list;
        let of = |composition: u32| compositions[composition as usize].0.iter().map(|(element, _)| *element);
        let mut frames: HashMap<(u32, bool), usize> = HashMap::new();
        for record in self.records() {
            *frames.entry((record.composition, record.held_out)).or_default() += 1;
        }
        let mut trained: BTreeMap<Element, usize> = BTreeMap::new();
        for (&(composition, _), count) in frames.iter().filter(|((_, held_out), _)| !held_out) {
            of(composition).for_each(|element| *trained.entry(element).or_default() += count);
        }
        let held_out: usize = frames.iter().filter(|((_, held_out), _)| *held_out).map(|(_, count)| count).sum();
        let unseen: BTreeSet<Element> = frames
            .keys()
            .filter(|(_, held_out)| *held_out)
            .flat_map(|(composition, _)| of(*composition))
            .filter(|element| !trained.contains_key(element))
            .collect();
        let list = |elements: &mut dyn Iterator<Item = &Element>| {
            elements.map(|element| element.symbol()).collect::<Vec<_>>().join(", ")
        };
        if !unseen.is_empty() {
            let has = |composition: u32| of(composition).any(|element| unseen.contains(&element));
            let count = frames.iter().filter(|((own, out), _)| *out && has(*own)).map(|(_, count)| count).sum();
            let says = format!("{} are held out and never trained on", list(&mut unseen.iter()));
            let mut finding = self.finding("unseen_elements", Severity::Error, None, count, says);
            (finding.of, finding.remedy) = (held_out, Some("another train.seed, or data.split_by = \"frame\"".into()));
            findings.push(finding);
        }
        let known = |composition: u32| frames.contains_key(&(composition, false));
        let new: usize = frames.iter().filter(|((own, out), _)| *out && !known(*own)).map(|(_, count)| count).sum();
        if new > 0 {
            let says =
                format!("{new} of {held_out} frames that are held out have a composition that is not trained on");
            let mut finding = self.finding("unseen_compositions", Severity::Note, None, new, says);
            finding.of = held_out;
            findings.push(finding);
        }
        let rare: Vec<Element> =
            trained.iter().filter(|(_, frames)| **frames < RARE).map(|(element, _)| *element).collect();
        if !rare.is_empty() && self.records().len() >= 10 * RARE {
            let says = format!("{} occur in fewer than {RARE} frames each that are trained on", list(&mut rare.iter()));
            let count = rare.iter().map(|element| trained[element]).sum();
            findings.push(self.finding("rare_elements", Severity::Note, None, count, says));
        }
    }

    /// Copies within and between sources.
    fn counts(&self) -> Vec<Copies> {
        let mut found: BTreeMap<(u32, u32), (usize, usize)> = BTreeMap::new();
        let between = |of: u32, within: u32| (self.record(of).source, self.record(within).source);
        let copies = self.later_copies();
        for &(copy, first) in &copies {
            found.entry(between(copy, first)).or_default().0 += 1;
        }
        let copies: HashSet<u32> = copies.into_iter().map(|(copy, _)| copy).collect();
        // Of two that are near, the later one counts, by source and then by position; once for each source.
        let mut near: HashSet<(u32, u32)> = HashSet::new();
        for pair in self.pairs.iter().filter(|pair| !pair.is_same()) {
            let [a, b] = pair.records;
            let (early, late) = if (self.record(a).source, a) <= (self.record(b).source, b) { (a, b) } else { (b, a) };
            if !copies.contains(&late) && near.insert((late, self.record(early).source)) {
                found.entry(between(late, early)).or_default().1 += 1;
            }
        }
        let name = |source: u32| self.looked(source as usize).name.clone();
        let one = |((of, within), (same, near))| Copies { of: name(of), within: name(within), same, near };
        found.into_iter().map(one).collect()
    }

    /// Frames that are the same as an earlier one, with the first that they are the same as.
    fn later_copies(&self) -> Vec<(u32, u32)> {
        let same = self.pairs.iter().filter(|pair| pair.is_same());
        let mut groups = Groups::of(self.records().len(), same.map(|pair| pair.records));
        let all = (0..self.records().len() as u32).map(|place| (place, groups.first(place)));
        all.filter(|(place, first)| place != first).collect()
    }
}
