"""`minified specifications`: every claim under every specification of a study.

The tables describe how much a verdict depends on choices that the abstract leaves silent
(multiverse analysis: Steegen et al. 2016; specification curves: Simonsohn, Simmons & Nelson 2020).
No specification is left out after its result is seen, and the p values are not corrected for their
number.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from minified.analysis import aggregate, results, sheets, specification_sheet
from minified.analysis.claims.catalogue import CLAIMS
from minified.analysis.claims.cells import Cells
from minified.analysis.claims.record import Comparison
from minified.analysis.claims.verdicts import judge
from minified.analysis.records import (
    OPTION_COLUMNS,
    SPECIFICATION_ROW_COLUMNS,
    SPECIFIED_COLUMNS,
    SUMMARY_COLUMNS,
    OfOption,
    Specified,
    Summary,
    Verdict,
)
from minified.analysis.statistics import explained
from minified.criteria.record import CLAIMED
from minified.foundations import files
from minified.study import shared
from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.specifications import Specification, pairs
from minified.study.studies import Study

WORDS = ("supported", "contradicted", "negligible", "inconclusive", "reported", "not tested")

Key = tuple[str, str, str | None]
"""A comparison: claim, part, level."""


def specifications(study: Study, paths: Paths) -> None:
    """Write tables/specifications.csv, what follows from it, and the rows that it rests on.

    Raises:
        ArtefactError: a job's file is missing or damaged.
    """
    rows = Rows.read(study, paths)
    judged = {
        name: judge(rows.under(name), study.under(name).claims)[0] for name in study.specified
    }
    table = [
        _specified(study.specified[name], verdict)
        for name, verdicts in judged.items()
        for verdict in verdicts
    ]
    axes = Axes(study, rows, judged)
    table.sort(key=lambda row: axes.keys.index((row.claim, row.part, row.level)))
    summaries = [axes.summary(key) for key in axes.keys]
    options = [row for key in axes.keys for row in axes.options(key)]
    written: tuple[tuple[str, tuple[str, ...], Iterable[Mapping[str, Any]]], ...] = (
        ("specifications.csv", SPECIFIED_COLUMNS, map(asdict, table)),
        ("specifications_summary.csv", SUMMARY_COLUMNS, map(asdict, summaries)),
        ("specifications_axes.csv", OPTION_COLUMNS, map(asdict, options)),
        ("specification_rows.csv", SPECIFICATION_ROW_COLUMNS, rows.records()),
    )
    for name, columns, lines in written:
        files.write_rows(paths.table(name), columns, list(lines))
    sheet = specification_sheet.sheet(study, summaries, options, table)
    files.write_text(paths.table("specifications_summary.md"), sheets.markdown(sheet))
    files.write_text(paths.table("specifications_summary.tex"), sheets.latex(sheet))


def _specified(specification: Specification, verdict: Verdict) -> Specified:
    values: dict[str, Any] = asdict(verdict) | {
        "specification": specification.name,
        "choices": " ".join(f"{a}={o}" for a, o in specification.choices.items()) or None,
    }
    own: dict[str, Any] = {column: values.get(column) for column in SPECIFIED_COLUMNS}
    return Specified(**own)


@dataclass
class Rows:
    """The rows of all specifications, those that several of them share once."""

    frame: pd.DataFrame
    places: dict[str, list[int]]
    """By specification, where its rows are in `frame`."""
    owners: dict[str, dict[Job | None, Path]]
    """By specification, the file with the rows of each of its jobs."""

    @classmethod
    def read(cls, study: Study, paths: Paths) -> "Rows":
        rows: list[dict[str, str]] = []
        places: dict[str, list[int]] = {name: [] for name in study.specified}
        owners: dict[str, dict[Job | None, Path]] = {name: {} for name in study.specified}
        for file, jobs in shared.rows(study, paths).items():
            job = next(iter(jobs.values()))
            here = aggregate.read(file, study, job, paths.owner(file))
            for name, own in jobs.items():
                places[name] += range(len(rows), len(rows) + len(here))
                owners[name][own] = file
            rows += here
        return cls(results.typed(rows), places, owners)

    def under(self, specification: str) -> pd.DataFrame:
        """The rows of one specification, in the order of its grid."""
        return self.frame.iloc[self.places[specification]].reset_index(drop=True)

    def records(self) -> list[dict[str, Any]]:
        frame = self.frame[list(SPECIFICATION_ROW_COLUMNS)].astype(object)
        return frame.where(frame.notna(), None).to_dict("records")

    def differ(self, one: str, other: str, comparison: Comparison) -> bool:
        """Whether two specifications have different runs of some job that a comparison reads."""
        criteria = comparison.criteria or CLAIMED
        return any(
            self.owners[other].get(job) != file
            for job, file in self.owners[one].items()
            if job is not None
            and comparison.level in (None, job.level)
            and (not comparison.regimes or job.regime in comparison.regimes)
            and (job.criterion in criteria or not job.criterion)  # quantization has none
        )


class Axes:
    """What each axis does to each comparison.

    Attributes: `keys`, all comparisons that some specification has, in the order of the claims.
    """

    def __init__(self, study: Study, rows: Rows, judged: Mapping[str, Sequence[Verdict]]):
        self._study = study
        self._verdicts: dict[Key, dict[str, Verdict]] = {}
        for name, verdicts in judged.items():
            for verdict in verdicts:
                key = (verdict.claim, verdict.part, verdict.level)
                self._verdicts.setdefault(key, {})[name] = verdict
        self.keys = list(self._verdicts)
        self._touched = {axis: _touched(study, rows, axis) for axis in study.specifications.axes}

    def summary(self, key: Key) -> Summary:
        verdicts = list(self._verdicts[key].values())
        effects = _effects(verdicts)
        shares = {axis: self.share(key, axis) for axis in self._study.specifications.axes}
        known = {axis: share for axis, share in shares.items() if share is not None}
        most = max(known, key=lambda axis: known[axis], default=None)
        return Summary(
            *key,
            specifications=len(self._study.specified),
            **_counts(verdicts, len(self._study.specified)),
            median_points=median(effects) if effects else None,
            lowest_points=min(effects, default=None),
            highest_points=max(effects, default=None),
            moved_most_by=most,
            share=known[most] if most else None,
        )

    def options(self, key: Key) -> list[OfOption]:
        """One comparison by option of every axis, over the combinations of the axes."""
        rows = []
        for axis, options in self._study.specifications.axes.items():
            share = self.share(key, axis)
            for option in options:
                verdicts = [
                    verdict
                    for name, verdict in self._verdicts[key].items()
                    if self._study.specified[name].choices.get(axis) == option
                ]
                counts = _counts(verdicts, len(verdicts))
                effects = _effects(verdicts)
                rows.append(
                    OfOption(
                        *key,
                        axis=axis,
                        option=option,
                        specifications=len(verdicts),
                        **{word: counts[word] for word in WORDS[:4]},
                        median_points=median(effects) if effects else None,
                        share=share,
                    )
                )
        return rows

    def share(self, key: Key, axis: str) -> float | None:
        """SS(axis) / SS(total) of the effects over the product of the axes; None if the axis cannot
        touch the comparison, or an effect is missing, or all are equal.
        """
        if key not in self._touched[axis]:
            return None
        product = {n: s for n, s in self._study.specified.items() if s.choices}
        effects = {
            name: verdict.effect_points
            for name, verdict in self._verdicts[key].items()
            if name in product and verdict.effect_points is not None
        }
        if len(effects) < len(product):
            return None
        options = [product[name].choices[axis] for name in effects]
        return explained(list(effects.values()), options)


def _touched(study: Study, rows: Rows, axis: str) -> set[Key]:
    """The comparisons for which some pair of specifications that differ in `axis` alone read
    different runs.
    """
    differing = list(pairs(study.specified, axis))
    some = next(iter(study.specified))
    touched = set()
    cells = Cells(rows.under(some))
    for claim in CLAIMS.values():
        for comparison in claim.compare(cells, study.under(some).claims):
            if any(rows.differ(*pair, comparison) for pair in differing):
                touched.add((claim.id, comparison.part, comparison.level))
    return touched


def _counts(verdicts: Sequence[Verdict], specifications: int) -> dict[str, Any]:
    """How often each word was said; what a specification does not have was not tested."""
    words = Counter(verdict.verdict for verdict in verdicts)
    words["not tested"] += specifications - len(verdicts)
    return {word.replace(" ", "_"): words[word] for word in WORDS}


def _effects(verdicts: Sequence[Verdict]) -> list[float]:
    return [v.effect_points for v in verdicts if v.effect_points is not None]
