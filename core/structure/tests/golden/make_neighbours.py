#!/usr/bin/env python3
"""Makes neighbours.json: structures and their neighbour lists by ASE.

    pip install ase numpy
    python make_neighbours.py > neighbours.json
"""
import json

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import neighbor_list


def cases():
    rng = np.random.default_rng(7)
    yield "ethanol, free", molecule("CH3CH2OH"), 3.0
    yield "copper, primitive cell, many images", bulk("Cu"), 5.2
    yield "copper, cubic", bulk("Cu", cubic=True), 4.0
    slab = fcc111("Pt", (2, 2, 3), vacuum=5.0)
    slab.pbc = (True, True, False)
    yield "platinum slab", slab, 4.5
    wire = Atoms("C3", [[0.1, 0, 0], [1.3, 0.2, 0], [2.4, -0.1, 0.3]], cell=[3.6, 0, 0], pbc=(True, False, False))
    wire.cell[1], wire.cell[2] = [0, 9, 0], [0, 0, 9]
    yield "wire", wire, 4.0
    triclinic = Atoms("SiO2", rng.uniform(-4, 9, (3, 3)), cell=[[4.1, 0, 0], [1.9, 3.8, 0], [-1.2, 0.9, 5.0]], pbc=True)
    yield "triclinic, atoms outside the cell", triclinic, 5.0
    left = Atoms("NaCl", rng.uniform(0, 3, (2, 3)), cell=[[0, 3.1, 0], [3.3, 0.4, 0], [0.2, 0, 3.0]], pbc=True)
    yield "left-handed cell", left, 4.4


def main():
    out = []
    for name, atoms, cutoff in cases():
        i, j, shifts = neighbor_list("ijS", atoms, cutoff)
        edges = sorted([int(a), int(b), *map(int, s)] for a, b, s in zip(i, j, shifts))
        out.append(dict(name=name, cutoff=cutoff, positions=atoms.positions.tolist(), cell=atoms.cell.array.tolist(),
                        periodic=atoms.pbc.tolist(), edges=edges))
    print(json.dumps(out))


if __name__ == "__main__":
    main()
