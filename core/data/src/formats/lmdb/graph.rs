//! A pickled `Data` of PyTorch Geometric as fairchem 1 has them (OC20, OC22), and the frame that it is.
//!
//! Before PyTorch Geometric 2.0 a `Data` has its attributes in its state; since then the state has a `_store`, and the state
//! of that a `_mapping` with them. Absent is an attribute that is `None`.
//!
//! | attribute | in the frame |
//! |---|---|
//! | `pos`, `atomic_numbers`, `natoms` | the atoms; atomic numbers may be reals |
//! | `cell` `[1, 3, 3]` or `[3, 3]` | the lattice vectors, as rows; none where all is 0 |
//! | `pbc` | the periodic directions; all three where it is absent, as fairchem takes slabs |
//! | `y`, or `energy` | `energy`, where it is one number |
//! | `force`, or `forces` | `forces` |
//! | `stress` | `stress`, of 9 numbers, or of 6 in Voigt order |
//! | `tags` | `tags` |
//! | `fixed`, 1 where an atom is | `move_mask`, true where it is not |
//! | `pos_relaxed` | `pos_relaxed` |
//! | `sid` | `sid`, as text |
//! | any other that is one number, or text up to 64 KiB | the same: `y_init`, `y_relaxed`, `fid`, `nads`, `oc22` |
//!
//! Everything is in eV and angstrom. An energy is what the set has: of OC22 the total one, of OC20 that or the one of
//! adsorption. Whatever else a graph has (edges, features) is left out.

use super::array::{Array, Number};
use super::pickle::{Id, Pickle, Value};
use crate::formats::{Data, Frame, elements_of};

/// Attributes that have a place of their own in a frame.
const OWN_PLACE: [&str; 12] = [
    "pos",
    "atomic_numbers",
    "natoms",
    "cell",
    "pbc",
    "force",
    "forces",
    "stress",
    "tags",
    "fixed",
    "pos_relaxed",
    "sid",
];
/// The most attributes of a graph, and the longest text that a frame has of one, in bytes.
const MOST: usize = 256;
const LONGEST: usize = 1 << 16;

/// The frame that a pickled graph is.
pub(super) fn frame(value: &[u8]) -> Result<Frame, String> {
    let pickle = Pickle::read(value)?;
    let graph = Graph { attributes: attributes(&pickle)?, pickle };
    let numbers = graph.array("atomic_numbers")?.ok_or("no `atomic_numbers`")?;
    let atoms = numbers.len();
    let elements = elements_of(graph.whole("atomic_numbers", &numbers)?)?;
    let says = graph.one("natoms")?.map(Number::real);
    if let Some(says) = says.filter(|&says| says != atoms as f64) {
        return Err(format!("`natoms` is {says}, but there are {atoms} `atomic_numbers`"));
    }
    let positions = graph.vectors("pos", atoms)?.ok_or("no `pos`")?;
    let frame = Frame { converted_from: Some("eV and angstrom"), ..Frame::of_atoms(&elements, &positions) };
    let frame = single(&graph, frame)?;
    let frame = cell(&graph, frame)?;
    let frame = columns(&graph, frame)?;
    labels(&graph, frame)
}

/// Attributes that are one number or text, under their own names.
fn single(graph: &Graph<'_>, mut frame: Frame) -> Result<Frame, String> {
    let others = graph.attributes.iter().filter(|(name, _)| !OWN_PLACE.contains(name) && !name.starts_with('_'));
    for &(name, id) in others {
        match graph.pickle.get(id) {
            Value::Text(text) if text.len() <= LONGEST => frame = frame.with(name, *text),
            Value::Boolean(yes) => frame = frame.with(name, if *yes { "T" } else { "F" }),
            // What cannot be read is left out with all else that nothing is known of.
            _ => {
                let array = Array::of(&graph.pickle, id).ok().flatten().filter(|array| array.len() == 1);
                let number = array.and_then(|array| array.numbers().first().copied());
                frame = number.into_iter().fold(frame, |frame, number| frame.with(name, number.real()));
            }
        }
    }
    if let Some(id) = graph.find("sid") {
        let sid = match graph.pickle.text(id) {
            Some(text) => Some(text.to_owned()),
            None => {
                graph.one("sid")?.map(|number| number.whole().map_or(number.real().to_string(), |sid| sid.to_string()))
            }
        };
        frame = sid.into_iter().fold(frame, |frame, sid| frame.with("sid", sid));
    }
    Ok(frame)
}

fn cell(graph: &Graph<'_>, frame: Frame) -> Result<Frame, String> {
    let periodic = match graph.array("pbc")?.map(|array| graph.whole("pbc", &array)).transpose()?.as_deref() {
        None => None,
        Some(&[all]) => Some([all != 0; 3]),
        Some(&[a, b, c]) => Some([a, b, c].map(|yes| yes != 0)),
        Some(other) => return Err(format!("`pbc` has {} values, expected three", other.len())),
    };
    let rows =
        graph.vectors("cell", 3)?.filter(|rows| periodic.is_some() || rows.as_flattened().iter().any(|&v| v != 0.0));
    match rows.as_deref() {
        Some(&[a, b, c]) => Ok(frame.with_cell(&[a, b, c], periodic.unwrap_or([true; 3]))),
        _ if periodic.is_some_and(|periodic| periodic.contains(&true)) => {
            Err("`pbc` is true, but there is no `cell`".into())
        }
        _ => Ok(frame),
    }
}

fn columns(graph: &Graph<'_>, mut frame: Frame) -> Result<Frame, String> {
    let atoms = frame.atoms;
    if let Some(tags) = graph.whole_of_atoms("tags", atoms)? {
        frame = frame.with_column("tags", Data::Integer(tags));
    }
    if let Some(fixed) = graph.whole_of_atoms("fixed", atoms)? {
        if let Some(other) = fixed.iter().find(|&&fixed| fixed != 0 && fixed != 1) {
            return Err(format!("`fixed` has a {other}, expected 0 (free) and 1 (fixed)"));
        }
        frame = frame.with_column("move_mask", Data::Logical(fixed.iter().map(|&fixed| fixed == 0).collect()));
    }
    if let Some(relaxed) = graph.vectors("pos_relaxed", atoms)? {
        frame = frame.with_vectors("pos_relaxed", &relaxed);
    }
    Ok(frame)
}

/// Energy, forces and stress. Where a file has `energy` beside `y`, or `forces` beside `force`, both keep their names.
fn labels(graph: &Graph<'_>, mut frame: Frame) -> Result<Frame, String> {
    for name in ["y", "energy"] {
        if graph.find(name).is_some() && graph.array(name)?.is_none_or(|array| array.len() != 1) {
            return Err(format!("`{name}` is no number, expected the energy"));
        }
    }
    if graph.find("energy").is_none()
        && let Some(energy) = frame.header.remove("y")
    {
        frame = frame.with("energy", energy);
    }
    for name in ["force", "forces"] {
        let column = if graph.find("forces").is_none() { "forces" } else { name };
        if let Some(forces) = graph.vectors(name, frame.atoms)? {
            frame = frame.with_vectors(column, &forces);
        }
    }
    let stress = graph.array("stress")?.map(|array| array.numbers().into_iter().map(Number::real).collect::<Vec<_>>());
    match stress.as_deref() {
        None => Ok(frame),
        Some(&[xx, yy, zz, yz, xz, xy]) => Ok(frame.with("stress", &[xx, xy, xz, xy, yy, yz, xz, yz, zz][..])),
        Some(nine) if nine.len() == 9 => Ok(frame.with("stress", nine)),
        Some(other) => Err(format!("`stress` has {} numbers, expected 9, or 6 in Voigt order", other.len())),
    }
}

/// The attributes of a graph.
fn attributes<'a>(pickle: &Pickle<'a>) -> Result<Vec<(&'a str, Id)>, String> {
    let root = pickle.root();
    let is_data = |(module, name, _): (&str, &str, &[Id])| module.starts_with("torch_geometric.") && name == "Data";
    if !pickle.call(root).is_some_and(is_data) {
        return Err(format!("found {}, expected an object of `torch_geometric.data.data.Data`", pickle.describe(root)));
    }
    let state = pickle.state(root).ok_or("a `Data` without a state")?;
    let dict = match pickle.entry(state, "_store") {
        None => Some(state),
        Some(store) => pickle.state(store).and_then(|state| pickle.entry(state, "_mapping")),
    };
    let entries = dict.and_then(|dict| pickle.entries(dict)).ok_or("a `Data` without attributes")?;
    let named = entries.filter_map(|(name, value)| Some((pickle.text(name)?, value)));
    let named: Vec<_> = named.take(MOST + 1).collect();
    if named.len() > MOST { Err(format!("a `Data` with more than {MOST} attributes")) } else { Ok(named) }
}

struct Graph<'a> {
    pickle: Pickle<'a>,
    attributes: Vec<(&'a str, Id)>,
}

impl<'a> Graph<'a> {
    /// An attribute that is not `None`.
    fn find(&self, name: &str) -> Option<Id> {
        let found = self.attributes.iter().rev().find(|(own, _)| *own == name);
        found.map(|&(_, id)| id).filter(|&id| *self.pickle.get(id) != Value::None)
    }

    /// An attribute that has to be an array if it is there.
    fn array(&self, name: &str) -> Result<Option<Array<'a>>, String> {
        let Some(id) = self.find(name) else { return Ok(None) };
        match Array::of(&self.pickle, id) {
            Ok(None) => Err(format!("`{name}` is {}, expected numbers", self.pickle.describe(id))),
            found => found.map_err(|message| format!("`{name}` is {message}")),
        }
    }

    /// An attribute of one number.
    fn one(&self, name: &str) -> Result<Option<Number>, String> {
        let Some(array) = self.array(name)? else { return Ok(None) };
        match array.numbers()[..] {
            [number] => Ok(Some(number)),
            _ => Err(format!("`{name}` is of shape {:?}, expected one number", array.shape)),
        }
    }

    /// An attribute of three numbers for each of so many things.
    fn vectors(&self, name: &str, count: usize) -> Result<Option<Vec<[f64; 3]>>, String> {
        let Some(array) = self.array(name)? else { return Ok(None) };
        // Leading dimensions of one are a batch's, as that of the cell.
        let shape: Vec<usize> = array.shape.iter().copied().skip_while(|&extent| extent == 1 && count != 1).collect();
        if shape != [count, 3] {
            return Err(format!("`{name}` is of shape {:?}, expected {:?}", array.shape, [count, 3]));
        }
        let numbers: Vec<f64> = array.numbers().into_iter().map(Number::real).collect();
        Ok(Some(numbers.as_chunks::<3>().0.to_vec()))
    }

    /// The whole numbers of an attribute.
    fn whole(&self, name: &str, array: &Array<'_>) -> Result<Vec<i64>, String> {
        let whole = |number: Number| {
            number.whole().ok_or_else(|| format!("`{name}` has a {}, expected whole numbers", number.real()))
        };
        array.numbers().into_iter().map(whole).collect()
    }

    /// An attribute of one whole number for each atom.
    fn whole_of_atoms(&self, name: &str, atoms: usize) -> Result<Option<Vec<i64>>, String> {
        let Some(array) = self.array(name)? else { return Ok(None) };
        if array.len() != atoms {
            return Err(format!(
                "`{name}` is of shape {:?}, expected one number for each of {atoms} atoms",
                array.shape
            ));
        }
        self.whole(name, &array).map(Some)
    }
}
