"""`minified correlate`: do a criterion's scores predict the damage of removing single units?

Predicted against measured damage: Spearman's rank correlation between the score and the measured
change of the loss, per criterion and replicate, over the same random units for every criterion.
"""

from typing import Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from minified.analysis.records import (
    CORRELATION_COLUMNS,
    SCATTER_COLUMNS,
    SCATTER_REPLICATES,
    UNIT_COLUMNS,
)
from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.study.paths import Paths
from minified.study.rows import DAMAGE_COLUMNS
from minified.study.studies import Study


def correlate(study: Study, paths: Paths) -> None:
    """Write tables/damage_units.csv (every unit), tables/damage_scatter.csv (the ranks that a
    figure shows) and tables/damage.csv (the correlations).
    """
    units: list[dict[str, Any]] = []
    ranks: list[dict[str, Any]] = []
    correlations: list[dict[str, Any]] = []
    for method in study.methods:
        level, _, criterion = method.partition("-")
        file = paths.damage(study.removal(criterion, level))
        measured = files.read_rows(file, DAMAGE_COLUMNS)
        scores, _ = files.read_tensors(paths.scores(method), "np")
        for replicate in study.damaged:
            here = [row for row in measured if row["replicate"] == str(replicate)]
            if not here:
                raise ArtefactError(file, f"has no unit of replicate {replicate}")
            try:
                damage = [float(row["damage"]) for row in here]
                predicted = [
                    float(scores[f"{replicate}/{row['layer']}"].reshape(-1)[int(row["unit"])])
                    for row in here
                ]
            except (ValueError, LookupError) as error:
                raise ArtefactError(
                    file,
                    f"has a unit of replicate {replicate} that {method} did not score"
                    f" or a field that is not a number ({error})",
                ) from None
            units += [
                {**row, "method": method, "score": score}
                for row, score in zip(here, predicted, strict=True)
            ]
            if replicate < SCATTER_REPLICATES:
                both = {"score_ranks": _ranks(predicted), "damage_ranks": _ranks(damage)}
                ranks.append({"method": method, "replicate": replicate} | both)
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
    files.write_rows(paths.table("damage_scatter.csv"), SCATTER_COLUMNS, ranks)
    files.write_rows(paths.table("damage.csv"), CORRELATION_COLUMNS, correlations)


def _ranks(values: list[float]) -> str:
    """The rank of each value in percent of all; equal values share the mean of their ranks."""
    return " ".join(f"{rank:.7g}" for rank in 100 * rankdata(values) / len(values))


def _spearman(predicted: list[float], damage: list[float]) -> float | None:
    """Spearman's rho; None if it is undefined, since one side is constant."""
    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(damage) == 0:
        return None
    return float(spearmanr(predicted, damage).statistic)
