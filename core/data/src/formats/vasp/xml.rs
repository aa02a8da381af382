//! The elements of an XML file, from one to its children, in the memory of one of them.
//!
//! Entities of a document type are let be, so they cannot grow; what is outside of ASCII becomes `?`, for nothing that
//! is read has any of it, and VASP writes the name of a system as it is.

use std::io::{self, BufRead, Read};

use quick_xml::events::Event;
use quick_xml::{Error, Reader};

/// The longest piece of text, or the longest tag.
const LONGEST: usize = 1 << 20;

/// The deepest element.
const DEEPEST: usize = 100;

/// Why nothing can be read on.
#[derive(Debug)]
pub(super) enum Fault {
    /// The file ends before the element does.
    End,
    /// A sentence.
    Wrong(String),
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

/// An element.
pub(super) struct Tag {
    pub(super) name: String,
    /// Its attribute `name`, empty where there is none.
    pub(super) label: String,
}

/// A position in an XML file, within an element.
pub(super) struct Xml<R> {
    reader: Reader<Ascii<R>>,
    buffer: Vec<u8>,
    depth: usize,
}

impl<R: BufRead> Xml<R> {
    pub(super) fn new(bytes: R) -> Self {
        let mut reader =
            Reader::from_reader(Ascii { bytes, buffer: Vec::new(), at: 0, newlines: 0, left: 0, ended: false });
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        // VASP writes the name of a system as it is.
        config.allow_dangling_amp = true;
        Self { reader, buffer: Vec::new(), depth: 0 }
    }

    /// The line, from 1.
    pub(super) fn line(&self) -> usize {
        self.reader.get_ref().newlines + 1
    }

    /// Goes into the next child of the element; where there is none, behind the element.
    pub(super) fn child(&mut self) -> Result<Option<Tag>, Fault> {
        loop {
            match self.event()? {
                Event::Start(tag) => {
                    let label = tag.try_get_attribute("name").map_err(|error| format!("is no XML: {error}"))?;
                    let label = label.map_or_else(String::new, |label| label.value.into_owned());
                    return Ok(Some(Tag { name: tag.name().0.to_owned(), label }));
                }
                Event::End(_) => return Ok(None),
                _ => {}
            }
        }
    }

    /// The text of the element, and goes behind it.
    pub(super) fn text(&mut self) -> Result<String, Fault> {
        let mut text = String::new();
        loop {
            match self.event()? {
                Event::Text(piece) => text.push_str(&piece),
                Event::CData(piece) => text.push_str(&piece),
                Event::GeneralRef(name) => text.extend(["&", &*name, ";"]),
                Event::Start(tag) => return Err(format!("expected text, found <{}>", tag.name().0).into()),
                Event::End(_) => return Ok(text),
                _ => {}
            }
            if text.len() > LONGEST {
                return Err(too_long().to_string().into());
            }
        }
    }

    /// Goes behind the element.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.event()?;
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Event<'_>, Fault> {
        self.buffer.clear();
        self.reader.get_mut().left = LONGEST;
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(Event::Eof) => Err(Fault::End),
            Ok(Event::Start(_)) if self.depth == DEEPEST => {
                Err(format!("has elements {DEEPEST} deep, expected fewer").into())
            }
            Ok(event) => {
                match event {
                    Event::Start(_) => self.depth += 1,
                    Event::End(_) => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                Ok(event)
            }
            Err(Error::Syntax(_)) if self.reader.get_ref().ended => Err(Fault::End),
            Err(Error::Io(error)) => Err(format!("cannot read on: {error} (is the file complete?)").into()),
            Err(error) => Err(format!("is no XML: {error}").into()),
        }
    }
}

/// Bytes whose line ends are counted; whatever is not ASCII becomes `?`.
struct Ascii<R> {
    bytes: R,
    buffer: Vec<u8>,
    /// How far the buffer has been read.
    at: usize,
    newlines: usize,
    /// How many bytes may still be read.
    left: usize,
    /// Whether the end was met.
    ended: bool,
}

impl<R: BufRead> BufRead for Ascii<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.buffer.len() {
            let bytes = self.bytes.fill_buf()?;
            self.ended = bytes.is_empty();
            self.buffer.clear();
            self.buffer.extend(bytes.iter().map(|&byte| if byte.is_ascii() { byte } else { b'?' }));
            self.at = 0;
            let count = self.buffer.len();
            self.bytes.consume(count);
        }
        if self.left == 0 && !self.ended {
            return Err(too_long());
        }
        Ok(&self.buffer[self.at..])
    }

    fn consume(&mut self, count: usize) {
        let end = self.buffer.len().min(self.at.saturating_add(count));
        self.newlines += self.buffer[self.at..end].iter().filter(|&&byte| byte == b'\n').count();
        self.at = end;
        self.left = self.left.saturating_sub(count);
    }
}

impl<R: BufRead> Read for Ascii<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

fn too_long() -> io::Error {
    io::Error::other(format!("more than {LONGEST} bytes in one piece, expected tags and numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn xml(text: &str) -> Xml<&[u8]> {
        Xml::new(text.as_bytes())
    }

    #[test]
    fn elements_are_read_one_after_the_other() {
        let mut xml = xml(
            "<?xml version=\"1.0\"?>\n<a>\n <b name=\"x\" > 1 <!-- c --> 2\n</b><skipped><b>3</b></skipped><c/>\n</a>",
        );
        assert_eq!(xml.child().unwrap().unwrap().name, "a");
        let tag = xml.child().unwrap().unwrap();
        assert_eq!((tag.name.as_str(), tag.label.as_str(), xml.line()), ("b", "x", 3));
        assert_eq!(xml.text().unwrap(), " 1  2\n");
        assert_eq!(xml.child().unwrap().unwrap().name, "skipped");
        xml.skip().unwrap();
        assert_eq!(xml.child().unwrap().unwrap().name, "c");
        assert!(xml.child().unwrap().is_none());
        assert!(xml.child().unwrap().is_none());
        assert!(matches!(xml.child(), Err(Fault::End)));
    }

    #[test]
    fn entities_do_not_grow() {
        let mut xml = xml("<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><a>&c; &amp; & \u{fc}</a>");
        xml.child().unwrap();
        assert_eq!(xml.text().unwrap(), "&c; &amp; & ??");
    }

    #[test]
    fn damage_is_told_from_the_end() {
        let skipped = |text: &str| -> Result<(), Fault> {
            let mut xml = xml(text);
            while xml.child()?.is_some() {}
            Ok(())
        };
        for text in ["", "<a", "<a>", "<a><b", "<a>1 2", "<a><!-- ", "<a>&am"] {
            assert!(matches!(skipped(text), Err(Fault::End)), "{text}");
        }
        for text in ["<a></b>", "<a b=></a>", "<a><!x></a>"] {
            assert!(matches!(skipped(text), Err(Fault::Wrong(_))), "{text}");
        }
        assert!(
            matches!(skipped(&"<a>".repeat(DEEPEST + 1)), Err(Fault::Wrong(message)) if message.contains("100 deep"))
        );
    }

    #[test]
    fn a_piece_without_an_end_takes_no_memory() {
        for start in ["<a>", "<a><b name=\"", "<a><!-- "] {
            let endless = start.as_bytes().chain(io::repeat(b'x'));
            let mut xml = Xml::new(BufReader::new(endless));
            xml.child().unwrap();
            let Err(Fault::Wrong(message)) = xml.text() else { panic!("{start}") };
            assert!(message.contains("bytes in one piece"), "{message}");
            assert!(xml.buffer.capacity() <= 4 * LONGEST);
        }
    }
}
