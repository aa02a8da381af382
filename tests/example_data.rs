//! The example data and configs that the repository ships are what their READMEs say.

use std::collections::BTreeSet;
use std::path::Path;

use isograd::data::audit::Limits;
use isograd::data::formats::Formats;
use isograd::data::{Collection, Source};
use isograd::models::Registry;
use isograd::train::config::Config;
use isograd::train::{prepare, survey};

#[test]
fn molecules_are_many_and_held_out_whole() {
    let config = Config::load(Path::new("examples/configs/quickstart.toml"), &[]).unwrap();
    let prepared = prepare(&config, &Registry::default(), &Formats::default()).unwrap();
    let summary = &prepared.reports[0].summary;
    assert!(summary.frames >= 2000 && summary.with_forces == summary.frames);
    assert_eq!(summary.elements.len(), 5);
    let (fewest, most) = summary.atoms_per_frame.unwrap();
    assert!(fewest >= 5 && most <= 20);
    assert_eq!(prepared.training.len() + prepared.validation.len(), summary.frames);

    let data = &config.data;
    let source = data.sources[0].source(&data.split_by, Vec::new());
    let (structures, _) = survey(&Formats::default(), &source, &data.sources[0].files, &data.limits(), 1.0).unwrap();
    let (training, validation) = structures.split(&data.split_by, data.validation_fraction, 0, 0).unwrap();
    let names = |structures: &Collection| -> BTreeSet<String> {
        structures.structures().map(|own| own.unwrap().group.clone().unwrap()).collect()
    };
    let (training, validation) = (names(&training), names(&validation));
    assert!(training.len() >= 50 && validation.len() >= 10 && training.is_disjoint(&validation));
}

#[test]
fn metals_are_periodic_with_stresses_for_bulk() {
    let files = [Path::new("examples/data/metals.extxyz.xz")];
    let (structures, summary) =
        survey(&Formats::default(), &Source::default(), &files, &Limits::default(), 1.0).unwrap();
    assert_eq!(summary.periodic, structures.len());
    assert!(summary.with_stress > 100 && summary.with_stress < summary.frames);
    assert!(summary.elements.len() >= 8);
}

#[test]
fn every_example_config_loads() {
    for entry in std::fs::read_dir("examples/configs").unwrap() {
        let path = entry.unwrap().path();
        Config::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn files_are_small() {
    for (path, limit) in [("examples/data/molecules.extxyz.xz", 2_000_000), ("examples/data/metals.extxyz.xz", 500_000)]
    {
        assert!(std::fs::metadata(path).unwrap().len() < limit, "{path}");
    }
}
