//! A frame made of a record: each of its labels under the name that it has in a frame.

use isograd_structure::{StressSign, StressUnit, Units};

use super::document::Result;
use super::record::{Record, Value};
use crate::formats::{Data, Frame};

/// The components of a stress that is a list of six numbers.
pub(super) type Order = [(usize, usize); 6];

/// xx yy zz yz xz xy.
pub(super) const VOIGT: Order = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)];

/// xx yy zz xy yz xz, as VASP prints them.
pub(super) const VASP: Order = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)];

/// A frame, and the record that it is made of.
pub(super) struct Labels {
    frame: Frame,
    record: Record,
}

impl Labels {
    /// The structure, with its lattice and what its sites have.
    pub(super) fn of(mut record: Record) -> Result<Self> {
        let frame = record.structure.take().ok_or("no `structure` that is an object")?;
        Ok(Self { frame, record })
    }

    /// Its number of atoms.
    pub(super) fn atoms(&self) -> usize {
        self.frame.atoms
    }

    /// The record's labels.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// What is made of the record's field, if the record has it.
    fn with<T>(
        mut self,
        field: &str,
        read: impl FnOnce(&Value) -> Result<T>,
        add: impl FnOnce(Frame, T) -> Frame,
    ) -> Result<Self> {
        if let Some(value) = self.record.get(field) {
            let found = |expected: String| format!("`{field}`: expected {expected}, found {}", value.described());
            let value = read(value).map_err(found)?;
            self.frame = add(self.frame, value);
        }
        Ok(self)
    }

    /// A number.
    pub(super) fn number(self, key: &str, field: &str) -> Result<Self> {
        let read = |value: &Value| match value {
            Value::Number(number) => Ok(*number),
            _ => Err("a number".into()),
        };
        self.with(field, read, |frame, number| frame.with(key, number))
    }

    /// Text, or a number that is one. NaN stands for none: so Python's tables say that there is no text.
    pub(super) fn text(self, key: &str, field: &str) -> Result<Self> {
        let read = |value: &Value| match value {
            Value::Text(text) => Ok(Some(text.clone())),
            Value::Number(number) => Ok((!number.is_nan()).then(|| number.to_string())),
            _ => Err("text".into()),
        };
        self.with(field, read, |frame, text| match text {
            Some(text) => frame.with(key, text),
            None => frame,
        })
    }

    /// Text that the record does not have.
    pub(super) fn named(mut self, key: &str, text: &str) -> Self {
        self.frame = self.frame.with(key, text);
        self
    }

    /// A number for each atom.
    pub(super) fn column(self, column: &str, field: &str) -> Result<Self> {
        let atoms = self.frame.atoms;
        let read = |value: &Value| match value {
            Value::Row(numbers) if numbers.all().is_none_or(|all| all.len() == atoms) => {
                Ok(numbers.all().map(<[f64]>::to_vec))
            }
            _ => Err(format!("a number for each of {atoms} atoms")),
        };
        self.with(field, read, |frame, numbers| match numbers {
            Some(numbers) => frame.with_column(column, Data::Real(numbers)),
            None => frame,
        })
    }

    /// Three numbers for each atom.
    pub(super) fn vectors(self, column: &str, field: &str) -> Result<Self> {
        let atoms = self.frame.atoms;
        let read = |value: &Value| {
            let numbers = match value {
                Value::Rows(rows, numbers) if *rows == atoms => numbers,
                Value::Row(numbers) if atoms == 0 => numbers,
                _ => return Err(format!("three numbers for each of {atoms} atoms")),
            };
            let Some(all) = numbers.all() else { return Ok(None) };
            let (vectors, rest) = all.as_chunks::<3>();
            if vectors.len() == atoms && rest.is_empty() {
                Ok(Some(vectors.to_vec()))
            } else {
                Err(format!("three numbers for each of {atoms} atoms"))
            }
        };
        self.with(field, read, |frame, vectors| match vectors {
            Some(vectors) => frame.with_vectors(column, &vectors),
            None => frame,
        })
    }

    /// The stress, of VASP's kbar and sign: three rows of three, or six numbers if their order is known.
    pub(super) fn stress(self, field: &str, order: Option<Order>) -> Result<Self> {
        let expected = || match order {
            Some(_) => "three rows of three numbers, or six numbers".to_owned(),
            None => "three rows of three numbers".to_owned(),
        };
        let read = |value: &Value| {
            let (rows, numbers) = match value {
                Value::Rows(rows, numbers) => (*rows, numbers),
                Value::Row(numbers) => (0, numbers),
                _ => return Err(expected()),
            };
            let Some(all) = numbers.all() else { return Ok(None) };
            match (rows, all, order) {
                (3, nine, _) if nine.len() == 9 => Ok(Some(nine.to_vec())),
                (0, six, Some(order)) if six.len() == 6 => Ok(Some(tensor(six, order).to_vec())),
                _ => Err(expected()),
            }
        };
        let factor = kilobar().stress_factor();
        self.with(field, read, |frame, stress| match stress {
            Some(stress) => {
                let stress: Vec<f64> = stress.into_iter().map(|component| component * factor).collect();
                frame.with("stress", &stress[..])
            }
            None => frame,
        })
    }

    /// The frame.
    pub(super) fn frame(self) -> Frame {
        self.frame
    }
}

/// How VASP gives stresses.
fn kilobar() -> Units {
    Units { stress: StressUnit::Kilobar, stress_sign: StressSign::CompressionPositive, ..Units::default() }
}

/// A symmetric tensor, row by row.
fn tensor(six: &[f64], order: Order) -> [f64; 9] {
    let mut nine = [0.0; 9];
    for (&component, (row, column)) in six.iter().zip(order) {
        nine[3 * row + column] = component;
        nine[3 * column + row] = component;
    }
    nine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_numbers_have_an_order() {
        let six = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(tensor(&six, VOIGT), [1.0, 6.0, 5.0, 6.0, 2.0, 4.0, 5.0, 4.0, 3.0]);
        assert_eq!(tensor(&six, VASP), [1.0, 4.0, 6.0, 4.0, 2.0, 5.0, 6.0, 5.0, 3.0]);
    }
}
