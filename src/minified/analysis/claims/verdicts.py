"""`minified claims`: the claims as paired tests over replicates, each with a verdict.

For each comparison the difference is averaged within a replicate over all eligible cells (criteria
x sparsities), and then tested over replicates. The verdict follows from the confidence interval
alone; boundaries are the study's configuration, since the abstract gives none.
"""

import math
from dataclasses import asdict, replace

import pandas as pd

from minified.analysis import results
from minified.analysis.claims import sentences
from minified.analysis.claims.catalogue import CLAIMS
from minified.analysis.claims.cells import Cells, exact
from minified.analysis.claims.record import Claim, Comparison
from minified.analysis.records import DETAIL_COLUMNS, VERDICT_COLUMNS, Detail, Verdict
from minified.analysis.statistics import Interval, holm, interval
from minified.foundations import files
from minified.study.paths import Paths
from minified.study.settings import ClaimOptions
from minified.study.studies import Study

MINIMUM_REPLICATES = 3


def claims(study: Study, paths: Paths) -> None:
    """Write tables/claims.csv and tables/claims_detail.csv from tables/results.csv."""
    frame = results.read(paths.table("results.csv"))
    verdicts, details = judge(frame, study.claims)
    files.write_rows(paths.table("claims.csv"), VERDICT_COLUMNS, [asdict(v) for v in verdicts])
    files.write_rows(paths.table("claims_detail.csv"), DETAIL_COLUMNS, [asdict(d) for d in details])


def judge(frame: pd.DataFrame, options: ClaimOptions) -> tuple[list[Verdict], list[Detail]]:
    """Test every claim on the rows of a study (as `results.read` returns them)."""
    verdicts, details = [], []
    cells = Cells(frame)
    for claim in CLAIMS.values():
        for comparison in claim.compare(cells, options):
            verdicts.append(_verdict(claim, comparison, options))
            details += _details(claim, comparison)
    return verdicts, details


def _verdict(claim: Claim, comparison: Comparison, options: ClaimOptions) -> Verdict:
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
        ci_low=None,
        ci_high=None,
        confidence=comparison.confidence,
        p=None,
        verdict="not tested",
        size_word=claim.size_word,
        size_holds=None,
        meaning="",
    )
    if comparison.cells == 0:
        return replace(base, meaning="Not tested: this study has no eligible cell.")
    per_replicate = exact(comparison.differences.mean(axis=1))
    effect = interval(list(per_replicate), comparison.confidence)
    base = replace(base, effect_points=effect.mean)
    if effect.replicates < MINIMUM_REPLICATES:
        return replace(
            base,
            meaning=f"Not tested: {effect.replicates} replicates are fewer than"
            f" {MINIMUM_REPLICATES}.",
        )
    verdict = _word(effect) if claim.directed else "reported"
    size = _size(effect, claim.size_word, options)
    return replace(
        base,
        ci_low=effect.low,
        ci_high=effect.high,
        p=effect.p,
        verdict=verdict,
        size_holds=size,
        meaning=sentences.meaning(claim, comparison, effect, verdict, size, options),
    )


def _word(effect: Interval) -> str:
    """The verdict, from the interval alone: the claim says that the effect is above 0."""
    if effect.low > 0:
        return "supported"
    return "contradicted" if effect.high < 0 else "inconclusive"


def _size(effect: Interval, word: str | None, options: ClaimOptions) -> str | None:
    """Whether "slightly" or "much" holds of the effect's point estimate."""
    if word is None:
        return None
    boundary = options.size_boundary_points
    holds = 0 < effect.mean <= boundary if word == "slightly" else effect.mean >= boundary
    return "yes" if holds else "no"


def _details(claim: Claim, comparison: Comparison) -> list[Detail]:
    """Each sparsity (or bits) on its own; Holm over the sparsities of one comparison."""
    if comparison.cells == 0:
        return []
    effects = [
        interval(list(column), comparison.confidence) for column in exact(comparison.differences).T
    ]
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
        )
        for place, second, effect, p_holm in zip(
            comparison.columns, comparison.seconds, effects, adjusted, strict=True
        )
    ]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
