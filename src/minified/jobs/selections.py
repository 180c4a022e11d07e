"""`minified selections`: what each criterion removes, and how far two of them remove the same.

From the saved scores, by the same allocation as `retrain`: the units with the lowest scores, in the
scope of the criterion. So it is one-shot pruning: a schedule of several rounds scores anew in each,
and ends elsewhere. A criterion that removes neurons in a way of its own (merging) is represented by
its order.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from minified import pruning
from minified.foundations import files
from minified.jobs.context import Context
from minified.study.paths import Paths
from minified.study.rows import KEPT_COLUMNS, OVERLAP_COLUMNS, spread
from minified.study.studies import Study

Selection = dict[str, Tensor]
"""The units of each layer that stay: flat bool tensors, by layer in network order."""


def selections(study: Study, paths: Paths) -> None:
    """Write tables/kept.csv and tables/overlap.csv, over all replicates of the dense baselines."""
    context = Context(study, paths)
    network = context.build()
    kept: list[dict[str, Any]] = []
    overlaps: list[dict[str, Any]] = []
    for level in study.levels:
        grid = study.pruning(level)
        scores = {
            criterion: context.scores(f"{level}-{criterion}", network)
            for criterion in grid.criteria
        }
        by_criterion: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in scores}
        for sparsity in grid.sparsities:
            selected = {
                name: [_select(one, level, sparsity, grid.scope_of(name)) for one in every]
                for name, every in scores.items()
            }
            for name, replicates in selected.items():
                by_criterion[name].append(list(_kept(level, name, sparsity, replicates)))
            overlaps += overlaps_of(level, sparsity, selected)
        # In the order of results.csv: criterion by criterion.
        kept += [line for parts in by_criterion.values() for lines in parts for line in lines]
    files.write_rows(paths.table("kept.csv"), KEPT_COLUMNS, kept)
    files.write_rows(paths.table("overlap.csv"), OVERLAP_COLUMNS, overlaps)


def _select(scores: dict[str, Tensor], level: str, sparsity: float, scope: str) -> Selection:
    """What stays of one replicate."""
    if level == "parameter":
        masks = pruning.parameter_masks(scores, sparsity, scope)
        return {name: mask.flatten() for name, mask in masks.items()}
    stays = {name: torch.zeros(len(score), dtype=torch.bool) for name, score in scores.items()}
    for name, indices in pruning.kept_neurons(scores, sparsity, scope).items():
        stays[name][indices] = True
    return stays


def _kept(
    level: str, criterion: str, sparsity: float, replicates: Sequence[Selection]
) -> Iterator[dict[str, Any]]:
    """The lines of one criterion and sparsity: the fraction kept, layer by layer."""
    for layer in replicates[0]:
        fractions = [int(one[layer].sum()) / len(one[layer]) for one in replicates]
        mean, sd = spread(fractions)
        yield {
            "method": f"{level}-{criterion}",
            "level": level,
            "criterion": criterion,
            "sparsity": sparsity,
            "layer": layer.removesuffix(".weight"),
            "replicates": len(fractions),
            "kept_mean": mean,
            "kept_sd": sd,
        }


def overlaps_of(
    level: str, sparsity: float, selected: dict[str, list[Selection]]
) -> Iterator[dict[str, Any]]:
    """A line for every pair of criteria: |A and B| / |A| of the sets A and B that they remove."""
    gone = {
        name: [~torch.cat(list(one.values())) for one in replicates]
        for name, replicates in selected.items()
    }
    for first, second in combinations(gone, 2):
        shares = [
            int((a & b).sum()) / int(a.sum()) if a.any() else 1.0
            for a, b in zip(gone[first], gone[second], strict=True)
        ]
        yield {
            "level": level,
            "sparsity": sparsity,
            "first": first,
            "second": second,
            "replicates": len(shares),
            "overlap": math.fsum(shares) / len(shares),
            "coincide": sum(
                torch.equal(a, b) for a, b in zip(gone[first], gone[second], strict=True)
            ),
        }
