"""Criteria that select the same units everywhere: their results are one result, shown once."""

from collections.abc import Mapping, Sequence

import pandas as pd

Groups = Mapping[str, Sequence[tuple[str, ...]]]
"""By level, the groups of criteria that coincide; a criterion is in one group at most."""


def coinciding(overlap: pd.DataFrame, rows: pd.DataFrame) -> dict[str, list[tuple[str, ...]]]:
    """The criteria of each level that select the same units in every replicate at every sparsity.

    `overlap` is tables/overlap.csv: one row per level, pair of criteria and sparsity. A pair that
    lacks a sparsity of its level is not known to coincide there. `rows` are those of results.csv:
    the overlap is that of one-shot pruning, so nothing is known of a level pruned in rounds.
    """
    iterative = rows["level"][pd.to_numeric(rows["rounds"]).gt(1).fillna(False).astype(bool)]
    overlap = overlap[~overlap["level"].isin(set(iterative))]
    groups: dict[str, list[tuple[str, ...]]] = {}
    for level, rows in overlap.groupby("level", sort=False):
        places = rows["sparsity"].nunique()
        found: list[list[str]] = []
        for (first, second), pair in rows.groupby(["first", "second"], sort=False):
            same = bool((pair["coincide"] == pair["replicates"]).all())
            if not same or pair["sparsity"].nunique() < places:
                continue
            # Being the same is transitive: two groups that share a criterion are one.
            joined = [group for group in found if first in group or second in group]
            members = [*(name for group in joined for name in group), first, second]
            place = min(map(found.index, joined), default=len(found))
            found = [group for group in found if group not in joined]
            found.insert(place, list(dict.fromkeys(members)))
        if found:
            groups[str(level)] = [tuple(group) for group in found]
    return groups


def others(groups: Groups, level: str | None, criterion: str) -> tuple[str, ...]:
    """The criteria that coincide with this one at a level."""
    for group in groups.get(level, ()) if level else ():
        if criterion in group:
            return tuple(name for name in group if name != criterion)
    return ()


def alike(
    groups: Groups, level: str, rows: pd.DataFrame, keys: list[str], values: list[str]
) -> dict[str, tuple[str, ...]]:
    """The criteria of `rows` that are to be shown, and for which criteria each of them stands.

    Criteria that coincide at `level` are one if they also have the same results, that is the same
    `values` for the same `keys` (a criterion that folds what it removes has its own). `rows` are
    those of the level. The first in their order stands for all.
    """
    shown: dict[str, tuple[str, ...]] = {}
    results: dict[str, pd.DataFrame] = {}
    for criterion, mine in rows.groupby("criterion", sort=False):
        name = str(criterion)
        results[name] = mine.set_index(keys)[values].sort_index()
        for first in others(groups, level, name):
            if first in shown and results[first].equals(results[name]):
                shown[first] += (name,)
                break
        else:
            shown[name] = (name,)
    return shown


def shown(rows: pd.DataFrame, overlap: pd.DataFrame, level: str) -> dict[str, tuple[str, ...]]:
    """As `alike`, for all results of a level: `rows` are those of results.csv."""
    return alike(
        coinciding(overlap, rows),
        level,
        rows[rows["level"] == level],
        ["sparsity", "regime", "replicate"],
        ["accuracy_test", "accuracy_test_before"],
    )


def specified(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """By claim, level and part, the part that stands for it in specifications.csv (`table`).

    Parts of a claim stand for one another if they have the same effects and intervals under every
    specification: no overlap is recorded there.
    """
    first: dict[tuple[str, str, str], str] = {}
    columns = ["specification", "effect_points", "ci_low", "ci_high"]
    for (claim, level), rows in table.groupby(["claim", "level"], sort=False):
        seen: dict[tuple[tuple[object, ...], ...], str] = {}
        for part, mine in rows.groupby("part", sort=False):
            if mine["effect_points"].isna().any() or mine["ci_low"].isna().any():
                continue
            same = tuple(mine[columns].itertuples(index=False, name=None))
            if seen.setdefault(same, str(part)) != part:
                first[str(claim), str(level), str(part)] = seen[same]
    return first


def sentence(level: str, names: Sequence[str]) -> str:
    """Says that the criteria `names` coincide at `level`."""
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{listed} select the same {level}s in every replicate: shown once"
