# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O1
# ruff: noqa: F821
"""The number of nodes that Redis's radix tree has for the IDs of a stream: XINFO STREAM shows it."""

import cython

ID_SIZE = cython.declare(cython.int, 16)


def radix_tree_nodes(depths: bytes, count: int) -> int:
    """How many nodes Redis's radix tree has with `count` sorted IDs of 16 bytes.

    depths: how many first bytes each of the first IDs shares with the next one. What is true of these is taken for true
    of all. A leaf for each key, a node for each place where keys part, and one for each run of bytes between two of
    these.
    """
    known: cython.Py_ssize_t = len(depths) + 1
    nodes: cython.Py_ssize_t = known
    shared: cython.p_const_uchar = depths
    index: cython.Py_ssize_t
    before: cython.int = -1
    depth: cython.int
    above: cython.int
    forks: cython.int[16]
    open_forks: cython.int = 0
    if not count:
        return 1
    for index in range(known):
        depth = shared[index] if index < known - 1 else -1
        # Above a leaf bytes are left over unless its neighbours share all but the last one with it.
        nodes += ID_SIZE - max(before, depth) > 1
        before = depth
        while open_forks and forks[open_forks - 1] > depth:
            open_forks -= 1
            above = max(forks[open_forks - 1] if open_forks else -1, depth)
            nodes += 1 + (forks[open_forks] - above > 1)
        if depth >= 0 and (not open_forks or forks[open_forks - 1] < depth):
            forks[open_forks] = depth
            open_forks += 1
    return nodes * count // known
