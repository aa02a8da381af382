//! Python pickles, read as inert data: what would make an object is kept as the name of its class and the arguments, and
//! nothing is ever run.
//!
//! A pickle is a program for a stack machine with a memo. Here its values lie in one list and refer to each other by
//! position, so that what the memo repeats a thousand times is there once, and an object may hold itself. Each opcode makes
//! one value at most, and their number is bounded; so a pickle takes a fixed number of bytes for each of its own. Nothing
//! here calls itself, however deep the values are nested.
//!
//! Of the opcodes, those are known that Python writes with protocols 2 to 5.

use std::collections::HashMap;

/// The most opcodes of a pickle; those of a graph have some hundreds.
const MOST: usize = 1 << 20;

/// The position of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

/// What a pickle holds.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Boolean(bool),
    Integer(i64),
    /// A whole number of more than 8 bytes, little-endian.
    Long(&'a [u8]),
    Real(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Tuple(Vec<Id>),
    /// Sets are lists here.
    List(Vec<Id>),
    /// Keys and values in turn.
    Dict(Vec<Id>),
    /// A class or a function: its module, and its name.
    Class(&'a str, &'a str),
    Object(Object),
    /// What the writer of the pickle had stored elsewhere, by its name for it.
    Stored(Id),
}

/// The result of a call that nobody made.
#[derive(Debug, PartialEq)]
pub(super) struct Object {
    class: Id,
    arguments: Id,
    state: Option<Id>,
    /// What was appended, or keys and values in turn.
    items: Vec<Id>,
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
    length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that the bytes begin with.
    ///
    /// # Errors
    /// The byte at which something is wrong, and what.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine =
            Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        for _ in 0..MOST {
            let at = machine.at;
            let end = machine.step().map_err(|message| format!("byte {at} of the pickle: {message}"))?;
            if let Some(root) = end {
                return Ok(Self { values: machine.values, root, length: machine.at });
            }
        }
        Err(format!("a pickle of more than {MOST} opcodes"))
    }

    /// The value of the whole.
    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// How many bytes it took.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    /// The members of a tuple.
    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        if let Value::Tuple(members) = self.get(id) { Some(members) } else { None }
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        if let Value::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub(super) fn integer(&self, id: Id) -> Option<i64> {
        if let &Value::Integer(number) = self.get(id) { Some(number) } else { None }
    }

    /// Module and name of a class.
    pub(super) fn class(&self, id: Id) -> Option<(&'a str, &'a str)> {
        if let &Value::Class(module, name) = self.get(id) { Some((module, name)) } else { None }
    }

    /// Module, name and arguments of the call that would make an object.
    pub(super) fn call(&self, id: Id) -> Option<(&'a str, &'a str, &[Id])> {
        let Value::Object(object) = self.get(id) else { return None };
        let (module, name) = self.class(object.class)?;
        Some((module, name, self.tuple(object.arguments)?))
    }

    /// What an object would be given after it was made.
    pub(super) fn state(&self, id: Id) -> Option<Id> {
        if let Value::Object(object) = self.get(id) { object.state } else { None }
    }

    /// The value of a key of a dict; the last one where there are several.
    pub(super) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        self.entries(dict)?.rev().find(|&(name, _)| self.text(name) == Some(key)).map(|(_, value)| value)
    }

    /// Keys and values of a dict, or of an ordered one.
    pub(super) fn entries(&self, dict: Id) -> Option<impl DoubleEndedIterator<Item = (Id, Id)> + '_> {
        let items = match self.get(dict) {
            Value::Dict(items) => items,
            Value::Object(object) if self.class(object.class) == Some(("collections", "OrderedDict")) => &object.items,
            _ => return None,
        };
        Some(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)))
    }

    /// What a value is, in words.
    pub(super) fn describe(&self, id: Id) -> String {
        match self.get(id) {
            Value::None => "None".into(),
            Value::Boolean(_) => "a boolean".into(),
            Value::Integer(_) | Value::Long(_) | Value::Real(_) => "a number".into(),
            Value::Text(_) => "text".into(),
            Value::Bytes(_) => "bytes".into(),
            Value::Tuple(_) => "a tuple".into(),
            Value::List(_) => "a list".into(),
            Value::Dict(_) => "a dict".into(),
            Value::Stored(_) => "something stored elsewhere".into(),
            Value::Class(module, name) => format!("the class `{}`", path(module, name)),
            Value::Object(object) => match self.class(object.class) {
                Some((module, name)) => format!("an object of `{}`", path(module, name)),
                None => "an object without a class".into(),
            },
        }
    }
}

fn path(module: &str, name: &str) -> String {
    format!("{module}.{name}").chars().take(80).collect()
}

/// The stack machine.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// How high the stack was at each mark that is open.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One opcode; the value of the whole where it is the last one.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let opcode = self.byte()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            // The protocol and the length of a frame, which nothing depends on.
            0x80 => self.take(1).map(drop)?,
            0x95 => self.take(8).map(drop)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.pop().map(drop)?,
            b'1' => self.pop_to_mark().map(drop)?,
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | 0x8a | 0x8b | b'G' => self.number(opcode)?,
            0x8c | b'X' | 0x8d | b'C' | b'B' | 0x8e | 0x96 => self.string(opcode)?,
            b')' | 0x85 | 0x86 | 0x87 | b't' => self.tuple(opcode)?,
            b']' | 0x8f => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            0x91 => {
                let members = self.pop_to_mark()?;
                self.push(Value::List(members))?;
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.extend(opcode)?,
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.object(opcode)?,
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(opcode)?,
            _ => return Err(format!("unknown opcode 0x{opcode:02x}{}", named(opcode))),
        }
        Ok(None)
    }

    fn number(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Boolean(opcode == 0x88),
            b'K' => Value::Integer(i64::from(self.byte()?)),
            b'M' => Value::Integer(self.unsigned(2)? as i64),
            b'J' => Value::Integer(i64::from(self.unsigned(4)? as u32 as i32)),
            b'G' => Value::Real(f64::from_bits(self.unsigned(8)?.swap_bytes())),
            // LONG1 and LONG4: as many bytes as it takes, the last with the sign.
            _ => {
                let length = self.unsigned(if opcode == 0x8a { 1 } else { 4 })?;
                let bytes = self.take(length)?;
                if bytes.len() > 8 { Value::Long(bytes) } else { Value::Integer(signed(bytes)) }
            }
        };
        self.push(value)
    }

    fn string(&mut self, opcode: u8) -> Result<(), String> {
        let length = self.unsigned(match opcode {
            0x8c | b'C' => 1,
            b'X' | b'B' => 4,
            _ => 8,
        })?;
        let bytes = self.take(length)?;
        let is_text = matches!(opcode, 0x8c | b'X' | 0x8d);
        let value = if is_text { Value::Text(text(bytes)?) } else { Value::Bytes(bytes) };
        self.push(value)
    }

    fn tuple(&mut self, opcode: u8) -> Result<(), String> {
        let members = match opcode {
            b't' => self.pop_to_mark()?,
            b')' => Vec::new(),
            _ => self.pop_some(usize::from(opcode - 0x84))?,
        };
        self.push(Value::Tuple(members))
    }

    /// Adds to the list, dict or object on the stack: what is above it, or what is above a mark above it.
    fn extend(&mut self, opcode: u8) -> Result<(), String> {
        let items = match opcode {
            b'a' => self.pop_some(1)?,
            b's' => self.pop_some(2)?,
            _ => self.pop_to_mark()?,
        };
        let pairs = matches!(opcode, b's' | b'u');
        if pairs && items.len() % 2 == 1 {
            return Err("a key without a value".into());
        }
        let target = self.top()?;
        match &mut self.values[target.0 as usize] {
            Value::List(members) if !pairs => members.extend(items),
            Value::Dict(members) if pairs => members.extend(items),
            Value::Object(object) => object.items.extend(items),
            _ => return Err("items for what takes none of them".into()),
        }
        Ok(())
    }

    fn object(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            b'c' => Value::Class(self.line()?, self.line()?),
            0x93 => {
                let [module, name] = self.pop_array()?;
                match (&self.values[module.0 as usize], &self.values[name.0 as usize]) {
                    (&Value::Text(module), &Value::Text(name)) => Value::Class(module, name),
                    _ => return Err("a class whose module and name are no text".into()),
                }
            }
            // BUILD: the state of the object below it.
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                let Value::Object(object) = &mut self.values[target.0 as usize] else {
                    return Err("a state for what is no object".into());
                };
                object.state = Some(state);
                return Ok(());
            }
            b'Q' => Value::Stored(self.pop()?),
            // NEWOBJ_EX has named arguments too, which no class of interest has.
            0x92 => {
                let [class, arguments, _named] = self.pop_array()?;
                Value::Object(Object { class, arguments, state: None, items: Vec::new() })
            }
            _ => {
                let [class, arguments] = self.pop_array()?;
                Value::Object(Object { class, arguments, state: None, items: Vec::new() })
            }
        };
        self.push(value)
    }

    /// Puts the value on the stack into the memo, or one of the memo on the stack.
    fn remember(&mut self, opcode: u8) -> Result<(), String> {
        let place = match opcode {
            b'q' | b'h' => self.unsigned(1)? as u32,
            b'r' | b'j' => self.unsigned(4)? as u32,
            _ => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
        };
        if matches!(opcode, b'h' | b'j') {
            let value = *self.memo.get(&place).ok_or_else(|| format!("the memo has no value {place}"))?;
            self.stack.push(value);
        } else {
            let value = self.top()?;
            self.memo.insert(place, value);
        }
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = u32::try_from(self.values.len()).map_err(|_| "too many values")?;
        self.values.push(value);
        self.stack.push(Id(id));
        Ok(())
    }

    /// The value on the stack, which stays there.
    fn top(&self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[Id]>::last).copied().ok_or_else(|| "too few values on the stack".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.pop_array().map(|[id]| id)
    }

    fn pop_array<const N: usize>(&mut self) -> Result<[Id; N], String> {
        self.pop_some(N)?.try_into().map_err(|_| "too few values on the stack".into())
    }

    /// So many values, none of them below a mark.
    fn pop_some(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let from = self.stack.len().checked_sub(count).filter(|&from| from >= floor);
        Ok(self.stack.split_off(from.ok_or("too few values on the stack")?))
    }

    /// The values above the last mark, and the mark.
    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A whole number of so many bytes, little-endian.
    fn unsigned(&mut self, size: u64) -> Result<u64, String> {
        Ok(self.take(size)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let count = usize::try_from(count).ok().filter(|&count| count <= rest.len());
        let count = count.ok_or_else(|| format!("ends too early, after {} bytes", self.bytes.len()))?;
        self.at += count;
        Ok(&rest[..count])
    }

    /// Text up to the end of its line.
    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("a line without an end")?;
        self.at += length + 1;
        text(&rest[..length])
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| format!("text that is not UTF-8: {error}"))
}

/// The number of up to 8 bytes, little-endian, the last with the sign.
fn signed(bytes: &[u8]) -> i64 {
    let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { u64::MAX } else { 0 };
    bytes.iter().rev().fold(sign, |number, &byte| number << 8 | u64::from(byte)) as i64
}

/// The name of an opcode that Python has, and writes with protocols 2 to 5 in no file of interest.
fn named(opcode: u8) -> &'static str {
    match opcode {
        b'I' => " (INT, of protocol 0)",
        b'L' => " (LONG, of protocol 0)",
        b'F' => " (FLOAT, of protocol 0)",
        b'S' => " (STRING, of protocol 0)",
        b'V' => " (UNICODE, of protocol 0)",
        b'P' => " (PERSID, of protocol 0)",
        b'p' => " (PUT, of protocol 0)",
        b'g' => " (GET, of protocol 0)",
        b'd' => " (DICT, of protocol 0)",
        b'l' => " (LIST, of protocol 0)",
        b'i' => " (INST, of protocol 0)",
        b'o' => " (OBJ, of protocol 1)",
        b'T' => " (BINSTRING, of Python 2)",
        b'U' => " (SHORT_BINSTRING, of Python 2)",
        b'2' => " (DUP)",
        0x82 => " (EXT1)",
        0x83 => " (EXT2)",
        0x84 => " (EXT4)",
        0x97 => " (NEXT_BUFFER)",
        0x98 => " (READONLY_BUFFER)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        Pickle::read(bytes).unwrap_err()
    }

    fn root(bytes: &[u8]) -> Value<'_> {
        let mut pickle = Pickle::read(bytes).unwrap();
        pickle.values.swap_remove(pickle.root.0 as usize)
    }

    #[test]
    fn numbers_texts_and_bytes() {
        for (bytes, expected) in [
            (&b"K\xff."[..], Value::Integer(255)),
            (b"M\xff\xff.", Value::Integer(65535)),
            (b"J\xff\xff\xff\xff.", Value::Integer(-1)),
            (b"\x8a\x00.", Value::Integer(0)),
            (b"\x8a\x01\x80.", Value::Integer(-128)),
            (b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", Value::Integer(i64::MIN)),
            (b"\x8b\x02\x00\x00\x00\xff\x00.", Value::Integer(255)),
            (b"\x8a\x09\x01\x02\x03\x04\x05\x06\x07\x08\x09.", Value::Long(&[1, 2, 3, 4, 5, 6, 7, 8, 9])),
            (b"G\xbf\xf8\x00\x00\x00\x00\x00\x00.", Value::Real(-1.5)),
            (b"\x8c\x02\xc3\xa9.", Value::Text("é")),
            (b"X\x01\x00\x00\x00a.", Value::Text("a")),
            (b"C\x01\xff.", Value::Bytes(&[255])),
            (b"\x96\x01\x00\x00\x00\x00\x00\x00\x00\xff.", Value::Bytes(&[255])),
            (b"\x80\x05\x95\x01\x00\x00\x00\x00\x00\x00\x00\x88.", Value::Boolean(true)),
        ] {
            assert_eq!(root(bytes), expected);
        }
    }

    #[test]
    fn what_would_be_called_is_kept_by_name() {
        let pickle = Pickle::read(b"cos\nsystem\n(\x8c\x02rmtR}(K\x01K\x02ub. and more").unwrap();
        let (module, name, arguments) = pickle.call(pickle.root()).unwrap();
        assert_eq!((module, name, pickle.text(arguments[0])), ("os", "system", Some("rm")));
        let state = pickle.state(pickle.root()).unwrap();
        let entries: Vec<_> = pickle.entries(state).unwrap().collect();
        assert_eq!((pickle.integer(entries[0].0), pickle.integer(entries[0].1)), (Some(1), Some(2)));
        assert_eq!(pickle.length(), 27);
        assert_eq!(pickle.describe(pickle.root()), "an object of `os.system`");
    }

    #[test]
    fn an_object_may_hold_itself_and_keys_may_repeat() {
        let pickle = Pickle::read(b"]\x94h\x00a.").unwrap();
        assert_eq!(pickle.get(pickle.root()), &Value::List(vec![pickle.root()]));
        let pickle = Pickle::read(b"}(\x8c\x01aK\x01\x8c\x01aK\x02u.").unwrap();
        assert_eq!(pickle.entry(pickle.root(), "a").and_then(|id| pickle.integer(id)), Some(2));
        // A tuple that holds itself: Python takes its parts off the stack, and gets it from the memo.
        let pickle = Pickle::read(b"(]\x94(h\x00t\x94a1h\x01.").unwrap();
        assert_eq!(pickle.tuple(pickle.root()).map(<[Id]>::len), Some(1));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (bytes, expected) in [
            (&b""[..], "byte 0 of the pickle: ends too early, after 0 bytes"),
            (b"N", "byte 1 of the pickle: ends too early, after 1 bytes"),
            (b".", "byte 0 of the pickle: too few values on the stack"),
            (b"N(.", "byte 2 of the pickle: too few values on the stack"),
            (b"Nt.", "byte 1 of the pickle: no mark on the stack"),
            (b"N(\x85.", "byte 2 of the pickle: too few values on the stack"),
            (b"h\x07.", "byte 0 of the pickle: the memo has no value 7"),
            (b"\x94.", "byte 0 of the pickle: too few values on the stack"),
            (b"NNa.", "byte 2 of the pickle: items for what takes none of them"),
            (b"](Nu.", "byte 3 of the pickle: a key without a value"),
            (b"](NNu.", "byte 4 of the pickle: items for what takes none of them"),
            (b"NNb.", "byte 2 of the pickle: a state for what is no object"),
            (b"NN\x93.", "byte 2 of the pickle: a class whose module and name are no text"),
            (b"cos\nsystem", "byte 0 of the pickle: a line without an end"),
            (b"\x8c\x01\xff.", "byte 0 of the pickle: text that is not UTF-8"),
            (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "byte 0 of the pickle: ends too early, after 10 bytes"),
            (b"\x97.", "byte 0 of the pickle: unknown opcode 0x97 (NEXT_BUFFER)"),
            (b"\xff.", "byte 0 of the pickle: unknown opcode 0xff"),
            (b"S'a'\n.", "byte 0 of the pickle: unknown opcode 0x53 (STRING, of protocol 0)"),
        ] {
            let message = message(bytes);
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
