//! The packed store: what goes in comes out, whatever happens on the way.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use isograd_data::formats::Formats;
use isograd_data::store::{Header, Labels, PackOptions, Packing, Store};
use isograd_data::{Keys, Result, Source};
use isograd_structure::Structure;

/// Three files: molecules in groups, crystals with a stress, and one frame without labels.
fn files(folder: &Path) -> Vec<PathBuf> {
    let molecules: String = (0..700)
        .map(|k| {
            let r = 0.7 + 0.001 * f64::from(k);
            format!(
                "2\nenergy={} mol=m{} Properties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 0 0 1.5\nH 0 0 {r} 0 0 -1.5\n",
                -r,
                k % 10
            )
        })
        .collect();
    let crystals: String = (0..300)
        .map(|k| {
            let a = 3.5 + 0.001 * f64::from(k);
            format!(
                "1\nLattice=\"{a} 0 0 0 {a} 0 0 0 {a}\" energy={} stress=\"1 0 0 0 1 0 0 0 {k}\"\nCu 0 0 0\n",
                -3.0 - a
            )
        })
        .collect();
    let bare = "3\nsome comment\nO 0 0 0\nH 0.9 0 0\nH 0 0.9 0\n".to_owned();
    let texts = [("a.xyz", molecules), ("b.xyz", crystals), ("c.xyz", bare)];
    let write = |(name, text): (&str, String)| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    texts.map(write).into()
}

fn source() -> Source {
    Source { keys: Keys { group: Some("mol".into()), ..Keys::default() }, ..Source::default() }
}

/// Small units and shards, so that there are several.
fn options() -> PackOptions {
    PackOptions { cutoffs: vec![3.0, 4.0], unit_bytes: 1, shard_graphs: 300, ..PackOptions::default() }
}

fn packed(inputs: &[PathBuf], store: &Path) -> Result<Header> {
    source().pack(&Formats::default(), inputs, store, &options(), &|_| {})
}

fn structures(inputs: &[PathBuf]) -> Vec<Structure> {
    let read = |path: &PathBuf| source().read_file(path).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    inputs.iter().flat_map(read).collect()
}

#[test]
fn what_goes_in_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = files(folder.path());
    let place = folder.path().join("store");
    let seen = AtomicUsize::new(0);
    let look = |packing: Packing| {
        seen.fetch_max(packing.graphs, Ordering::Relaxed);
        assert!(packing.bytes <= packing.all_bytes);
    };
    let header = source().pack(&Formats::default(), &inputs, &place, &options(), &look).unwrap();
    assert_eq!((header.graphs, seen.into_inner()), (1001, 1001));
    // 700 graphs in pieces of 256: two shards and a rest; 300: one and a rest.
    let shards: Vec<Vec<usize>> =
        header.units.iter().map(|unit| unit.shards.iter().map(|shard| shard.graphs).collect()).collect();
    assert_eq!(shards, [vec![256, 256, 188], vec![256, 44], vec![1]]);

    let store = Store::open(&place).unwrap();
    store.verify().unwrap();
    for (graph, expected) in structures(&inputs).iter().enumerate() {
        assert_eq!(&store.structure(graph).unwrap(), expected, "graph {graph}");
    }
    let (path, frame) = store.place(955).unwrap();
    assert_eq!((path, frame), (inputs[1].canonicalize().unwrap(), 255));

    let entry = store.index().entry(3);
    assert_eq!((entry.atoms, entry.edges, entry.fault), (2, vec![2, 2], 0));
    assert_eq!((entry.energy, entry.force_squares, entry.largest_force), (-0.703, 4.5, 1.5));
    assert_eq!(entry.labels, Labels::ENERGY.and(Labels::FORCES, true));
    assert!(
        entry.group != 0 && entry.group == store.index().entry(13).group && entry.group != store.index().entry(4).group
    );
    assert!((entry.shortest - 0.703).abs() < 1e-6);
    let entry = store.index().entry(700 + 2);
    assert_eq!(entry.labels, Labels::ENERGY.and(Labels::STRESS, true).and(Labels::PERIODIC, true));
    // Six neighbours at 3.502 angstrom.
    assert_eq!((entry.edges, entry.stress_squares, entry.group), (vec![0, 6], 6.0, 0));
    let entry = store.index().entry(1000);
    assert!(entry.energy.is_nan() && entry.labels == Labels::default() && entry.fault != 0);
    let counts = |graph: usize| {
        let composition = &store.compositions()[store.index().entry(graph).composition as usize];
        composition.0.iter().map(|(element, count)| format!("{}{count}", element.symbol())).collect::<String>()
    };
    assert_eq!((counts(0), counts(800), counts(1000)), ("H2".into(), "Cu1".into(), "H2O1".into()));

    let statistics = &header.statistics;
    assert_eq!((statistics.atoms, statistics.periodic, statistics.faulty), (1400 + 300 + 3, 300, 1));
    assert_eq!((statistics.with_energy, statistics.with_forces, statistics.with_stress), (1000, 700, 300));
    assert!((statistics.force_rms.unwrap() - (1.5f64 * 1.5 / 3.0).sqrt()).abs() < 1e-9);
}

#[test]
fn a_store_is_read_as_any_other_input() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = files(folder.path());
    let place = folder.path().join("store");
    packed(&inputs, &place).unwrap();
    let grouped = Source { keys: Keys { group: Some("group".into()), ..Keys::default() }, ..Source::default() };
    let read: Vec<Structure> = grouped.read_file(&place).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, structures(&inputs));
    assert_eq!(Formats::default().inputs(&[folder.path()]).unwrap().found.last(), Some(&place));
}

#[test]
fn packing_goes_on_where_it_was_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = files(folder.path());
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    let expected = packed(&inputs, &whole).unwrap();
    // The second file is damaged: the first unit may be complete, the store is not.
    let text = std::fs::read_to_string(&inputs[1]).unwrap();
    std::fs::write(&inputs[1], &text[..text.len() / 2]).unwrap();
    let message = packed(&inputs, &broken).unwrap_err().to_string();
    assert!(message.contains("b.xyz"), "{message}");
    assert!(!Store::is_at(&broken) && Store::open(&broken).is_err());
    std::fs::write(&inputs[1], text).unwrap();
    let found = packed(&inputs, &broken).unwrap();
    assert_eq!(found.fingerprint, expected.fingerprint);
    Store::open(&broken).unwrap().verify().unwrap();
    assert!(!broken.join("units").exists());
}

#[test]
fn more_is_appended_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = files(folder.path());
    let [whole, grown] = ["whole", "grown"].map(|name| folder.path().join(name));
    let expected = packed(&inputs, &whole).unwrap();
    packed(&inputs[..1], &grown).unwrap();
    let half = packed(&inputs[..2], &grown).unwrap();
    assert_eq!(half.graphs, 1000);
    let found = packed(&inputs, &grown).unwrap();
    assert_eq!((found.graphs, &found.fingerprint), (1001, &expected.fingerprint));
    assert_eq!(packed(&inputs, &grown).unwrap(), found);
    Store::open(&grown).unwrap().verify().unwrap();
    let names = std::fs::read_dir(&grown).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("index")).count(), 1);
    // A file that is in the store already must be as it was.
    std::fs::write(&inputs[0], "1\nenergy=1\nH 0 0 0\n").unwrap();
    let message = packed(&inputs, &grown).unwrap_err().to_string();
    assert!(message.contains("a.xyz: has changed since it was packed"), "{message}");
    let other = PackOptions { cutoffs: vec![5.0], ..options() };
    let message = source().pack(&Formats::default(), &inputs, &grown, &other, &|_| {}).unwrap_err().to_string();
    assert!(message.contains("has edges within [3.0, 4.0] angstrom, not [5.0]"), "{message}");
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = files(folder.path());
    let message = packed(&inputs, folder.path()).unwrap_err().to_string();
    assert!(message.ends_with("is no store, and not empty: name another folder"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// Changes a byte of a file.
fn flip(path: &Path, place: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[place] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn damage_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = files(folder.path());
    let place = folder.path().join("store");
    let header = packed(&inputs, &place).unwrap();
    let shard = place.join("shards").join(&header.units[1].shards[0].name);
    let good = std::fs::read(&shard).unwrap();
    let broken = |place: &Path| -> String {
        let read = Store::open(place).and_then(|store| store.verify());
        read.err().map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(broken(&place), "");
    // Every sixty-first byte of a shard, one at a time: what is read is right, or the shard is named.
    let expected = structures(&inputs);
    let mut found = 0;
    for byte in (0..good.len()).step_by(61) {
        flip(&shard, byte);
        let store = Store::open(&place).unwrap();
        let read: Result<Vec<Structure>> = (700..956).map(|graph| store.structure(graph)).collect();
        match read {
            Ok(read) => assert_eq!(read[..], expected[700..956], "byte {byte}"),
            Err(error) => {
                assert!(error.to_string().contains("000001-0000.arrow: is damaged"), "{error}");
                found += 1;
            }
        }
        std::fs::write(&shard, &good).unwrap();
    }
    assert!(found > 100, "{found}");
    std::fs::write(&shard, &good[..good.len() - 8]).unwrap();
    assert!(broken(&place).contains("000001-0000.arrow: is damaged: it has "));
    std::fs::remove_file(&shard).unwrap();
    assert!(broken(&place).contains("000001-0000.arrow: cannot read"));
    std::fs::write(&shard, &good).unwrap();
    let index = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path());
    let index = index.into_iter().find(|path| path.to_string_lossy().contains("index-")).unwrap();
    flip(&index, 2000);
    assert!(broken(&place).contains("index-000003.arrow: is damaged"), "{}", broken(&place));
}
