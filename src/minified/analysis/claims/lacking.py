"""What the grid lacks for a claim: the reason why it is not tested, in words."""

from collections.abc import Sequence

from minified.analysis.claims.cells import Cells


def at(
    cells: Cells,
    level: str,
    regimes: Sequence[str] = (),
    criteria: Sequence[str] = (),
    sparsity: float = 0.0,
    more: Sequence[str] = (),
) -> str:
    """What of these the grid lacks at `level`: `the grid has no regime scratch at neuron level`.

    `sparsity` is the least that counts; `more` names things that the caller misses.
    """
    if not cells.regimes(level):
        return f"the grid has no {level} level"
    lacks = [f"regime {name}" for name in regimes if name not in cells.regimes(level)]
    lacks += [f"criterion {name}" for name in criteria if name not in cells.criteria(level)]
    if cells.criteria(level) and not cells.sparsities(level, sparsity):
        lacks.append(f"sparsity of {sparsity:g} or more")
    lacks += more
    if not lacks:
        return f"the grid has no eligible cell at {level} level"
    return f"the grid has no {' and no '.join(lacks)} at {level} level"
