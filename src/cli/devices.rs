//! `isograd devices`.

use isograd::ops::device::{DeviceReport, list};
use isograd::train::Result;

use super::{print_json, tables::table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Devices {
    devices: Vec<DeviceReport>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let devices = list();
    if args.json {
        return print_json(&Devices { devices });
    }
    let row = |report: DeviceReport| {
        let state = if report.available { "yes" } else { "no" };
        vec![report.device, state.into(), report.reason.unwrap_or(report.description)]
    };
    let mut table = table(&["device", "available", "what it is, or why not"], devices.into_iter().map(row).collect());
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(comfy_table::CellAlignment::Left);
    }
    println!("{table}");
    Ok(())
}
