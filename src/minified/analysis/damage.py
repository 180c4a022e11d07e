"""`minified correlate`: do a criterion's scores rank single removals by what they really do?

Predicted against measured damage: Spearman's rank correlation between the score and the measured
change of the loss, per criterion and replicate, over the same random units for every criterion.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy.stats import spearmanr

from minified import files
from minified.analysis.records import CORRELATION_COLUMNS, UNIT_COLUMNS
from minified.errors import ArtefactError
from minified.paths import Paths
from minified.study import Study


def correlate(study: Study, paths: Paths) -> None:
    """Write tables/damage_units.csv (every unit) and tables/damage.csv (the correlations)."""
    units: list[dict[str, Any]] = []
    correlations: list[dict[str, Any]] = []
    for method in study.methods:
        level, _, criterion = method.partition("-")
        measured = _read(paths.damage("merging" if criterion == "merging" else level))
        scores = _scores(paths.scores(method))
        for replicate in range(study.replicates):
            here = [row for row in measured if row["replicate"] == str(replicate)]
            predicted = [
                float(scores[f"{replicate}/{row['layer']}"].reshape(-1)[int(row["unit"])])
                for row in here
            ]
            damage = [float(row["damage"]) for row in here]
            units += [
                {**row, "method": method, "score": score}
                for row, score in zip(here, predicted, strict=True)
            ]
            correlations.append(
                {
                    "method": method,
                    "level": level,
                    "criterion": criterion,
                    "replicate": replicate,
                    "units": len(here),
                    "spearman": _spearman(predicted, damage),
                }
            )
    files.write_rows(paths.table("damage_units.csv"), UNIT_COLUMNS, units)
    files.write_rows(paths.table("damage.csv"), CORRELATION_COLUMNS, correlations)


def _spearman(predicted: list[float], damage: list[float]) -> float | None:
    """Spearman's rho; None where a constant side leaves it undefined."""
    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(damage) == 0:
        return None
    return float(spearmanr(predicted, damage).statistic)


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise ArtefactError(f"{path}: no such file; run `minified damage` first") from None
    except (OSError, ValueError, csv.Error) as error:
        raise ArtefactError(f"{path}: cannot be read ({error}); delete it and run again") from None
    wanted = {"replicate", "layer", "unit", "damage"}
    if any(set(row) != wanted or None in row.values() for row in rows):
        raise ArtefactError(f"{path}: lacks columns or fields; delete it and run again")
    return rows


def _scores(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ArtefactError(f"{path}: no such file; run `minified score` first") from None
    except SafetensorError as error:
        raise ArtefactError(f"{path}: not a complete safetensors file ({error})") from None
