//! Where in a file the records stand, found while reading: the way down through its objects and lists is all that is
//! kept.

use std::io::Read;

use super::alexandria::{ENTRIES, STEPS};
use super::document::{Document, Kind, named, shown};
use super::layout::{Fault, Place, is_key_of_record, unknown};
use super::record::{Keys, Record};

/// Or what is wrong.
type Result<T> = std::result::Result<T, Fault>;

/// An object or a list that is open, and what is in it.
enum Level {
    /// Records, of which the next has this number.
    Entries(usize),
    /// Nothing more that counts.
    Rest,
    /// Materials by their key.
    Materials,
    /// Frames of a material by their key.
    Frames(String),
    /// Calculations of a material, of which the next has this number.
    Calculations(String, usize),
    /// A calculation of a material: its number, and the keys of what was read over, until its steps come.
    Calculation(String, usize, Option<Keys>),
    /// Steps of a calculation of a material, of which the next has this number.
    Steps(String, usize, usize),
}

/// What comes next.
enum Next {
    Record(Place, Record),
    Open(Level),
    Close,
    On,
}

/// The records of a stream of JSON, one after the other.
pub(super) struct Walk<R: Read> {
    document: Document<R>,
    levels: Vec<Level>,
    /// Once an object at the top was a record, all are; this many there were.
    lines: usize,
}

impl<R: Read> Walk<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self { document: Document::new(bytes), levels: Vec::new(), lines: 0 }
    }

    /// The line that is read, from 1.
    pub(super) fn line(&self) -> usize {
        self.document.line()
    }

    /// The next record and its place.
    pub(super) fn next_record(&mut self) -> Result<Option<(Place, Record)>> {
        loop {
            let next = match self.levels.last_mut() {
                Some(level) => level.next(&mut self.document)?,
                None if self.document.has_value()? => self.top()?,
                None => return Ok(None),
            };
            match next {
                Next::Record(place, record) => return Ok(Some((place, record))),
                Next::Open(level) => self.levels.push(level),
                Next::Close => drop(self.levels.pop()),
                Next::On => {}
            }
        }
    }

    /// A value at the top.
    fn top(&mut self) -> Result<Next> {
        match self.document.kind()? {
            Kind::Array => {
                self.document.open_list()?;
                Ok(Next::Open(Level::Entries(0)))
            }
            Kind::Object => self.object(),
            kind => Err(unknown(&format!("{} at the top", named(kind)))),
        }
    }

    /// An object at the top: a record, or what has records in it. Its first keys and values say which.
    fn object(&mut self) -> Result<Next> {
        let place = Place::Entry(self.lines);
        self.document.open_object()?;
        let mut record = Record::beginning(self.document.line());
        while let Some(key) = self.document.next_key()? {
            let key = key.to_owned();
            let kind = self.document.kind()?;
            if key == ENTRIES && kind == Kind::Array {
                self.document.open_list()?;
                self.levels.push(Level::Rest);
                return Ok(Next::Open(Level::Entries(0)));
            }
            let undecided = self.lines == 0 && !record.is_known() && !is_key_of_record(&key);
            match kind {
                Kind::Object if undecided => {
                    if let Some(next) = self.material_of_frames(&key)? {
                        return Ok(next);
                    }
                    record.note(&key);
                }
                Kind::Array if undecided => {
                    if let Some(next) = self.material_of_calculations(&key)? {
                        return Ok(next);
                    }
                    record.note(&key);
                }
                _ => record
                    .read_value(&key, &mut self.document, place.known_fields())
                    .map_err(|message| at(&place, &message))?,
            }
        }
        self.lines += 1;
        Ok(Next::Record(place, record))
    }

    /// An object in the object at the top, if it is a material with frames: an object of objects.
    fn material_of_frames(&mut self, key: &str) -> Result<Option<Next>> {
        self.document.open_object()?;
        while let Some(inner) = self.document.next_key()? {
            let frame = inner.to_owned();
            if self.document.kind()? == Kind::Object {
                let place = Place::Frame { material: key.to_owned(), frame };
                let next = read(&mut self.document, place)?;
                self.levels.extend([Level::Materials, Level::Frames(key.to_owned())]);
                return Ok(Some(next));
            }
            self.document.skip()?;
        }
        Ok(None)
    }

    /// A list in the object at the top, if it is a material with calculations: a list of objects.
    fn material_of_calculations(&mut self, key: &str) -> Result<Option<Next>> {
        self.document.open_list()?;
        if !self.document.next_item()? {
            return Ok(None);
        }
        if self.document.kind()? != Kind::Object {
            self.document.skip()?;
            self.document.skip_items()?;
            return Ok(None);
        }
        self.document.open_object()?;
        self.levels.extend([Level::Materials, Level::Calculations(key.to_owned(), 1)]);
        Ok(Some(Next::Open(Level::Calculation(key.to_owned(), 0, Some(Keys::default())))))
    }
}

impl Level {
    fn next<R: Read>(&mut self, document: &mut Document<R>) -> Result<Next> {
        match self {
            Self::Entries(next) => {
                if !document.next_item()? {
                    return Ok(Next::Close);
                }
                *next += 1;
                read(document, Place::Entry(*next - 1))
            }
            Self::Rest => match document.next_key()? {
                Some(_) => document.skip().map(|()| Next::On).map_err(Fault::Frame),
                None => Ok(Next::Close),
            },
            Self::Materials => {
                let Some(material) = document.next_key()?.map(str::to_owned) else { return Ok(Next::Close) };
                match document.kind()? {
                    Kind::Object => {
                        document.open_object()?;
                        Ok(Next::Open(Self::Frames(material)))
                    }
                    Kind::Array => {
                        document.open_list()?;
                        Ok(Next::Open(Self::Calculations(material, 0)))
                    }
                    _ => document.skip().map(|()| Next::On).map_err(Fault::Frame),
                }
            }
            Self::Frames(material) => match document.next_key()?.map(str::to_owned) {
                Some(frame) => read(document, Place::Frame { material: material.clone(), frame }),
                None => Ok(Next::Close),
            },
            Self::Calculations(material, next) => {
                if !document.next_item()? {
                    return Ok(Next::Close);
                }
                let kind = document.kind()?;
                if kind != Kind::Object {
                    return Err(unknown(&format!("{} in the list of `{}`", named(kind), shown(material))));
                }
                document.open_object()?;
                *next += 1;
                Ok(Next::Open(Self::Calculation(material.clone(), *next - 1, Some(Keys::default()))))
            }
            Self::Calculation(material, calculation, keys) => {
                let Some(key) = document.next_key()?.map(str::to_owned) else {
                    return match keys {
                        Some(keys) => Err(unknown(&format!("{keys} in the list of `{}`", shown(material)))),
                        None => Ok(Next::Close),
                    };
                };
                if key == STEPS && document.kind()? == Kind::Array {
                    document.open_list()?;
                    *keys = None;
                    return Ok(Next::Open(Self::Steps(material.clone(), *calculation, 0)));
                }
                if let Some(keys) = keys {
                    keys.note(&key);
                }
                document.skip().map(|()| Next::On).map_err(Fault::Frame)
            }
            Self::Steps(material, calculation, next) => {
                if !document.next_item()? {
                    return Ok(Next::Close);
                }
                *next += 1;
                read(document, Place::Step { material: material.clone(), calculation: *calculation, step: *next - 1 })
            }
        }
    }
}

/// The record in a place.
fn read<R: Read>(document: &mut Document<R>, place: Place) -> Result<Next> {
    let kind = document.kind()?;
    if kind != Kind::Object {
        return Err(unknown(&format!("{} at {place}", named(kind))));
    }
    let record = Record::read(document, place.known_fields()).map_err(|message| at(&place, &message))?;
    Ok(Next::Record(place, record))
}

fn at(place: &Place, message: &str) -> Fault {
    Fault::Frame(format!("{place}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Result<Vec<String>> {
        let mut walk = Walk::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some((place, _)) = walk.next_record()? {
            found.push(place.to_string());
        }
        Ok(found)
    }

    #[test]
    fn records_are_found_where_a_layout_has_them() {
        for (text, expected) in [
            ("[]", &[][..]),
            (r#"[{"structure": {"@class": "Molecule", "sites": []}}, {}]"#, &["entry 0", "entry 1"]),
            (
                "{\"energy\": 1}\n\n{\"energy\": 2}\r\n{\"x\": {\"y\": {\"z\": 1}}}\n",
                &["entry 0", "entry 1", "entry 2"],
            ),
            (r#"{"@class": "x", "entries": [{}, {}], "more": {"a": {}}}"#, &["entry 0", "entry 1"]),
            (
                r#"{"version": 1, "none": {}, "mp-1": {"a": {}, "b": {}}, "mp-2": {}, "mp-3": {"c": {}}}"#,
                &["material `mp-1`, frame `a`", "material `mp-1`, frame `b`", "material `mp-3`, frame `c`"],
            ),
            (
                r#"{"a": [], "agm1": [{"kpoints": [1], "steps": [{}, {}], "x": {}}, {"steps": []}, {"steps": [{}]}],
                "b": [{"steps": [{}]}]}"#,
                &[
                    "material `agm1`, calculation 0, step 0",
                    "material `agm1`, calculation 0, step 1",
                    "material `agm1`, calculation 2, step 0",
                    "material `b`, calculation 0, step 0",
                ],
            ),
        ] {
            assert_eq!(places(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn the_parts_of_a_record_are_no_materials() {
        for text in [
            r#"{"elements": ["Fe"], "builder_meta": {"a": null}, "composition": {"Fe": 1}, "energy": 1}"#,
            r#"{"provenance": {"a": {"b": {}}}, "energy": 1}"#,
            r#"{"energy": 1, "x": {"y": {"z": 1}}, "w": [{"v": 1}]}"#,
        ] {
            assert_eq!(places(text).unwrap(), ["entry 0"], "{text}");
        }
    }

    #[test]
    fn other_json_is_of_no_known_layout() {
        for (text, expected) in [
            ("[1]", "found a number at entry 0"),
            ("[[{}]]", "found a list at entry 0"),
            ("{} 1", "found a number at the top"),
            (r#"{"a": {"b": {}, "c": 1}}"#, "found a number at material `a`, frame `c`"),
            (r#"{"a": [{"b": 1, "c": 2}]}"#, "found an object with the keys `b`, `c` in the list of `a`"),
            (r#"{"a": [{"steps": 1}]}"#, "found an object with the keys `steps` in the list of `a`"),
            (r#"{"a": [{"steps": []}, 1]}"#, "found a number in the list of `a`"),
        ] {
            let Err(Fault::Layout(message)) = places(text) else { panic!("{text}") };
            assert!(message.contains(expected) && message.contains("expected MPtrj"), "{message}");
        }
    }
}
