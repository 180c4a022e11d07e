"""Rows of hand-made results, and the verdicts on them."""

from dataclasses import fields

import pandas as pd

from minified.analysis.claims import judge
from minified.analysis.records import Detail
from minified.study import Row
from minified.study.settings import ClaimOptions


def row(**given: object) -> dict:
    blank = {field.name: None for field in fields(Row)} | {
        "accuracy_test": 0.5,
        "accuracy_validation": 0.5,
        "bytes_stored": 1000,
    }
    return blank | given


def pruned(
    level: str,
    criterion: str,
    sparsity: float,
    regime: str,
    test: list[float],
    validation: float = 0.5,
    **more: object,
) -> list[dict]:
    return [
        row(
            method=f"{level}-{criterion}",
            level=level,
            criterion=criterion,
            sparsity=sparsity,
            regime=regime,
            replicate=r,
            accuracy_test=accuracy,
            accuracy_validation=validation,
            **more,
        )
        for r, accuracy in enumerate(test)
    ]


def judged(
    rows: list[dict], overlap: pd.DataFrame | None = None, **options: float
) -> tuple[dict, list[Detail]]:
    """The verdicts by claim, part and level; and the details."""
    verdicts, details = judge(pd.DataFrame(rows), ClaimOptions(**options), overlap)
    return {(v.claim, v.part, v.level): v for v in verdicts}, details
