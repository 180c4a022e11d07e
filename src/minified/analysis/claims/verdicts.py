"""`minified claims`: the claims as paired tests over replicates, each with a verdict.

For each comparison the difference is averaged within a replicate over all eligible cells (criteria
x sparsities), and then tested over replicates. The verdict follows from the confidence interval
alone; boundaries are the study's configuration, since the abstract gives none. Beside it stands the
smallest effect that the replicates could have found.
"""

import math
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from minified.analysis import coinciding, results
from minified.analysis.claims import sentences
from minified.analysis.claims.catalogue import CLAIMS
from minified.analysis.claims.cells import Cells, exact
from minified.analysis.claims.record import Claim, Comparison
from minified.analysis.records import (
    DETAIL_COLUMNS,
    OVERLAP_COLUMNS,
    VERDICT_COLUMNS,
    Detail,
    Verdict,
)
from minified.analysis.statistics import Interval, holm, interval, smallest_detectable
from minified.foundations import files
from minified.study.paths import Paths
from minified.study.settings import ClaimOptions
from minified.study.studies import Study

MINIMUM_REPLICATES = 3


def claims(study: Study, paths: Paths) -> None:
    """Write tables/claims.csv and tables/claims_detail.csv from results.csv and overlap.csv."""
    frame = results.read(paths.table("results.csv"))
    overlap = results.read_csv(paths.table("overlap.csv"), columns=OVERLAP_COLUMNS)
    verdicts, details = judge(frame, study.claims, overlap)
    files.write_rows(paths.table("claims.csv"), VERDICT_COLUMNS, [asdict(v) for v in verdicts])
    files.write_rows(paths.table("claims_detail.csv"), DETAIL_COLUMNS, [asdict(d) for d in details])


def judge(
    frame: pd.DataFrame, options: ClaimOptions, overlap: pd.DataFrame | None = None
) -> tuple[list[Verdict], list[Detail]]:
    """Test every claim on the rows of a study (as `results.read` returns them).

    Claims are about the abstract's criteria: the rows of all others change nothing. `overlap` is
    the study's table of that name; without it, no verdict says which criteria coincide.
    """
    verdicts, details = [], []
    cells = Cells(frame)
    groups = coinciding.coinciding(overlap, frame) if overlap is not None else {}
    for claim in CLAIMS.values():
        for comparison in claim.compare(cells, options):
            verdicts.append(_verdict(claim, comparison, options, groups))
            details += _details(claim, comparison)
    return verdicts, details


def _verdict(
    claim: Claim, comparison: Comparison, options: ClaimOptions, groups: coinciding.Groups
) -> Verdict:
    same = coinciding.others(groups, comparison.level, comparison.part)
    base = Verdict(
        claim=claim.id,
        part=comparison.part,
        level=comparison.level,
        statement=claim.statement,
        difference=comparison.difference,
        eligible=comparison.eligible,
        cells=comparison.cells,
        replicates=len(comparison.differences),
        effect_points=None,
        median_points=None,
        ci_low=None,
        ci_high=None,
        confidence=comparison.confidence,
        p=None,
        detectable_points=None,
        verdict="not tested",
        within_no_interest=None,
        size_word=claim.size_word,
        size_holds=None,
        coincides_with=" ".join(same) or None,
        meaning=sentences.not_tested(comparison.lacking),
    )
    if comparison.cells == 0:
        return base
    per_replicate = list(exact(comparison.differences.mean(axis=1)))
    effect = interval(per_replicate, comparison.confidence)
    median = float(np.median(exact(comparison.differences).mean(axis=0)))
    base = replace(base, effect_points=effect.mean, median_points=median)
    if effect.replicates < MINIMUM_REPLICATES:
        reason = sentences.few(effect.replicates, MINIMUM_REPLICATES)
        return replace(base, meaning=sentences.not_tested(reason))
    detectable = smallest_detectable(per_replicate, comparison.confidence)
    within = _within(effect, options)
    verdict = _word(effect, within) if claim.directed else "reported"
    size = _size(effect, claim.size_word, options)
    return replace(
        base,
        ci_low=effect.low,
        ci_high=effect.high,
        p=effect.p,
        detectable_points=detectable,
        verdict=verdict,
        within_no_interest="yes" if within else "no",
        size_holds=size,
        meaning=sentences.meaning(
            claim, comparison, effect, detectable, verdict, within, size, options
        ),
    )


def _within(effect: Interval, options: ClaimOptions) -> bool:
    """Whether the whole interval is strictly within the boundary of no interest."""
    return -options.no_interest_points < effect.low and effect.high < options.no_interest_points


def _word(effect: Interval, within: bool) -> str:
    """The verdict, from the interval alone: the claim says that the effect is above 0."""
    if effect.low > 0:
        return "supported"
    if effect.high < 0:
        return "contradicted"
    return "negligible" if within else "inconclusive"


def _size(effect: Interval, word: str | None, options: ClaimOptions) -> str | None:
    """Whether "slightly" or "much" holds of the effect's point estimate."""
    if word is None:
        return None
    boundary = options.size_boundary_points
    # A mean of round numbers may miss the boundary by its last bit.
    mean = round(effect.mean, 9)
    holds = 0 < mean <= boundary if word == "slightly" else mean >= boundary
    return "yes" if holds else "no"


def _details(claim: Claim, comparison: Comparison) -> list[Detail]:
    """Each sparsity (or bits) on its own; Holm over the sparsities of one comparison."""
    if comparison.cells == 0:
        return []
    at: dict[str, list[int]] = {}
    for cell, column in enumerate(comparison.columns):
        at.setdefault(column, []).append(cell)
    columns = [list(exact(comparison.differences[:, cells].mean(axis=1))) for cells in at.values()]
    effects = [interval(column, comparison.confidence) for column in columns]
    detectable = [smallest_detectable(column, comparison.confidence) for column in columns]
    seconds = [comparison.seconds[cells[0]] for cells in at.values()]
    adjusted = holm([effect.p for effect in effects])
    return [
        Detail(
            claim=claim.id,
            part=comparison.part,
            level=comparison.level,
            place=place,
            first=comparison.first,
            second=second,
            replicates=effect.replicates,
            effect_points=effect.mean,
            ci_low=_number(effect.low),
            ci_high=_number(effect.high),
            confidence=comparison.confidence,
            p=_number(effect.p),
            p_holm=_number(p_holm),
            detectable_points=_number(least),
        )
        for place, second, effect, p_holm, least in zip(
            at, seconds, effects, adjusted, detectable, strict=True
        )
    ]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
