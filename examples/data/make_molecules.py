#!/usr/bin/env python3
"""Makes molecules.extxyz.xz: small organic molecules labelled with GFN2-xTB.

The molecules are those of the SMILES strings below, and others drawn at random from
all ways to put two functional groups on a small core. Up to two conformers of each are embedded
with RDKit (ETKDG) and relaxed with GFN2-xTB; each relaxed conformer is kept, and so are copies of
it whose atoms are moved by normally distributed steps of several amplitudes. Every kept frame
carries the GFN2-xTB energy and forces.

    pip install ase tblite rdkit numpy
    python make_molecules.py molecules.extxyz.xz

Units: angstrom, eV, eV/angstrom. The seed is fixed, so a second run gives the same geometries
up to the rounding of the libraries used.
"""
import lzma
import multiprocessing
import sys
import zlib

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula
from tblite.ase import TBLite

SEED = 2025
CONFORMERS = 2
# (standard deviation of a Cartesian step in angstrom, copies per conformer); molecules with a
# single conformer get twice as many copies.
AMPLITUDES = [(0.02, 1), (0.05, 1), (0.08, 2), (0.12, 1)]
COMBINED = 550
SMALLEST_DISTANCE = 0.6
LARGEST_FORCE = 30.0

SMILES = """
C CC CCC CCCC CC(C)C CCCCC CC(C)CC C1CC1 C1CCC1 C1CCCC1 CC1CC1 C1CCCCC1
C=C CC=C C=CC=C CC=CC CC(=C)C C=C=C C1=CCCC1 C1=CCC=C1 CC=CC=C C1=CC1
C#C CC#C CC#CC C#CC#C CCC#C C=CC#C
CO CCO CCCO CC(C)O OCCO C=CCO OC1CCC1 CC(O)CO OCC#C CCC(C)O
COC CCOC CCOCC C1CO1 C1COC1 C1CCOC1 C=COC COCO COCCO C1COCO1 CC1CO1
C=O CC=O CCC=O CC(=O)C O=CC=O C=CC=O CC(=O)CO O=C1CCC1 CCC(=O)C O=C1CCCC1 CC(=O)C=O CC(C)C=O C#CC=O
OC=O CC(=O)O CCC(=O)O OCC(=O)O C=CC(=O)O O=C1CCO1 OC(=O)C=O OC(=O)C#C
COC=O COC(=O)C CCOC=O COC(=O)CO O=C1OCCO1 O=C1CCCO1 COC(=O)OC
CN CCN CNC CN(C)C CCCN CC(C)N NCCN C1CN1 C1CCN1 C1CCNC1 C=CCN NC1CC1 CCNC C1CNCCN1
NCCO NCC=O CNCO NCC(=O)O CC(N)C=O COCN NCC#C C1CNCO1 CC(N)CO
C=N CC=N CN=C C#N CC#N CCC#N C=CC#N N#CC#N OCC#N NCC#N N#CCC#N CC(C)C#N CC=NC
NC=O CC(=O)N CNC=O CN(C)C=O NC(=O)N NC(=O)C=C O=C1CCN1 O=C1CCCN1 NC(=O)CO CNC(=O)C NC(=O)C=O NCC(N)=O
CN=O C[N+](=O)[O-] CC[N+](=O)[O-] NN CNN NO CON CNO CC=NO N=NC CN=NC
c1ccccc1 Cc1ccccc1 Oc1ccccc1 Nc1ccccc1 c1ccncc1 c1cccnc1C c1cncnc1 c1cnccn1 O=Cc1ccccc1 N#Cc1ccccc1 Oc1ccncc1 Nc1ccncc1 c1ccnnc1 Nc1cnccn1
c1cc[nH]c1 c1ccoc1 c1c[nH]cn1 c1cn[nH]c1 c1cocn1 c1cnoc1 Cc1ccco1 Cc1ccc[nH]1 Cn1cccc1 Oc1ccco1 O=Cc1ccco1 Cn1ccnc1 O=Cc1ccc[nH]1
c1ccsc1 c1cscn1 Cc1cccs1 Cc1cscn1 O=Cc1cccs1 Nc1nccs1 c1cnsc1
S CS CCS CSC CCSC SCCO CSSC SCCS C1CS1 C1CSC1 C1CCSC1 C=CS CC(C)S SCC=O CSCO CSCCO NCCS CC(=S)C CC=S C=S NC=S CC(=O)S COC=S CC(=S)N SCC#N CSC=C C1CSCO1 CSC#N SCC(=O)O CN=C=S CC(O)S CSCN SCC#C CSCC=O
CS(=O)C CS(=O)(=O)C C=CS(=O)C CS(=O)O CN=C=O OO COO N=C=O C=C=O O=C=O CC=C=O O N COCOC CCOO
""".split()

# Two groups on a core. Cores that bind through N, O or S take only groups that begin with carbon.
CORES = """
C(a)b C(a)Cb C(a)(C)b C(a)CCb C(=O)(a)b C(a)=Cb C1CC1(a)b C1(a)CC1b C1(a)CCC1b C1(a)COC1b C1(a)CNC1b
c1(a)ccc(b)cc1 c1(a)cccc(b)c1 c1(a)ccc(b)nc1 c1(a)ncnc(b)c1 c1(a)ccc(b)o1 c1(a)ccc(b)[nH]1 c1(a)ccc(b)s1
c1(a)cnc(b)s1 c1(a)coc(b)n1 C(a)#Cb
""".split()
HETERO_CORES = "O(a)b S(a)b N(a)b N(C)(a)b C(=O)(Na)b C(=O)(Oa)b C(a)SCb C(a)OCb C(a)NCb".split()
CARBON_GROUPS = "C CC C=C C#C C#N C=O C(C)=O C(=O)O C(N)=O CO CN CS C9CC9".split()
GROUPS = CARBON_GROUPS + "[H] O OC N NC S SC".split()


def combinations():
    """Every core with every pair of groups, in a random order that the seed fixes."""
    strings = [core.replace("a", left).replace("b", right)
               for cores, groups in ((CORES, GROUPS), (HETERO_CORES, CARBON_GROUPS))
               for core in cores for left in groups for right in groups]
    np.random.default_rng(SEED).shuffle(strings)
    return strings


def calculate(atoms):
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    return atoms.get_potential_energy(), atoms.get_forces()


def shortest(atoms):
    distances = atoms.get_all_distances()
    return distances[np.triu_indices(len(atoms), 1)].min()


def frame(atoms, energy, forces, name, conformer, amplitude):
    """One extended-XYZ frame: four decimals keep 0.1 mA and 0.1 meV/angstrom."""
    lines = [str(len(atoms)),
             f'Properties=species:S:1:pos:R:3:forces:R:3 energy={energy:.5f} molecule={name} '
             f'conformer={conformer} amplitude={amplitude:g} pbc="F F F"']
    for symbol, position, force in zip(atoms.get_chemical_symbols(), atoms.positions, forces):
        lines.append(" ".join([symbol, *(f"{v:.4f}" for v in (*position, *force))]))
    return "\n".join(lines) + "\n"


def frames_of(job):
    smiles, name = job
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rng = np.random.default_rng([SEED, zlib.crc32(smiles.encode())])
    ids = list(AllChem.EmbedMultipleConfs(molecule, CONFORMERS * 2, randomSeed=SEED))
    relaxed = []
    for index in ids:
        atoms = Atoms([a.GetSymbol() for a in molecule.GetAtoms()],
                      molecule.GetConformer(index).GetPositions())
        atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
        BFGS(atoms, logfile=None).run(fmax=0.01, steps=300)
        energy = atoms.get_potential_energy()
        if all(abs(energy - other.get_potential_energy()) > 2e-3 for other in relaxed):
            relaxed.append(atoms)
        if len(relaxed) == CONFORMERS:
            break
    out, skipped = [], 0
    repeat = CONFORMERS if len(relaxed) == 1 else 1
    for conformer, atoms in enumerate(relaxed):
        out.append(frame(atoms, atoms.get_potential_energy(), atoms.get_forces(), name, conformer, 0))
        for amplitude, copies in AMPLITUDES:
            for _ in range(copies * repeat):
                moved = Atoms(atoms.numbers, atoms.positions + rng.normal(0, amplitude, atoms.positions.shape))
                energy, forces = calculate(moved)
                if shortest(moved) < SMALLEST_DISTANCE or np.abs(forces).max() > LARGEST_FORCE:
                    skipped += 1
                    continue
                out.append(frame(moved, energy, forces, name, conformer, amplitude))
    return out, f"{name} {smiles}: {len(atoms)} atoms, {len(relaxed)} conformers, {len(out)} frames, {skipped} skipped"


def jobs():
    """Canonical SMILES and name of each molecule: the listed ones, then `COMBINED` others."""
    chosen = []

    def add(smiles):
        molecule = Chem.MolFromSmiles(smiles)
        canonical = Chem.MolToSmiles(molecule)
        if canonical in {other for other, _ in chosen} or not 5 <= Chem.AddHs(molecule).GetNumAtoms() <= 20:
            return
        chosen.append((canonical, f"{CalcMolFormula(molecule)}-{len(chosen):03d}"))

    for smiles in SMILES:
        add(smiles)
    target = len(chosen) + COMBINED
    for smiles in combinations():
        if len(chosen) < target:
            add(smiles)
    return chosen


def main():
    total, molecules = 0, jobs()
    with multiprocessing.Pool() as pool, lzma.open(sys.argv[1], "wt", preset=9 | lzma.PRESET_EXTREME) as out:
        for frames, message in pool.imap(frames_of, molecules):
            print(message, flush=True)
            out.writelines(frames)
            total += len(frames)
    print(f"{total} frames of {len(molecules)} molecules")


if __name__ == "__main__":
    main()
