//! The report as text: a table, then the smallest counterexample of every row that failed.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

use super::{Counterexample, Report, Row};
use crate::Rows;
use crate::transformation::short;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        table.set_header([
            "transformation",
            "output",
            "cases",
            "largest",
            "99 %",
            "worst case",
            "its noise",
            "its limit",
            "result",
        ]);
        table.add_rows(self.rows.iter().map(cells));
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        writeln!(f, "errors are relative to the size of the output; the worst case is the one nearest to its limit")?;
        writeln!(f, "seed {}, {} cases each", self.seed, self.cases)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for row in self.rows.iter().filter(|row| row.ill_conditioned > 0) {
            let Row { transformation, output, ill_conditioned, cases, .. } = row;
            write!(
                f,
                "{transformation} of {output}: in {ill_conditioned} of {cases} cases rounding alone is above the limit, "
            )?;
            writeln!(f, "and double precision shows that the model is right")?;
        }
        for skipped in &self.skipped {
            writeln!(f, "not checked: {} ({})", skipped.transformation, skipped.reason)?;
        }
        for row in &self.rows {
            if let Some(counterexample) = &row.counterexample {
                explain(f, row, counterexample)?;
            }
        }
        Ok(())
    }
}

fn cells(row: &Row) -> [String; 9] {
    let number = |value: f64| if value.is_finite() { format!("{value:.1e}") } else { "no answer".into() };
    [
        row.transformation.clone(),
        row.output.clone(),
        row.cases.to_string(),
        number(row.maximum),
        number(row.percentile_99),
        number(row.error),
        number(row.noise_floor),
        number(row.tolerance),
        if row.passed { "pass".into() } else { format!("FAIL ({})", row.failures) },
    ]
}

fn explain(f: &mut fmt::Formatter<'_>, row: &Row, counterexample: &Counterexample) -> fmt::Result {
    let Counterexample { case, found, expected, message } = counterexample;
    writeln!(f, "\n{} of {}: the smallest case found, from seed {}", row.transformation, row.output, row.seed)?;
    for (index, system) in case.systems.iter().enumerate() {
        if case.systems.len() > 1 {
            writeln!(f, "  system {}", index + 1)?;
        }
        for (node, position) in system.positions.iter().enumerate() {
            let mut line = format!("  species {:<3} at {}", system.species[node], vector(position));
            if system.features.columns() > 0 {
                line += &format!("  features {}", vector(system.features.row(node)));
            }
            for vectors in &system.vectors {
                line += &format!("  vector {}", vector(vectors.row(node)));
            }
            writeln!(f, "{line}")?;
        }
        if let Some(cell) = &system.cell {
            writeln!(f, "  cell {}, periodic {:?}", matrix(cell), system.periodic)?;
        }
    }
    writeln!(f, "  {}", case.question)?;
    match message {
        Some(message) => writeln!(f, "  the model did not answer: {message}"),
        None => {
            writeln!(f, "  found    {}", vector(found))?;
            writeln!(f, "  expected {}", vector(expected))
        }
    }
}

fn vector(values: &[f64]) -> String {
    // Enough to see it; the JSON has all of it.
    let mut numbers: Vec<String> = values.iter().take(12).map(|value| short(*value)).collect();
    if values.len() > 12 {
        numbers.push(format!("... {} values", values.len()));
    }
    format!("({})", numbers.join(", "))
}

pub(super) fn matrix(rows: &Rows) -> String {
    let rows: Vec<String> = rows.iter().map(vector).collect();
    format!("[{}]", rows.join(", "))
}
