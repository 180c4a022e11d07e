"""`minified tables`: accuracy, sizes, claims and damage as csv (exact), md and tex (to read)."""

import pandas as pd

from minified.analysis import coinciding, results, sheets, verdict_sheets
from minified.analysis.records import (
    CORRELATION_COLUMNS,
    DETAIL_COLUMNS,
    OVERLAP_COLUMNS,
    VERDICT_COLUMNS,
)
from minified.analysis.sheets import Sheet
from minified.analysis.statistics import interval
from minified.foundations import files
from minified.study.paths import Paths
from minified.study.studies import Study


def tables(study: Study, paths: Paths) -> None:
    """Write accuracy and sizes as csv, md and tex, and claims, claims_detail and damage as md and
    tex: other verbs write their csv.
    """
    rows = results.read(paths.table("results.csv"))
    accuracy, sizes = accuracy_table(rows), sizes_table(rows)
    for name, frame in (("accuracy", accuracy), ("sizes", sizes)):
        files.write_text(paths.table(f"{name}.csv"), frame.to_csv(index=False, lineterminator="\n"))
    damage = results.read_csv(paths.table("damage.csv"), columns=CORRELATION_COLUMNS)
    claims = results.read_csv(paths.table("claims.csv"), columns=VERDICT_COLUMNS)
    detail = results.read_csv(paths.table("claims_detail.csv"), columns=DETAIL_COLUMNS)
    overlap = results.read_csv(paths.table("overlap.csv"), columns=OVERLAP_COLUMNS)
    shown: dict[str, list[Sheet]] = {
        "accuracy": sheets.accuracy(study, accuracy, coinciding.coinciding(overlap, rows)),
        "sizes": sheets.sizes(sizes),
        "claims": [verdict_sheets.claims(study, claims)],
        "claims_detail": [verdict_sheets.detail(detail, claims)],
        "damage": [sheets.damage(damage)],
    }
    for name, parts in shown.items():
        files.write_text(paths.table(f"{name}.md"), "\n".join(sheets.markdown(s) for s in parts))
        files.write_text(paths.table(f"{name}.tex"), "\n".join(sheets.latex(s) for s in parts))


def accuracy_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy (percent): mean and 95 % CI per method x sparsity or bits x regime."""
    cells = []
    keys = ["method", "level", "criterion", "sparsity", "bits", "regime"]
    for key, group in rows.groupby(keys, sort=False, dropna=False):
        after = interval(_percent(group["accuracy_test"]))
        before = interval(_percent(group["accuracy_test_before"]))
        cells.append(
            dict(zip(keys, key, strict=True))
            | {
                "replicates": after.replicates,
                "accuracy_mean": after.mean,
                "accuracy_ci_low": after.low,
                "accuracy_ci_high": after.high,
                "before_mean": before.mean,
                "before_ci_low": before.low,
                "before_ci_high": before.high,
                "validation_mean": interval(_percent(group["accuracy_validation"])).mean,
                "epochs": int(group["epochs"].iloc[0]),
            }
        )
    return pd.DataFrame(cells)


def sizes_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Sizes per method x sparsity or bits (means over replicates), the same for all regimes."""
    cells = []
    keys = ["method", "sparsity", "bits"]
    columns = [
        "sparsity_achieved",
        "parameters_total",
        "parameters_kept",
        "flops_dense",
        "flops",
        "bytes_dense",
        "bytes_bitmap",
        "bytes_csr",
        "bytes_quantized",
        "bytes_stored",
    ]
    for key, group in rows.groupby(keys, sort=False, dropna=False):
        one = group[group["regime"] == group["regime"].iloc[0]]
        means = {column: one[column].astype("float64").mean() for column in columns}
        kept = one["neurons_kept"]
        cells.append(
            dict(zip(keys, key, strict=True))
            | means
            | {
                "neurons_kept": kept.iloc[0] if kept.nunique() == 1 else "differs",
                "replicates_with_collapsed_layers": int(one["collapsed_layers"].notna().sum()),
            }
        )
    return pd.DataFrame(cells)


def _percent(column: pd.Series) -> list[float]:
    return [100 * float(value) for value in column]
