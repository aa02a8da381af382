//! Constraints: which atoms are free to move, as far as `FixAtoms` says it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::array::{Array, shown};

/// What constraints say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Constraints {
    /// Which atoms are free, if `FixAtoms` is among the constraints.
    pub free: Option<Vec<bool>>,
    /// The names of all constraints that are no `FixAtoms`.
    pub others: BTreeSet<String>,
}

/// Reads a list of constraints on this many atoms.
///
/// # Errors
/// A sentence about what is no constraint, or one on an atom that is not there.
pub(super) fn read(list: &Value, atoms: usize) -> Result<Constraints, String> {
    let mut constraints = Constraints::default();
    let list = match list {
        Value::Null => return Ok(constraints),
        list => list.as_array().ok_or_else(|| format!("constraints are `{}`, expected a list", shown(list)))?,
    };
    for constraint in list {
        let (name, arguments) = parts(constraint).ok_or_else(|| {
            format!("a constraint is `{}`, expected an object with name and kwargs", shown(constraint))
        })?;
        if name != "FixAtoms" {
            constraints.others.insert(name.to_owned());
            continue;
        }
        let free = constraints.free.get_or_insert_with(|| vec![true; atoms]);
        fix(arguments, free).map_err(|message| format!("constraint FixAtoms: {message}"))?;
    }
    Ok(constraints)
}

/// The name and the arguments of a constraint: `{name, kwargs}`, or with the arguments beside a `__name__`, as old
/// versions of ASE have it. Some have a name with modules before it.
fn parts(constraint: &Value) -> Option<(&str, &Map<String, Value>)> {
    let object = constraint.as_object()?;
    let (name, arguments) = match object.get("__name__") {
        Some(name) => (name, object),
        None => (object.get("name")?, object.get("kwargs")?.as_object()?),
    };
    let name = name.as_str()?;
    Some((name.rsplit('.').next().unwrap_or(name), arguments))
}

/// Takes the freedom of the atoms that the arguments of `FixAtoms` name: by index, from the end where it is negative,
/// or by a truth value for each.
fn fix(arguments: &Map<String, Value>, free: &mut [bool]) -> Result<(), String> {
    let given = ["indices", "mask"].iter().find_map(|name| arguments.get(*name).filter(|value| !value.is_null()));
    let given = given.ok_or("expected `indices`")?;
    let wrong = || format!("indices are `{}`, expected whole numbers", shown(given));
    let array = Array::of_json(given, &[])?.ok_or_else(wrong)?;
    let atoms = free.len();
    if array.is_logical() && array.len() == atoms {
        for (free, fixed) in free.iter_mut().zip(array.into_booleans().unwrap_or_default()) {
            *free &= !fixed;
        }
        return Ok(());
    }
    for index in array.into_integers().ok_or_else(wrong)? {
        let from_start = if index < 0 { index.checked_add_unsigned(atoms as u64) } else { Some(index) };
        let slot = from_start.and_then(|index| free.get_mut(usize::try_from(index).ok()?));
        *slot.ok_or_else(|| format!("index {index} is none of {atoms} atoms"))? = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn free(list: Value) -> Option<Vec<bool>> {
        read(&list, 3).unwrap().free
    }

    #[test]
    fn fixed_atoms_in_all_forms() {
        let fixed = |indices: Value| json!([{"name": "FixAtoms", "kwargs": {"indices": indices}}]);
        let expected = Some(vec![false, true, false]);
        assert_eq!(free(fixed(json!([0, 2]))), expected);
        assert_eq!(free(fixed(json!({"__ndarray__": [[2], "int64", [0, 2]]}))), expected);
        assert_eq!(free(fixed(json!([0, -1]))), expected);
        assert_eq!(free(fixed(json!([true, false, true]))), expected);
        assert_eq!(free(json!([{"name": "ase.constraints.FixAtoms", "kwargs": {"indices": [0, 2]}}])), expected);
        assert_eq!(free(json!([{"__name__": "FixAtoms", "indices": [0, 2]}])), expected);
        assert_eq!(
            free(json!([{"name": "FixAtoms", "kwargs": {"mask": [true, false, true], "indices": null}}])),
            expected
        );
        assert_eq!(free(fixed(json!(1))), Some(vec![true, false, true]));
        assert_eq!(free(fixed(json!([]))), Some(vec![true; 3]));
        let one = |index: i64| json!({"name": "FixAtoms", "kwargs": {"indices": [index]}});
        assert_eq!(free(json!([one(0), one(2)])), expected);
        assert_eq!(free(json!([])), None);
        assert_eq!(free(json!(null)), None);
    }

    #[test]
    fn other_constraints_are_named() {
        let list = json!([
            {"name": "FixedPlane", "kwargs": {"indices": [0], "direction": [0, 0, 1]}},
            {"name": "FixAtoms", "kwargs": {"indices": [1]}},
            {"name": "FixBondLengths", "kwargs": {"pairs": [[0, 1]], "tolerance": 1e-13}},
            {"name": "FixedPlane", "kwargs": {"indices": [2], "direction": [0, 0, 1]}},
        ]);
        let constraints = read(&list, 3).unwrap();
        assert_eq!(constraints.free, Some(vec![true, false, true]));
        assert_eq!(constraints.others.into_iter().collect::<Vec<_>>(), ["FixBondLengths", "FixedPlane"]);
    }

    #[test]
    fn what_is_no_constraint_is_named() {
        for (list, expected) in [
            (json!({"name": "FixAtoms"}), "expected a list"),
            (json!(["FixAtoms"]), "expected an object"),
            (json!([{"name": "FixAtoms"}]), "expected an object"),
            (json!([{"name": 3, "kwargs": {}}]), "expected an object"),
            (json!([{"name": "FixAtoms", "kwargs": {}}]), "FixAtoms: expected `indices`"),
            (json!([{"name": "FixAtoms", "kwargs": {"indices": "all"}}]), "expected whole numbers"),
            (json!([{"name": "FixAtoms", "kwargs": {"indices": [0.5]}}]), "expected whole numbers"),
            (json!([{"name": "FixAtoms", "kwargs": {"indices": [true]}}]), "expected whole numbers"),
            (json!([{"name": "FixAtoms", "kwargs": {"indices": [3]}}]), "index 3 is none of 3 atoms"),
            (json!([{"name": "FixAtoms", "kwargs": {"indices": [-4]}}]), "index -4 is none of 3 atoms"),
            (json!([{"name": "FixAtoms", "kwargs": {"indices": [i64::MIN]}}]), "is none of 3 atoms"),
        ] {
            let message = read(&list, 3).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
