"""`minified claims`: the abstract's claims as paired tests over replicates, with a verdict each.

For each claim the difference is averaged within a replicate over all eligible cells (criteria x
sparsities), and then tested over replicates. The verdict follows from the confidence interval
alone; boundaries are the study's configuration, since the abstract gives none.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from minified import files
from minified.analysis import results
from minified.analysis.records import DETAIL_COLUMNS, VERDICT_COLUMNS, Detail, Verdict
from minified.analysis.statistics import Interval, holm, interval
from minified.criteria import READINGS
from minified.paths import Paths
from minified.study import ClaimOptions, Study

MINIMUM_REPLICATES = 3

STATEMENTS = {
    "C1": "OBD-SD slightly outperforms all other selection methods with substantial pruning",
    "C2": "Fine-tuning a parameter-pruned model does slightly better than retraining a similarly"
    " pruned one from scratch",
    "C3": "For neuron-level pruning, retraining from scratch does much better than fine-tuning",
    "C4": "The methods are compared against quantization (no direction stated)",
    "E1": "Our extension: rewinding to the initial weights beats fresh ones (Lottery Ticket)",
    "E2": "Our extension: OBD-SD improves on OBD itself",
}

Matrix = np.ndarray
"""Test accuracies in points, (replicates, sparsities)."""


@dataclass(frozen=True)
class Comparison:
    """One tested difference: `first` minus `second`, per replicate and per detail cell, in points.

    `columns` names the detail cells (a sparsity, or bits); `seconds` what each was compared with.
    """

    claim: str
    part: str
    level: str | None
    first: str
    second: str
    columns: tuple[str, ...]
    seconds: tuple[str, ...]
    differences: Matrix
    cells: int
    confidence: float
    directed: bool = True
    size_word: str | None = None


def test_claims(study: Study, paths: Paths) -> None:
    """Write tables/claims.csv and tables/claims_detail.csv from tables/results.csv."""
    frame = results.read(paths.table("results.csv"))
    verdicts, details = judge(frame, study.claims)
    files.write_rows(paths.table("claims.csv"), VERDICT_COLUMNS, [asdict(v) for v in verdicts])
    files.write_rows(paths.table("claims_detail.csv"), DETAIL_COLUMNS, [asdict(d) for d in details])


def judge(frame: pd.DataFrame, options: ClaimOptions) -> tuple[list[Verdict], list[Detail]]:
    """Test every claim on the rows of a study (as `results.read` gives them)."""
    verdicts, details = [], []
    cells = _Cells(frame)
    for claim, find in _CLAIMS.items():
        for comparison in find(cells, options):
            verdicts.append(_verdict(claim, comparison, options))
            details += _details(comparison)
    return verdicts, details


@dataclass
class _Cells:
    """The rows, by cell: accuracies in points over replicates, in the replicates' order."""

    frame: pd.DataFrame
    _groups: dict[Any, pd.DataFrame] = field(init=False)

    def __post_init__(self) -> None:
        frame = self.frame.sort_values("replicate", kind="stable")
        pruned = frame[frame["level"].notna()]
        self._groups = dict(
            iter(pruned.groupby(["level", "criterion", "sparsity", "regime"], sort=False))
        )
        quantized = frame[frame["method"] == "quantization"]
        self.quantized = dict(iter(quantized.groupby(["bits", "regime"], sort=False)))

    @property
    def replicates(self) -> int:
        return int(self.frame["replicate"].nunique())

    def criteria(self, level: str) -> list[str]:
        """The criteria of a level, in the order of the grid."""
        return list(dict.fromkeys(c for lev, c, _, _ in self._groups if lev == level))

    def sparsities(self, level: str, at_least: float = 0.0) -> list[float]:
        found = {s for lev, _, s, _ in self._groups if lev == level and s >= at_least}
        return sorted(found)

    def has(self, level: str, criterion: str, sparsity: float, regime: str) -> bool:
        return (level, criterion, sparsity, regime) in self._groups

    def points(self, level: str, criterion: str, sparsity: float, regime: str) -> Matrix:
        return _points(self._groups[level, criterion, sparsity, regime], "test")

    def validation(self, level: str, criterion: str, sparsity: float, regime: str) -> float:
        return _validation(self._groups[level, criterion, sparsity, regime])

    def pruned(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Every pruning cell with a name a reader understands."""
        for (level, criterion, sparsity, regime), group in self._groups.items():
            removed = f"{100 * sparsity:.4g} % of {level}s removed by {criterion}"
            yield f"{removed}, {_REGIMES[regime]}", group


def _points(group: pd.DataFrame, split: str) -> Matrix:
    return 100 * group[f"accuracy_{split}"].to_numpy(dtype=np.float64)


def _exact(points: Matrix) -> Matrix:
    """Points without the last bits, so that equal counts of right answers are equal."""
    return np.round(points, 9) + 0.0


def _readings_against(
    cells: _Cells,
    options: ClaimOptions,
    claim: str,
    confidence: float,
    other: Callable[[str, float], str | None],
    second: str,
    size_word: str | None,
) -> Iterator[Comparison]:
    """C1 and E2: each reading of OBD-SD, at each level, against what `other` names per sparsity."""
    boundaries = {
        "parameter": options.substantial_parameter_sparsity,
        "neuron": options.substantial_neuron_sparsity,
    }
    for level, boundary in boundaries.items():
        for reading in READINGS:
            columns, seconds, differences = [], [], []
            for sparsity in cells.sparsities(level, boundary):
                rival = other(level, sparsity)
                if rival is None or not cells.has(level, reading, sparsity, "fine_tune"):
                    continue
                columns.append(f"{sparsity:g}")
                seconds.append(rival)
                differences.append(
                    cells.points(level, reading, sparsity, "fine_tune")
                    - cells.points(level, rival, sparsity, "fine_tune")
                )
            yield Comparison(
                claim,
                reading,
                level,
                reading,
                second,
                tuple(columns),
                tuple(seconds),
                _stack(differences),
                len(columns),
                confidence,
                size_word=size_word,
            )


def _c1(cells: _Cells, options: ClaimOptions) -> Iterator[Comparison]:
    def best_other(level: str, sparsity: float) -> str | None:
        others = [
            criterion
            for criterion in cells.criteria(level)
            if criterion not in READINGS and cells.has(level, criterion, sparsity, "fine_tune")
        ]
        # max() keeps the first of equals: the order of the grid decides a tie.
        return max(
            others,
            key=lambda c: cells.validation(level, c, sparsity, "fine_tune"),
            default=None,
        )

    # Three readings of one claim share its error rate (Bonferroni).
    confidence = 1 - (1 - options.confidence) / len(READINGS)
    return _readings_against(
        cells, options, "C1", confidence, best_other, "best other criterion", "slightly"
    )


def _e2(cells: _Cells, options: ClaimOptions) -> Iterator[Comparison]:
    def obd(level: str, sparsity: float) -> str | None:
        return "obd" if cells.has(level, "obd", sparsity, "fine_tune") else None

    return _readings_against(cells, options, "E2", options.confidence, obd, "obd", None)


def _regimes(
    cells: _Cells,
    claim: str,
    level: str,
    first: str,
    second: str,
    options: ClaimOptions,
    size_word: str | None,
) -> Iterator[Comparison]:
    """C2, C3, E1: one regime against another, over every criterion but random."""
    columns, differences, count = [], [], 0
    for sparsity in cells.sparsities(level):
        here = [
            cells.points(level, criterion, sparsity, first)
            - cells.points(level, criterion, sparsity, second)
            for criterion in cells.criteria(level)
            if criterion != "random"
            and cells.has(level, criterion, sparsity, first)
            and cells.has(level, criterion, sparsity, second)
        ]
        if here:
            columns.append(f"{sparsity:g}")
            differences.append(np.mean(here, axis=0))
            count += len(here)
    # A grid has every criterion at every sparsity, so the mean of columns is the mean of cells.
    yield Comparison(
        claim,
        f"{first} - {second}",
        level,
        first,
        second,
        tuple(columns),
        (second,) * len(columns),
        _stack(differences),
        count,
        options.confidence,
        size_word=size_word,
    )


def _c4(cells: _Cells, options: ClaimOptions) -> Iterator[Comparison]:
    """Per bits and quantization regime: the best pruned network that is no larger."""
    if not cells.quantized:
        nothing = _stack([])
        yield Comparison(
            "C4",
            "-",
            None,
            "pruning",
            "quantization",
            (),
            (),
            nothing,
            0,
            options.confidence,
            False,
        )
    for (key, regime), quantized in cells.quantized.items():
        bits = int(key)
        limit = quantized["bytes_stored"].min()
        fitting = [
            (name, group) for name, group in cells.pruned() if group["bytes_stored"].max() <= limit
        ]
        best = max(fitting, key=lambda cell: _validation(cell[1]), default=None)
        differences = []
        if best is not None:
            differences = [_points(best[1], "test") - _points(quantized, "test")]
        yield Comparison(
            "C4",
            f"{bits} bits, {regime}",
            None,
            best[0] if best else "no pruned network is this small",
            f"{bits}-bit quantization {'while' if regime == 'fine_tune' else 'after'} training",
            (f"{bits} bits",) * len(differences),
            (f"quantization {regime}",) * len(differences),
            _stack(differences),
            len(differences),
            options.confidence,
            directed=False,
        )


_CLAIMS: dict[str, Callable[[_Cells, ClaimOptions], Iterator[Comparison]]] = {
    "C1": _c1,
    "C2": lambda cells, options: _regimes(
        cells, "C2", "parameter", "fine_tune", "scratch", options, "slightly"
    ),
    "C3": lambda cells, options: _regimes(
        cells, "C3", "neuron", "scratch", "fine_tune", options, "much"
    ),
    "C4": _c4,
    "E1": lambda cells, options: _regimes(
        cells, "E1", "parameter", "rewind", "scratch", options, None
    ),
    "E2": _e2,
}


def _validation(group: pd.DataFrame) -> float:
    """A cell's mean validation accuracy: what decides between cells."""
    return float(_exact(_points(group, "validation").mean()))


def _stack(differences: list[Matrix]) -> Matrix:
    return np.stack(differences, axis=1) if differences else np.zeros((0, 0))


def _verdict(claim: str, comparison: Comparison, options: ClaimOptions) -> Verdict:
    boundary = {
        "parameter": f"parameter sparsity >= {options.substantial_parameter_sparsity:g}",
        "neuron": f"neuron sparsity >= {options.substantial_neuron_sparsity:g}",
    }
    eligible = "all"
    if claim in ("C1", "E2") and comparison.level:
        eligible = boundary[comparison.level]
    elif claim in ("C2", "C3", "E1"):
        eligible = f"{comparison.level} level, every criterion but random"
    difference = f"{comparison.first} - {comparison.second}"
    if claim in ("C1", "E2"):
        difference += ", fine_tune"
    base = Verdict(
        claim=claim,
        part=comparison.part,
        level=comparison.level,
        statement=STATEMENTS[claim],
        difference=difference,
        eligible=eligible,
        cells=comparison.cells,
        replicates=len(comparison.differences),
        effect_points=None,
        ci_low=None,
        ci_high=None,
        confidence=comparison.confidence,
        p=None,
        verdict="not tested",
        size_word=comparison.size_word,
        size_holds=None,
        meaning="",
    )
    if comparison.cells == 0:
        return replace(base, meaning="Not tested: this study has no eligible cell.")
    per_replicate = _exact(comparison.differences.mean(axis=1))
    found = interval(list(per_replicate), comparison.confidence)
    base = replace(base, effect_points=found.mean)
    if found.replicates < MINIMUM_REPLICATES:
        return replace(
            base,
            meaning=f"Not tested: {found.replicates} replicates are fewer than"
            f" {MINIMUM_REPLICATES}.",
        )
    verdict = _word(found) if comparison.directed else "reported"
    size = _size(found, comparison.size_word, options)
    return replace(
        base,
        ci_low=found.low,
        ci_high=found.high,
        p=found.p,
        verdict=verdict,
        size_holds=size,
        meaning=_meaning(comparison, found, verdict, size, eligible, options),
    )


def _word(found: Interval) -> str:
    """The verdict, from the interval alone; the claimed side is above 0."""
    if found.low > 0:
        return "supported"
    return "contradicted" if found.high < 0 else "inconclusive"


def _size(found: Interval, word: str | None, options: ClaimOptions) -> str | None:
    """Whether "slightly" or "much" holds of the effect's point estimate."""
    if word is None:
        return None
    boundary = options.size_boundary_points
    holds = 0 < found.mean <= boundary if word == "slightly" else found.mean >= boundary
    return "yes" if holds else "no"


def _meaning(
    comparison: Comparison,
    found: Interval,
    verdict: str,
    size: str | None,
    eligible: str,
    options: ClaimOptions,
) -> str:
    """The plain sentence of what a verdict means."""
    numbers = (
        f"({signed(found.mean)} points, {100 * comparison.confidence:.3g} % CI"
        f" {signed(found.low)} to {signed(found.high)})"
    )
    first = _NAMES.get(comparison.first, comparison.first)
    second = _NAMES.get(comparison.second, comparison.second)
    where = (
        f" after fine-tuning at {eligible}"
        if eligible.startswith(("parameter s", "neuron s"))
        else ""
    )
    if comparison.level and not where:
        where = f" at {comparison.level} level"
    if verdict == "reported":
        side = "is ahead of" if found.low > 0 else "is behind" if found.high < 0 else ""
        words = f"{first} {side or 'cannot be told apart from'} {second} {numbers}."
        return words[0].upper() + words[1:]
    side = "more" if found.mean > 0 else "less"
    if verdict == "inconclusive":
        return (
            f"Whether {first} is more accurate than {second}{where} cannot be told from these"
            f" replicates {numbers}."
        )
    sentence = f"{first[0].upper()}{first[1:]} is {side} accurate than {second}{where} {numbers}"
    if verdict == "contradicted":
        return sentence + ": the opposite of the claim."
    if size == "no":
        limit = f"{options.size_boundary_points:g} points"
        return sentence + (
            f": as claimed, but by more than {limit}."
            if comparison.size_word == "slightly"
            else f": as claimed, but by less than {limit}."
        )
    return sentence + ": as claimed."


_REGIMES = {
    "fine_tune": "fine-tuned",
    "scratch": "retrained from scratch",
    "rewind": "rewound",
}

_NAMES = {
    "obd": "OBD",
    "obd_sd": "OBD-SD read as standard deviation",
    "obd_signed": "OBD-SD read as signed damage",
    "obd_absolute": "OBD-SD read as absolute damage",
    "best other criterion": "the best other criterion",
    "fine_tune": "fine-tuning",
    "scratch": "retraining from scratch",
    "rewind": "rewinding to the initial weights",
}


def _details(comparison: Comparison) -> list[Detail]:
    """Each sparsity (or bits) on its own; Holm over the sparsities of one comparison."""
    if comparison.cells == 0:
        return []
    found = [
        interval(list(column), comparison.confidence) for column in _exact(comparison.differences).T
    ]
    adjusted = holm([one.p for one in found])
    return [
        Detail(
            claim=comparison.claim,
            part=comparison.part,
            level=comparison.level,
            place=place,
            first=comparison.first,
            second=second,
            replicates=one.replicates,
            effect_points=one.mean,
            ci_low=_number(one.low),
            ci_high=_number(one.high),
            confidence=comparison.confidence,
            p=_number(one.p),
            p_holm=_number(p_holm),
        )
        for place, second, one, p_holm in zip(
            comparison.columns, comparison.seconds, found, adjusted, strict=True
        )
    ]


def signed(points: float) -> str:
    """Points with two digits and a sign; never a negative zero."""
    return f"{round(points, 2) + 0.0:+.2f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
