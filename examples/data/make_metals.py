#!/usr/bin/env python3
"""Makes metals.extxyz.xz: periodic metals, bulk and slab with adsorbate, labelled with EMT.

Bulk fcc cells (primitive and cubic) are strained and rattled; slabs carry one adsorbed atom at a
high-symmetry site and are rattled. The calculator is ASE's effective medium theory. The stress is
written for the bulk cells, where it is well defined, in eV/angstrom^3 with tension positive.

    pip install ase numpy
    python make_metals.py metals.extxyz.xz
"""
import lzma
import sys

import numpy as np
from ase.build import add_adsorbate, bulk, fcc100, fcc111
from ase.calculators.emt import EMT

SEED = 2025
METALS = ["Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt"]
ADSORBATES = ["H", "N", "O"]


def frame(atoms, system, stress):
    lattice = " ".join(f"{v:.6f}" for v in atoms.cell.array.ravel())
    pbc = " ".join("T" if p else "F" for p in atoms.pbc)
    comment = (f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3 '
               f'energy={atoms.get_potential_energy():.6f} system={system} pbc="{pbc}"')
    if stress:
        matrix = atoms.get_stress(voigt=False)
        comment += ' stress="' + " ".join(f"{v:.7f}" for v in matrix.T.ravel()) + '"'
    rows = (" ".join([s, *(f"{v:.5f}" for v in (*p, *f))])
            for s, p, f in zip(atoms.get_chemical_symbols(), atoms.positions, atoms.get_forces()))
    return "\n".join([str(len(atoms)), comment, *rows]) + "\n"


def round_geometry(atoms):
    """The file keeps five decimals; the labels must belong to exactly what it keeps."""
    atoms.positions = np.round(atoms.positions, 5)
    atoms.cell[:] = np.round(atoms.cell.array, 6)
    atoms.calc = EMT()
    return atoms


def bulks(metal, rng):
    for cubic in (False, True):
        for amplitude in (0.0, 0.05, 0.10):
            for _ in range(5):
                atoms = bulk(metal, cubic=cubic)
                strain = np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))
                atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
                if cubic:
                    atoms = atoms.repeat((2, 2, 1))
                atoms.positions += rng.normal(0, amplitude, atoms.positions.shape)
                yield round_geometry(atoms), f"{metal}-{'cubic' if cubic else 'primitive'}", True


def slabs(metal, rng):
    for facet, build, site in (("111", fcc111, "fcc"), ("100", fcc100, "hollow")):
        for adsorbate in ADSORBATES:
            for amplitude in (0.05, 0.10):
                for _ in range(3):
                    atoms = build(metal, size=(2, 2, 3), vacuum=6.0)
                    add_adsorbate(atoms, adsorbate, height=rng.uniform(0.9, 1.6), position=site)
                    atoms.pbc = (True, True, False)
                    atoms.positions += rng.normal(0, amplitude, atoms.positions.shape)
                    yield round_geometry(atoms), f"{metal}{facet}-{adsorbate}", False


def main():
    total = {"bulk": 0, "slab": 0}
    with lzma.open(sys.argv[1], "wt", preset=9 | lzma.PRESET_EXTREME) as out:
        for metal in METALS:
            rng = np.random.default_rng([SEED, sum(map(ord, metal))])
            for kind, source in (("bulk", bulks), ("slab", slabs)):
                for atoms, system, stress in source(metal, rng):
                    out.write(frame(atoms, system, stress))
                    total[kind] += 1
    print(total)


if __name__ == "__main__":
    main()
