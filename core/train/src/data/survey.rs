//! Reading sources: every frame is inspected once, and its edges are counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use isograd_data::audit::{Limits, Summary, inspect};
use isograd_data::formats::{Formats, Frame, Inputs};
use isograd_data::store::Store;
use isograd_data::{
    Collection, Keys, Measured, Place, Sizes, Source, Stored, suggest_keys, unread_mask, unread_states,
};
use isograd_structure::{Structure, Units};
use rayon::prelude::*;

use crate::Result;

/// Frames that are inspected together, in parallel.
const CHUNK: usize = 1024;

/// Reads and checks one source, of files, patterns and folders, and counts the edges of each structure that are shorter than
/// `cutoff` angstrom; used by training. Of a store nothing is read but its index.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) where a file cannot be read.
pub fn survey<P: AsRef<Path>>(
    formats: &Formats,
    source: &Source,
    files: &[P],
    limits: &Limits,
    cutoff: f64,
) -> Result<(Collection, Summary)> {
    let Inputs { found, ignored } = formats.inputs(files)?;
    if let Some(store) = found.iter().find(|path| Store::is_at(path)) {
        if found.len() > 1 {
            let message = "is a store beside other files; make it a source of its own, with [[data.sources]]".into();
            return Err(isograd_data::Error::Path { path: store.clone(), message }.into());
        }
        return survey_store(store, source, limits, cutoff);
    }
    let mut kept = Vec::new();
    let mut summary = Summary::beside(ignored);
    for file in &found {
        let name: Arc<str> = file.display().to_string().into();
        let mut frames = source.read_file_with(formats, file)?.peekable();
        let mut first = 0;
        while frames.peek().is_some() {
            let chunk: Vec<Structure> = frames.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
            let place = Place { file: name.clone(), frame: first };
            first += chunk.len();
            kept.extend(audit(chunk, limits, cutoff, &mut summary, &place));
        }
    }
    if let Some(first) = first_frame(formats, &found)? {
        let unread = [unread_states(&first, &source.columns), unread_mask(&first, &source.keys)];
        summary.unread = unread.into_iter().flatten().collect();
        if summary.with_energy == 0 || summary.with_forces == 0 {
            summary.other_names = suggest_keys(&first, &source.keys);
        }
    }
    Ok((Collection::Memory(kept), summary))
}

/// The first frame of the first file, as the file has it.
fn first_frame(formats: &Formats, files: &[PathBuf]) -> Result<Option<Frame>> {
    let Some(file) = files.first() else { return Ok(None) };
    Ok(formats.open(file)?.next().transpose()?)
}

fn survey_store(folder: &Path, source: &Source, limits: &Limits, cutoff: f64) -> Result<(Collection, Summary)> {
    let wrong = |message: String| isograd_data::Error::Path { path: folder.to_owned(), message };
    let store = Store::open(folder)?;
    let names = Keys { group: source.keys.group.clone(), ..Keys::default() };
    if source.keys != names || source.units != Units::default() {
        let message = "is a store, whose labels have their names and units: leave out `keys` and `units`";
        return Err(wrong(message.into()).into());
    }
    let groups = &store.header().group_key;
    if source.keys.group.is_some() && source.keys.group != *groups {
        let words = groups.as_ref().map_or("without groups".into(), |key| format!("with groups by `{key}`"));
        let asked = source.keys.group.as_deref().unwrap_or_default();
        return Err(wrong(format!("was packed {words}, and groups by `{asked}` are asked for")).into());
    }
    let (stored, summary) = Stored::survey(Arc::new(store), limits, cutoff)?;
    Ok((Collection::Stored(stored), summary))
}

/// Inspects structures of one file, the first of them at `first`, in parallel, and keeps those without fault.
pub(super) fn audit(
    structures: Vec<Structure>,
    limits: &Limits,
    cutoff: f64,
    summary: &mut Summary,
    first: &Place,
) -> Vec<Measured> {
    let findings: Vec<_> = structures.par_iter().map(|structure| inspect(structure, limits, cutoff)).collect();
    let mut kept = Vec::new();
    for (index, (structure, found)) in structures.into_iter().zip(findings).enumerate() {
        let place = Place { frame: first.frame + index, ..first.clone() };
        summary.add(&structure, &found, || place.to_string());
        if found.fault.is_none() {
            let sizes = Sizes { atoms: structure.len(), edges: found.pairs.edges };
            kept.push(Measured { structure, place, sizes });
        }
    }
    kept
}
