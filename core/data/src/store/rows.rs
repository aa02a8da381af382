//! Structures as rows of an Arrow table, and back. A row has the columns
//!
//! | column | type |
//! |---|---|
//! | `numbers` | list of uint8: atomic numbers |
//! | `positions`, `forces` | list of three float64 each; `forces` may be null |
//! | `cell`, `stress` | nine float64, row by row, or null |
//! | `periodic` | three bool |
//! | `energy` | float64, or null |
//! | `group` | utf8, or null |
//! | `force_mask` | list of bool, true where the force is a label, or null |
//! | `weight` | float64, what it counts in the loss, or null |
//! | `columns` | list of name and numbers: what else was read |
//! | `file`, `frame` | uint32, uint64: where it was read, by the position of the file in the header |
//!
//! in eV, angstrom, eV/angstrom and eV/angstrom^3, tension positive.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, ListArray, RecordBatch, StringArray, StructArray,
    UInt8Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use isograd_structure::{Cell, Element, Geometry, Structure};

/// A structure and where it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) structure: Structure,
    /// Position of its file in the header.
    pub(super) file: u32,
    /// Position in its file, from 0.
    pub(super) frame: u64,
}

fn item(data: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data, false))
}

fn fixed(data: DataType, size: i32) -> DataType {
    DataType::FixedSizeList(item(data), size)
}

fn vectors() -> DataType {
    DataType::List(item(fixed(DataType::Float64, 3)))
}

/// Name and numbers of a column.
fn column_fields() -> Fields {
    let numbers = DataType::List(item(DataType::Float64));
    Fields::from(vec![Field::new("name", DataType::Utf8, false), Field::new("numbers", numbers, false)])
}

/// The columns of the table.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("numbers", DataType::List(item(DataType::UInt8)), false),
        Field::new("positions", vectors(), false),
        Field::new("cell", fixed(DataType::Float64, 9), true),
        Field::new("periodic", fixed(DataType::Boolean, 3), false),
        Field::new("energy", DataType::Float64, true),
        Field::new("forces", vectors(), true),
        Field::new("stress", fixed(DataType::Float64, 9), true),
        Field::new("group", DataType::Utf8, true),
        Field::new("force_mask", DataType::List(item(DataType::Boolean)), true),
        Field::new("weight", DataType::Float64, true),
        Field::new("columns", DataType::List(item(DataType::Struct(column_fields()))), false),
        Field::new("file", DataType::UInt32, false),
        Field::new("frame", DataType::UInt64, false),
    ]))
}

/// Rows as a piece of the table.
///
/// # Errors
/// What Arrow says where lists are longer than it can count.
pub(super) fn batch(rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let structures = || rows.iter().map(|row| &row.structure);
    let elements = || structures().flat_map(|own| own.elements.iter().map(|element| element.number()));
    let positions = structures().map(|own| Some(own.geometry.positions.as_slice()));
    let matrix =
        |own: Option<[[f64; 3]; 3]>| own.map(|rows| <[f64; 9]>::try_from(rows.as_flattened()).unwrap_or([0.0; 9]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(list(UInt8Array::from_iter_values(elements()), structures().map(Structure::len), None)?),
        Arc::new(vector_lists(positions)?),
        Arc::new(nines(structures().map(|own| matrix(own.geometry.cell.map(|cell| cell.0))))?),
        Arc::new(FixedSizeListArray::try_new(
            item(DataType::Boolean),
            3,
            Arc::new(BooleanArray::from_iter(structures().flat_map(|own| own.geometry.periodic).map(Some))),
            None,
        )?),
        Arc::new(Float64Array::from_iter(structures().map(|own| own.energy))),
        Arc::new(vector_lists(structures().map(|own| own.forces.as_deref()))?),
        Arc::new(nines(structures().map(|own| matrix(own.stress)))?),
        Arc::new(StringArray::from_iter(structures().map(|own| own.group.as_deref()))),
        Arc::new(mask_lists(structures().map(|own| own.force_mask.as_deref()))?),
        Arc::new(Float64Array::from_iter(structures().map(|own| own.weight))),
        Arc::new(named_columns(rows)?),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.file))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.frame))),
    ];
    RecordBatch::try_new(schema(), columns)
}

fn list(
    values: impl Array + 'static,
    lengths: impl IntoIterator<Item = usize>,
    nulls: Option<NullBuffer>,
) -> Result<ListArray, ArrowError> {
    let field = item(values.data_type().clone());
    ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(values), nulls)
}

/// A list of vectors for each row.
fn vector_lists<'a>(rows: impl Iterator<Item = Option<&'a [[f64; 3]]>>) -> Result<ListArray, ArrowError> {
    let rows: Vec<Option<&[[f64; 3]]>> = rows.collect();
    let numbers = rows.iter().flatten().flat_map(|own| own.as_flattened()).copied();
    let numbers = Arc::new(Float64Array::from_iter_values(numbers));
    let vectors = FixedSizeListArray::try_new(item(DataType::Float64), 3, numbers, None)?;
    let nulls = rows.iter().any(Option::is_none).then(|| rows.iter().map(Option::is_some).collect());
    list(vectors, rows.iter().map(|own| own.map_or(0, <[_]>::len)), nulls)
}

/// A list of truths for each row.
fn mask_lists<'a>(rows: impl Iterator<Item = Option<&'a [bool]>>) -> Result<ListArray, ArrowError> {
    let rows: Vec<Option<&[bool]>> = rows.collect();
    let values = BooleanArray::from(rows.iter().flatten().copied().flatten().copied().collect::<Vec<_>>());
    let nulls = rows.iter().any(Option::is_none).then(|| rows.iter().map(Option::is_some).collect());
    list(values, rows.iter().map(|own| own.map_or(0, <[_]>::len)), nulls)
}

/// Nine numbers for each row.
fn nines(rows: impl Iterator<Item = Option<[f64; 9]>>) -> Result<FixedSizeListArray, ArrowError> {
    let rows: Vec<Option<[f64; 9]>> = rows.collect();
    let numbers = Float64Array::from_iter_values(rows.iter().flat_map(|own| own.unwrap_or([0.0; 9])));
    let nulls = rows.iter().map(Option::is_some).collect();
    FixedSizeListArray::try_new(item(DataType::Float64), 9, Arc::new(numbers), Some(nulls))
}

fn named_columns(rows: &[Row]) -> Result<ListArray, ArrowError> {
    let all = || rows.iter().flat_map(|row| &row.structure.columns);
    let names = StringArray::from_iter_values(all().map(|(name, _)| name));
    let numbers = Float64Array::from_iter_values(all().flat_map(|(_, numbers)| numbers).copied());
    let numbers = list(numbers, all().map(|(_, numbers)| numbers.len()), None)?;
    let columns = StructArray::try_new(column_fields(), vec![Arc::new(names), Arc::new(numbers)], None)?;
    list(columns, rows.iter().map(|row| row.structure.columns.len()), None)
}

/// A row of a piece of the table.
///
/// # Errors
/// A sentence where the piece is no such table, or the row no structure.
pub(super) fn row(batch: &RecordBatch, index: usize) -> Result<Row, String> {
    if index >= batch.num_rows() {
        return Err(format!("row {index} of {} is asked for", batch.num_rows()));
    }
    if batch.schema_ref().fields() != schema().fields() {
        return Err("its columns are not those of a store".into());
    }
    // The types are those of the schema.
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("there is no column `{name}`"));
    let numbers = column("numbers")?.as_list::<i32>().value(index);
    let elements = numbers.as_primitive::<UInt8Type>().values().iter().map(|&number| {
        Element::from_number(i64::from(number)).ok_or_else(|| format!("{number} is no atomic number (1 to 118)"))
    });
    let elements: Vec<Element> = elements.collect::<Result<_, _>>()?;
    let vectors = |name: &str| -> Result<Option<Vec<[f64; 3]>>, String> {
        let lists = column(name)?.as_list::<i32>();
        if lists.is_null(index) {
            return Ok(None);
        }
        let own = lists.value(index);
        let numbers = own.as_fixed_size_list().values().as_primitive::<Float64Type>().values();
        let vectors = numbers.as_chunks::<3>().0.to_vec();
        if vectors.len() != elements.len() {
            return Err(format!("there are {} rows of `{name}` and {} atoms", vectors.len(), elements.len()));
        }
        Ok(Some(vectors))
    };
    let nine = |name: &str| -> Result<Option<[[f64; 3]; 3]>, String> {
        let lists = column(name)?.as_fixed_size_list();
        let numbers = || lists.value(index).as_primitive::<Float64Type>().values().as_chunks::<3>().0.to_vec();
        Ok(lists.is_valid(index).then(numbers).and_then(|rows| rows.try_into().ok()))
    };
    let periodic = column("periodic")?.as_fixed_size_list().value(index);
    let periodic = std::array::from_fn(|axis| periodic.as_boolean().value(axis));
    let energy = column("energy")?.as_primitive::<Float64Type>();
    let group = column("group")?.as_string::<i32>();
    let weight = column("weight")?.as_primitive::<Float64Type>();
    let masks = column("force_mask")?.as_list::<i32>();
    let force_mask =
        masks.is_valid(index).then(|| masks.value(index).as_boolean().values().iter().collect::<Vec<bool>>());
    if let Some(mask) = force_mask.as_ref().filter(|mask| mask.len() != elements.len()) {
        return Err(format!("there are {} rows of `force_mask` and {} atoms", mask.len(), elements.len()));
    }
    let named = column("columns")?.as_list::<i32>().value(index);
    let named = named.as_struct();
    let (names, lists) = (named.column(0).as_string::<i32>(), named.column(1).as_list::<i32>());
    let numbers = |place: usize| lists.value(place).as_primitive::<Float64Type>().values().to_vec();
    let columns = (0..named.len()).map(|place| (names.value(place).to_owned(), numbers(place))).collect();
    let structure = Structure {
        geometry: Geometry {
            positions: vectors("positions")?.unwrap_or_default(),
            cell: nine("cell")?.map(Cell),
            periodic,
        },
        energy: energy.is_valid(index).then(|| energy.value(index)),
        forces: vectors("forces")?,
        stress: nine("stress")?,
        columns,
        group: group.is_valid(index).then(|| group.value(index).to_owned()),
        force_mask,
        weight: weight.is_valid(index).then(|| weight.value(index)),
        remarks: Vec::new(),
        elements,
    };
    Ok(Row {
        structure,
        file: column("file")?.as_primitive::<UInt32Type>().value(index),
        frame: column("frame")?.as_primitive::<UInt64Type>().value(index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Structures with all that a structure may have, and with as little.
    fn rows() -> Vec<Row> {
        let water = Structure {
            geometry: Geometry {
                positions: vec![[0.1, 0.2, 0.3], [1.0, 0.0, 0.0], [-0.25, 0.9, 0.0]],
                ..Geometry::default()
            },
            elements: ["O", "H", "H"].map(|symbol| symbol.parse().unwrap()).into(),
            energy: Some(-76.4),
            forces: Some(vec![[0.5, 0.0, -0.5], [0.0, 0.25, 0.0], [1e-300, f64::MAX, -0.0]]),
            group: Some("water".into()),
            force_mask: Some(vec![true, false, true]),
            weight: Some(2.5),
            columns: [("dipole".into(), vec![0.1, 0.2, 0.3]), ("charges".into(), vec![-0.8, 0.4, 0.4])].into(),
            ..Structure::default()
        };
        let copper = Structure {
            geometry: Geometry {
                positions: vec![[0.0; 3]],
                cell: Some(Cell([[0.0, 1.8, 1.8], [1.8, 0.0, 1.8], [1.8, 1.8, 0.0]])),
                periodic: [true, false, true],
            },
            elements: vec!["Cu".parse().unwrap()],
            stress: Some([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]]),
            ..Structure::default()
        };
        let row = |structure, frame| Row { structure, file: 7, frame };
        vec![row(water, 0), row(Structure::default(), 1), row(copper, u64::MAX)]
    }

    #[test]
    fn what_is_written_is_read() {
        let rows = rows();
        let batch = batch(&rows).unwrap();
        for (index, expected) in rows.iter().enumerate() {
            assert_eq!(&row(&batch, index).unwrap(), expected);
        }
        assert_eq!(row(&batch, 3).unwrap_err(), "row 3 of 3 is asked for");
        assert_eq!(super::batch(&[]).unwrap().num_rows(), 0);
    }

    #[test]
    fn another_table_is_refused() {
        let batch = batch(&rows()).unwrap();
        let fewer = batch.project(&[0, 1, 2]).unwrap();
        assert_eq!(row(&fewer, 0).unwrap_err(), "its columns are not those of a store");
    }
}
