"""The tables of the claims as a reader sees them, with what a reader must know below them."""

import pandas as pd

from minified.analysis import coinciding
from minified.analysis.claims.catalogue import CLAIMS
from minified.analysis.claims.sentences import percent, signed, size
from minified.analysis.sheets import Sheet
from minified.analysis.statistics import POWER
from minified.criteria.record import CRITERIA, READINGS
from minified.study.settings import ClaimOptions
from minified.study.studies import Study

_DETECTABLE = (
    "Detectable is the smallest effect that these replicates could have found: the effect at which"
    f" the paired t test has {100 * POWER:g} % power, given the spread between replicates."
)


def claims(study: Study, table: pd.DataFrame) -> Sheet:
    """All comparisons of the claims, one line each, with the claims and our boundaries below.

    Readings that select the same units and have the same effect stand in one line.
    """
    table, names = _once(table)
    shown = pd.DataFrame(
        {
            "claim": table["claim"],
            "level": table["level"].fillna(""),
            "difference": table["difference"],
            "cells": table["cells"].map(str),
            "effect": table["effect_points"].map(_points),
            "median": table["median_points"].map(_points),
            "CI": _intervals(table),
            "p": table["p"].map(_p),
            "detectable": table["detectable_points"].map(_size),
            "verdict": table["verdict"],
            "no interest": table["within_no_interest"].fillna(""),
            "size": [
                "" if pd.isna(word) or pd.isna(holds) else f"{word}: {holds}"
                for word, holds in zip(table["size_word"], table["size_holds"], strict=True)
            ],
            "meaning": table["meaning"],
        }
    )
    statements = table.drop_duplicates("claim")
    notes = (
        *(f"{row.claim}: {row.statement}." for row in statements.itertuples()),
        "Claims are about the abstract's criteria: extensions and a reader's own criteria enter"
        " none of them.",
        "Effects are points of test accuracy, averaged over the eligible cells within a replicate"
        f" and tested over {study.replicates} replicates (paired t). The median is that over cells"
        " of the mean over replicates, and has no verdict of its own. Intervals cover seeds"
        " (initialisation, data order), not the choice of the test split."
        f" {_confidence(study, table)} {_DETECTABLE}",
        _boundaries(study.claims),
        *(f"{coinciding.sentence(level, list(words))}." for level, words in names),
        *(f"{claim.id}: {claim.note}" for claim in CLAIMS.values() if claim.note),
    )
    return Sheet(f"Claims, study {study.name}", shown, notes)


def _once(table: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, tuple[str, ...]]]]:
    """The table without the lines that another line stands for, and which coincide, by level."""
    kept: list[int] = []
    named: dict[tuple[str, tuple[str, ...]], None] = {}
    differences = table["difference"].copy()
    for place, names in shown_once(table):
        kept.append(place)
        if len(names) > 1:
            row = table.iloc[place]
            differences.iloc[place] = differences.iloc[place].replace(
                row["part"], " = ".join(names), 1
            )
            named[row["level"], names] = None
    return table.assign(difference=differences).iloc[kept], list(named)


def _once_in_detail(
    table: pd.DataFrame, verdicts: pd.DataFrame
) -> tuple[pd.DataFrame, list[tuple[str, tuple[str, ...]]]]:
    """The same of claims_detail.csv, by the lines of claims.csv that its own belong to."""
    named: dict[tuple[str, tuple[str, ...]], None] = {}
    table = table.copy()
    for place, names in shown_once(verdicts):
        if len(names) == 1:
            continue
        row = verdicts.iloc[place]
        named[row["level"], names] = None
        own = (table["claim"] == row["claim"]) & (table["level"] == row["level"])
        table = table[~(own & table["part"].isin(names[1:]))]
        first = table["first"] == names[0]
        table.loc[own.loc[table.index] & first, "first"] = " = ".join(names)
    return table, list(named)


def shown_once(table: pd.DataFrame) -> list[tuple[int, tuple[str, ...]]]:
    """Which lines of claims.csv are to be shown, by place, and the parts that each stands for.

    Parts of a claim that select the same units at a level stand in one line if they also have the
    same effect.
    """
    lines: list[tuple[int, tuple[str, ...]]] = []
    for place, row in enumerate(table.itertuples()):
        same = [] if pd.isna(row.coincides_with) else str(row.coincides_with).split()
        for number, (first, names) in enumerate(lines):
            other = table.iloc[first]
            if (
                names[0] in same
                and other["claim"] == row.claim
                and other["level"] == row.level
                and other["effect_points"] == row.effect_points
            ):
                lines[number] = (first, (*names, str(row.part)))
                break
        else:
            lines.append((place, (str(row.part),)))
    return lines


def _confidence(study: Study, table: pd.DataFrame) -> str:
    """The confidence of the intervals: at each level, the readings of C1 share one error rate."""
    usual = f"Confidence is {percent(study.claims.confidence)} %"
    c1 = table[table["claim"] == "C1"].drop_duplicates("level").set_index("level")["confidence"]
    parts = []
    for level in study.levels:
        count = sum(name in READINGS for name in study.pruning(level).criteria)
        if count > 1 and level in c1.index:
            parts.append(f"{percent(float(c1[level]))} % for the {count} at {level} level")
    if not parts:
        return f"{usual}."
    return f"{usual}; the readings of OBD-SD in C1 share this error rate: {', '.join(parts)}."


def _boundaries(options: ClaimOptions) -> str:
    points = f"{options.size_boundary_points:g} points"
    text = (
        "Our boundaries (the abstract gives none): substantial pruning is parameter sparsity >="
        f" {options.substantial_parameter_sparsity:g} and neuron sparsity >="
        f" {options.substantial_neuron_sparsity:g}; slightly is at most {points}, much at least"
        f" {points}"
    )
    if options.no_interest_points == 0:
        return f"{text}. No effect is too small to be of interest, so that no claim is negligible."
    return (
        f"{text}; of no interest is less than {options.no_interest_points:g} points to either side"
        " of 0. A claim is negligible if its interval holds 0 and lies wholly within that boundary;"
        " the column no interest says whether the interval does so, with or without 0."
    )


def detail(table: pd.DataFrame, verdicts: pd.DataFrame) -> Sheet:
    """The comparisons of the claims, sparsity by sparsity; `verdicts` are those of claims.csv.

    Readings that stand in one line there do so here.
    """
    table, names = _once_in_detail(table, verdicts)
    shown = pd.DataFrame(
        {
            "claim": table["claim"],
            "level": table["level"].fillna(""),
            "at": table["place"],
            "first": table["first"],
            "second": table["second"],
            "effect": table["effect_points"].map(_points),
            "confidence": table["confidence"].map(lambda c: f"{percent(c)} %"),
            "CI": _intervals(table),
            "p": table["p"].map(_p),
            "p (Holm)": table["p_holm"].map(_p),
            "detectable": table["detectable_points"].map(_size),
        }
    )
    return Sheet(
        "Claims, sparsity by sparsity",
        shown,
        (
            "Detail without verdicts of its own. Holm's adjustment is over the sparsities of one"
            " comparison. Effects are points of test accuracy. Intervals cover seeds"
            " (initialisation, data order), not the choice of the test split; C1's are wider where"
            f" the grid has several readings of OBD-SD, which share one error rate. {_DETECTABLE}",
            *(f"{coinciding.sentence(level, list(words))}." for level, words in names),
        ),
    )


def label(names: tuple[str, ...]) -> str:
    """The readings that one line stands for, in words."""
    return " = ".join(str(CRITERIA[name].reading or CRITERIA[name].title) for name in names)


def _intervals(table: pd.DataFrame) -> list[str]:
    return [
        "" if pd.isna(low) else f"{signed(low)} to {signed(high)}"
        for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
    ]


def _points(value: float) -> str:
    return "" if pd.isna(value) else signed(value)


def _size(value: float) -> str:
    return "" if pd.isna(value) else size(value)


def _p(value: float) -> str:
    if pd.isna(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
