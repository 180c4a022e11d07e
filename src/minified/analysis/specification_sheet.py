"""The summary over all specifications as a reader sees it."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from minified.analysis import coinciding
from minified.analysis.claims.sentences import signed
from minified.analysis.records import OfOption, Specified, Summary
from minified.analysis.sheets import Sheet
from minified.study.studies import Study


def sheet(
    study: Study,
    summaries: Sequence[Summary],
    options: Sequence[OfOption],
    table: Sequence[Specified],
) -> Sheet:
    """A line per comparison: in how many specifications each verdict was reached, and on what that
    depends. Parts that have the same effects in all of `table` stand in one line.
    """
    first = coinciding.specified(pd.DataFrame([asdict(row) for row in table]))
    axes = list(study.specifications.axes)
    shares = {(o.claim, o.part, o.level, o.axis): o.share for o in options}
    lines = []
    for one in summaries:
        key = (one.claim, one.level or "", one.part)
        if one.not_tested == one.specifications or key in first:
            continue
        alike = [part for (*place, part), by in first.items() if (*place, by) == key]
        line = {
            "claim": one.claim,
            "level": one.level or "",
            "part": " = ".join([one.part, *alike]),
            "holds in": f"{one.supported} of {one.specifications}",
            "contradicted in": str(one.contradicted),
            "negligible in": str(one.negligible),
            "inconclusive in": str(one.inconclusive),
        }
        if one.reported:
            line |= dict.fromkeys(("holds in", "contradicted in"), "no direction claimed")
            line |= dict.fromkeys(("negligible in", "inconclusive in"), "")
        line["median effect"] = _points(one.median_points)
        line["lowest to highest"] = (
            f"{_points(one.lowest_points)} to {_points(one.highest_points)}"
            if one.lowest_points is not None
            else ""
        )
        for axis in axes:
            share = shares[one.claim, one.part, one.level, axis]
            line[axis] = "-" if share is None else f"{100 * share:.0f} %"
        lines.append(line)
    names = (f"{one.claim} {one.part}" for one in summaries if one.not_tested)
    untested = ", ".join(dict.fromkeys(names))
    varied = ", ".join(f"{axis} ({', '.join(o)})" for axis, o in study.specifications.axes.items())
    singles = ", ".join(study.specifications.variants)
    notes = [
        f"{len(study.specified)} specifications of {study.replicates} replicates each. "
        + (f"Axes, all of whose options are combined: {varied}. " if varied else "")
        + (f"Single variants beside them: {singles}." if singles else ""),
        "Effects are points of test accuracy, as in claims.csv; the verdict of each specification,"
        " with its interval, is in specifications.csv. This describes how much a verdict depends on"
        " choices that the abstract leaves silent: no p value is corrected for the number of"
        " specifications, and none of them was left out.",
    ]
    if axes:
        notes.append(
            "Under an axis: the share of the variance of the effects, between all combinations of"
            " the axes, that it explains by itself (main effect); the rest are interactions. -: it"
            " cannot touch the comparison."
        )
    if first:
        notes.append("Parts joined by = have the same effects under every specification.")
    if untested:
        notes.append(f"Not tested under some or all specifications, as in claims.csv: {untested}.")
    title = f"Claims over all specifications, study {study.name}"
    return Sheet(title, pd.DataFrame(lines), tuple(notes))


def _points(value: float | None) -> str:
    return "" if value is None else signed(value)
