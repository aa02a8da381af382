//! Parquet files with a row per frame, in the columns of ColabFit or of LeMat.
//!
//! Only the columns that a layout knows are read, in batches of rows. The schema that Arrow embeds is passed over, so
//! that a column's type is what Parquet itself says.

mod colabfit;
mod layout;
mod lemat;
mod row;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ParquetMetaData, ParquetStatisticsPolicy};
use parquet::file::reader::ChunkReader;

use self::layout::Layout;
use self::row::Row;
use super::{Format, Frame, Frames, Input};
use crate::{Error, Result};

/// Parquet: the columns of ColabFit, and those of LeMat, which are OPTIMADE's. Both are in eV and angstrom.
#[derive(Debug, Clone, Copy)]
pub struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn recognises(&self, start: &[u8]) -> bool {
        start.starts_with(b"PAR1")
    }

    fn frames<'a>(&self, input: Input<'a>) -> Result<Frames<'a>> {
        let path = input.path()?;
        let file = File::open(path).map_err(Error::io(path, "read"))?;
        read_table(file, input.name())
    }
}

/// The tables that are read.
static LAYOUTS: [Layout; 2] = [colabfit::LAYOUT, lemat::LAYOUT];

/// Rows of a batch: enough that their decoding counts and not its start.
const ROWS: usize = 128;

/// The most columns that an error lists.
const MOST_LISTED: usize = 60;

/// Streams the frames of a table that lies in a file or in memory; `name` stands for it in errors.
///
/// # Errors
/// [`Error::Path`] where the file is damaged, or has other columns. An item of the iterator is an error where a row
/// cannot be read.
pub fn read_table<T: ChunkReader + 'static>(input: T, name: &str) -> Result<Frames<'static>> {
    let path = |message| Error::Path { path: name.into(), message };
    Ok(Box::new(guarded(|| Table::new(input, name)).map_err(path)?))
}

/// A table that is read batch by batch.
struct Table {
    file: String,
    layout: &'static Layout,
    batches: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    /// The next row of the batch.
    row: usize,
    index: usize,
    /// Rows that the file claims.
    rows: usize,
    done: bool,
}

impl Table {
    fn new<T: ChunkReader + 'static>(input: T, file: &str) -> Result<Self, String> {
        let length = input.len();
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(input, options);
        let builder = builder.map_err(|error| format!("cannot be read: {error} (is the file complete?)"))?;
        let rows = checked_rows(builder.metadata(), length)?;
        let names: Vec<&str> = builder.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let layout = layout_of(&names)?;
        let wanted = (0..names.len()).filter(|&column| layout.columns.contains(&names[column]));
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let batches = builder.with_projection(mask).with_batch_size(ROWS).build();
        let batches = batches.map_err(|error| format!("cannot be read: {error}"))?;
        Ok(Self { file: file.to_owned(), layout, batches, batch: None, row: 0, index: 0, rows, done: false })
    }

    /// The next frame, if there is one.
    fn advance(&mut self) -> Result<Option<Frame>, String> {
        while self.batch.as_ref().is_none_or(|batch| self.row == batch.num_rows()) {
            let next = guarded(|| self.batches.next().transpose().map_err(|error| format!("cannot be read: {error}")))?;
            if next.is_none() && self.index < self.rows {
                return Err(format!("the file ends after {} of {} rows", self.index, self.rows));
            }
            self.row = 0;
            self.batch = match next {
                None => return Ok(None),
                batch => batch,
            };
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let mut frame = (self.layout.frame)(&Row::new(batch, self.row))?;
        frame.index = self.index;
        frame.converted_from = Some("eV and angstrom");
        self.row += 1;
        self.index += 1;
        Ok(Some(frame))
    }
}

impl Iterator for Table {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.advance().map_err(Error::frame(&self.file, 0, self.index));
        self.done = !matches!(frame, Ok(Some(_)));
        frame.transpose()
    }
}

/// Calls the crate `parquet`, which panics on about one in a thousand damaged files where it could return an error: it
/// divides by a length of zero, asks for a dictionary that a column has not, or slices beyond a page. Here, and nowhere
/// else, that becomes an error. What has panicked is not called again.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err("is damaged: it contradicts itself".into()))
}

/// Number of rows, after a look at whether the pieces that the footer speaks of lie within a file of `length` bytes.
fn checked_rows(metadata: &ParquetMetaData, length: u64) -> Result<usize, String> {
    let damaged = |message: String| format!("is damaged: {message}");
    let mut rows = 0usize;
    for (group, of_group) in metadata.row_groups().iter().enumerate() {
        let in_group = usize::try_from(of_group.num_rows()).ok();
        for column in of_group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let range = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            if range.and_then(|(start, size)| start.checked_add(size)).is_none_or(|end| end > length) {
                let column = column.column_path();
                return Err(damaged(format!("column {column} of row group {group} lies outside of the file")));
            }
            if column.num_values() < of_group.num_rows() {
                let (values, rows, column) = (column.num_values(), of_group.num_rows(), column.column_path());
                return Err(damaged(format!(
                    "row group {group} claims {rows} rows, and column {column} {values} values"
                )));
            }
        }
        let sum = in_group.and_then(|count| rows.checked_add(count));
        rows = sum.ok_or_else(|| damaged(format!("row group {group} claims {} rows", of_group.num_rows())))?;
    }
    let claimed = metadata.file_metadata().num_rows();
    if usize::try_from(claimed) != Ok(rows) {
        return Err(damaged(format!("it claims {claimed} rows, and its row groups {rows}")));
    }
    Ok(rows)
}

/// The layout all of whose required columns are there.
fn layout_of(names: &[&str]) -> Result<&'static Layout, String> {
    let layout = LAYOUTS.iter().find(|layout| layout.required.iter().all(|name| names.contains(name)));
    layout.ok_or_else(|| {
        let form = |layout: &Layout| format!("{} ({})", layout.required.join(", "), layout.name);
        let mut listed = names[..names.len().min(MOST_LISTED)].join(", ");
        if names.len() > MOST_LISTED {
            listed += &format!(" and {} others", names.len() - MOST_LISTED);
        }
        format!("has the columns {listed}; expected among them {}", LAYOUTS.each_ref().map(form).join(" or "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, BooleanArray, Float64Array, StringArray};
    use std::sync::Arc;

    /// A frame of a row whose cells are texts; one in place of an own is another kind of column.
    fn frame(layout: &Layout, texts: &[(&str, &str)], other: (&str, ArrayRef)) -> Result<Frame, String> {
        let own = other.0;
        let texts = texts.iter().filter(|(name, _)| *name != own);
        let columns = texts.map(|&(name, cell)| (name, text(cell))).chain([other]);
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        (layout.frame)(&Row::new(&batch, 0))
    }

    fn text(text: &str) -> ArrayRef {
        Arc::new(StringArray::from(vec![text]))
    }

    #[test]
    fn rows_that_are_not_understood_name_their_column() {
        let number: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let flag: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        let null: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
        let colabfit = [
            ("atomic_numbers", "[1, 8]"),
            ("positions", "[[0, 0, 0], [0, 0, 1.0]]"),
            ("cell", "[[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]]"),
            ("pbc", "[True, True, True]"),
        ];
        frame(&colabfit::LAYOUT, &colabfit, ("energy", number.clone())).unwrap();
        for (name, column, expected) in [
            ("atomic_numbers", null.clone(), "column `atomic_numbers` is null"),
            ("atomic_numbers", text("[1, 119]"), "119 is no atomic number"),
            ("atomic_numbers", text("[1, 1.5]"), "column `atomic_numbers` has 1.5, expected whole numbers"),
            ("atomic_numbers", text("[1]"), "column `positions` is of 2 atoms, expected 1"),
            ("positions", text("[[0, 0, 0], [0, 0]]"), "column `positions` has a vector of 2 numbers, expected 3"),
            ("positions", text("[[0, 0, 0], [0, 0, None]]"), "column `positions` is null"),
            (
                "positions",
                text("[[[0], 0, 0]]"),
                "column `positions` has the text `[[[0], 0, 0]]`, expected a list of lists",
            ),
            ("positions", number.clone(), "column `positions` is of the type Float64, expected a list of lists"),
            ("cell", text("[[9.0, 0, 0]]"), "column `cell` has 1 vectors, expected 3"),
            ("cell", null.clone(), "column `cell` is null, and `pbc` is not"),
            ("pbc", text("[True]"), "column `pbc` is Some([true]), expected three"),
            ("energy", text("-1.5"), "column `energy` is of the type Utf8, expected a number"),
            ("nsites", Arc::new(Float64Array::from(vec![3.0])), "column `nsites` is of 3 atoms, expected 2"),
            ("atomic_forces", text("[[0, 0, 0]]"), "column `atomic_forces` is of 1 atoms, expected 2"),
            ("energy_unit", text("Hartree"), "column `energy_unit` is `Hartree`, expected eV"),
            ("cauchy_stress_unit", text("GPa"), "column `cauchy_stress_unit` is `GPa`, expected eV/angstrom^3"),
            ("method", flag.clone(), "column `method` is of the type Boolean, expected text"),
            ("cauchy_stress_volume_normalized", number.clone(), "expected true or false"),
        ] {
            let with_stress = [&colabfit[..], &[("cauchy_stress", "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]")]].concat();
            let error = frame(&colabfit::LAYOUT, &with_stress, (name, column)).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
        let lemat = [
            ("species_at_sites", "[\"H\", \"O\"]"),
            ("cartesian_site_positions", "[[0, 0, 0], [0, 0, 1.0]]"),
            ("lattice_vectors", "[[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]]"),
            ("dimension_types", "[1, 1, 1]"),
        ];
        frame(&lemat::LAYOUT, &lemat, ("energy", number)).unwrap();
        for (name, column, expected) in [
            ("species_at_sites", text("[\"H\", \"X\"]"), "X"),
            ("species_at_sites", null.clone(), "column `species_at_sites` is null"),
            ("lattice_vectors", text("[[9.0, 0, 0], [0, 9.0, 0], None]"), "is null where `dimension_types` is 1"),
            ("lattice_vectors", null.clone(), "column `lattice_vectors` has not three vectors"),
            ("dimension_types", text("[1, 1, 2]"), "column `dimension_types` is [1, 1, 2], expected three of 0 or 1"),
            ("magnetic_moments", text("[1.0]"), "column `magnetic_moments` is of 1 atoms, expected 2"),
            ("forces", flag, "column `forces` is of the type Boolean, expected a list of lists"),
        ] {
            let error = frame(&lemat::LAYOUT, &lemat, (name, column)).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn a_stress_of_no_volume_and_ids_that_are_numbers() {
        let molecule = [
            ("atomic_numbers", "[8]"),
            ("positions", "[[0, 0, 0]]"),
            ("pbc", "[false, false, false]"),
            ("cauchy_stress", "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]"),
        ];
        let normalized = ("cauchy_stress_volume_normalized", Arc::new(BooleanArray::from(vec![true])) as ArrayRef);
        let error = frame(&colabfit::LAYOUT, &molecule, normalized).unwrap_err();
        assert!(error.contains("the volume of a cell that has none"), "{error}");
        let hash: ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![9_007_199_254_740_993]));
        let frame = frame(&colabfit::LAYOUT, &molecule, ("property_hash", hash)).unwrap();
        assert_eq!(frame.header.get("property_hash").unwrap().text(), "9007199254740993");
        assert!(frame.header.get("Lattice").is_none());
    }

    #[test]
    fn a_panic_is_an_error() {
        assert!(guarded(|| -> Result<(), String> { panic!("a claim that is not so") }).is_err());
    }
}
