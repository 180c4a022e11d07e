"""`minified tables`: accuracy, sizes, claims and damage as csv (exact), md and tex (to read)."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from minified import files
from minified.analysis import results
from minified.analysis.claims import signed
from minified.analysis.records import CORRELATION_COLUMNS, DETAIL_COLUMNS, VERDICT_COLUMNS
from minified.analysis.statistics import interval
from minified.criteria import READINGS
from minified.paths import Paths
from minified.study import Study

SEEDS_NOTE = (
    "Intervals are 95 % t intervals over replicates: they cover initialisation and data order, not"
    " the choice of the test split."
)


@dataclass(frozen=True)
class Sheet:
    """One table as it is shown: a title, its cells as text, and what has to be said below it."""

    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def tabulate(study: Study, paths: Paths) -> None:
    """Write every table but results.csv, claims.csv, claims_detail.csv and damage.csv, which
    other verbs made: those get their md and tex here.
    """
    rows = results.read(paths.table("results.csv"))
    accuracy, sizes = accuracy_table(rows), sizes_table(rows)
    for name, frame in (("accuracy", accuracy), ("sizes", sizes)):
        files.write_text(paths.table(f"{name}.csv"), frame.to_csv(index=False, lineterminator="\n"))
    damage = results.read_csv(paths.table("damage.csv"), columns=CORRELATION_COLUMNS)
    claims = results.read_csv(paths.table("claims.csv"), columns=VERDICT_COLUMNS)
    detail = results.read_csv(paths.table("claims_detail.csv"), columns=DETAIL_COLUMNS)
    shown: dict[str, list[Sheet]] = {
        "accuracy": _accuracy_sheets(study, accuracy),
        "sizes": _sizes_sheets(sizes),
        "claims": [_claims_sheet(study, claims)],
        "claims_detail": [_detail_sheet(detail)],
        "damage": [_damage_sheet(damage)],
    }
    for name, sheets in shown.items():
        files.write_text(paths.table(f"{name}.md"), "\n".join(_markdown(s) for s in sheets))
        files.write_text(paths.table(f"{name}.tex"), "\n".join(_latex(s) for s in sheets))


def accuracy_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy (percent): mean and 95 % CI per method x sparsity or bits x regime."""
    found = []
    keys = ["method", "level", "criterion", "sparsity", "bits", "regime"]
    for key, group in rows.groupby(keys, sort=False, dropna=False):
        after = interval(_percent(group["accuracy_test"]))
        before = interval(_percent(group["accuracy_test_before"]))
        found.append(
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
    return pd.DataFrame(found)


def sizes_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Sizes per method x sparsity or bits (means over replicates); no regime changes them."""
    found = []
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
        found.append(
            dict(zip(keys, key, strict=True))
            | means
            | {
                "neurons_kept": kept.iloc[0] if kept.nunique() == 1 else "differs",
                "replicates_with_collapsed_layers": int(one["collapsed_layers"].notna().sum()),
            }
        )
    return pd.DataFrame(found)


def _percent(column: pd.Series) -> list[float]:
    return [100 * float(value) for value in column]


def _plus_minus(mean: float, low: float, high: float) -> str:
    return f"{mean:.1f}" if pd.isna(low) else f"{mean:.1f} ± {(high - low) / 2:.1f}"


def _accuracy_sheets(study: Study, table: pd.DataFrame) -> list[Sheet]:
    """Rows are criterion x regime, columns the sparsities; one sheet per level."""
    sheets = []
    base = table[table["method"] == "baseline"].iloc[0]
    dense = _plus_minus(base["accuracy_mean"], base["accuracy_ci_low"], base["accuracy_ci_high"])
    titles = {"parameter": "Parameter pruning", "neuron": "Neuron pruning"}
    for level, title in titles.items():
        here = table[table["level"] == level]
        if here.empty:
            continue
        lines = []
        for (criterion, regime), group in here.groupby(["criterion", "regime"], sort=False):
            cells = {
                f"{cell.sparsity:g}": _plus_minus(
                    cell.accuracy_mean, cell.accuracy_ci_low, cell.accuracy_ci_high
                )
                for cell in group.itertuples()
            }
            lines.append({"criterion": criterion, "regime": regime} | cells)
            if regime == "fine_tune":
                raw = {
                    f"{cell.sparsity:g}": _plus_minus(
                        cell.before_mean, cell.before_ci_low, cell.before_ci_high
                    )
                    for cell in group.itertuples()
                }
                lines.insert(-1, {"criterion": criterion, "regime": "none"} | raw)
        notes = [
            f"Test accuracy in percent by sparsity; the dense baseline has {dense}. "
            "`none` is the pruned network before any retraining. " + SEEDS_NOTE
        ]
        if level == "neuron":
            notes.append(
                "Methods that leave equally many neurons in each layer share their scratch run: the"
                " same widths, seeds and data order give the same network."
            )
        sheets.append(Sheet(f"{title}, study {study.name}", pd.DataFrame(lines), tuple(notes)))
    quantized = table[table["method"] == "quantization"]
    if not quantized.empty:
        lines = []
        for regime, group in quantized.groupby("regime", sort=False):
            cells = {
                f"{cell.bits} bits": _plus_minus(
                    cell.accuracy_mean, cell.accuracy_ci_low, cell.accuracy_ci_high
                )
                for cell in group.itertuples()
            }
            lines.append({"regime": regime} | cells)
        note = f"Test accuracy in percent; the dense baseline has {dense}. " + SEEDS_NOTE
        sheets.append(Sheet(f"Quantization, study {study.name}", pd.DataFrame(lines), (note,)))
    return sheets


def _sizes_sheets(table: pd.DataFrame) -> list[Sheet]:
    shown = pd.DataFrame(
        {
            "method": table["method"],
            "sparsity": table["sparsity"].map(lambda s: _number(s, "g")),
            "achieved": table["sparsity_achieved"].map(lambda s: _number(s, ".4f")),
            "bits": table["bits"].map(lambda b: _number(b, ".0f")),
            "parameters kept": table["parameters_kept"].map(lambda n: _number(n, ",.0f")),
            "FLOPs": table["flops"].map(lambda n: _number(n, ",.0f")),
            "dense": table["bytes_dense"].map(lambda n: _number(n, ",.0f")),
            "bitmap": table["bytes_bitmap"].map(lambda n: _number(n, ",.0f")),
            "CSR": table["bytes_csr"].map(lambda n: _number(n, ",.0f")),
            "packed": table["bytes_quantized"].map(lambda n: _number(n, ",.0f")),
            "stored": table["bytes_stored"].map(lambda n: _number(n, ",.0f")),
            "neurons kept": table["neurons_kept"],
            "collapsed": table["replicates_with_collapsed_layers"].map(str),
        }
    )
    note = (
        "Means over replicates. FLOPs: one forward pass, 2 per multiply-add, times each layer's"
        " density. dense to stored: bytes. collapsed: replicates in which some layer lost all its"
        " weights. Encodings: docs/results.md."
    )
    return [Sheet("Sizes", shown, (note,))]


def _claims_sheet(study: Study, claims: pd.DataFrame) -> Sheet:
    shown = pd.DataFrame(
        {
            "claim": claims["claim"],
            "level": claims["level"].fillna(""),
            "difference": claims["difference"],
            "cells": claims["cells"].map(str),
            "effect": claims["effect_points"].map(_points),
            "CI": [
                "" if pd.isna(low) else f"{signed(low)} to {signed(high)}"
                for low, high in zip(claims["ci_low"], claims["ci_high"], strict=True)
            ],
            "p": claims["p"].map(_p),
            "verdict": claims["verdict"],
            "size": [
                "" if pd.isna(word) or pd.isna(holds) else f"{word}: {holds}"
                for word, holds in zip(claims["size_word"], claims["size_holds"], strict=True)
            ],
            "meaning": claims["meaning"],
        }
    )
    options = study.claims
    points = f"{options.size_boundary_points:g} points"
    statements = claims.drop_duplicates("claim")
    notes = (
        *(f"{row.claim}: {row.statement}." for row in statements.itertuples()),
        "Effects are points of test accuracy, averaged over the eligible cells within a replicate"
        f" and tested over {study.replicates} replicates (paired t). Intervals cover seeds"
        " (initialisation, data order), not the choice of the test split. Confidence is"
        f" {100 * options.confidence:g} %; for C1's three readings of OBD-SD"
        f" {100 - 100 * (1 - options.confidence) / len(READINGS):.1f} % each.",
        "Our boundaries (the abstract gives none): substantial pruning is parameter sparsity >="
        f" {options.substantial_parameter_sparsity:g} and neuron sparsity >="
        f" {options.substantial_neuron_sparsity:g}; slightly is at most {points}, much at least"
        f" {points}.",
        "C4: the best pruned network whose stored bytes do not exceed the quantized network's,"
        " chosen by mean validation accuracy.",
    )
    return Sheet(f"Claims, study {study.name}", shown, notes)


def _detail_sheet(detail: pd.DataFrame) -> Sheet:
    shown = pd.DataFrame(
        {
            "claim": detail["claim"],
            "level": detail["level"].fillna(""),
            "at": detail["place"],
            "first": detail["first"],
            "second": detail["second"],
            "effect": detail["effect_points"].map(_points),
            "confidence": detail["confidence"].map(lambda c: f"{100 * c:.1f} %"),
            "CI": [
                "" if pd.isna(low) else f"{signed(low)} to {signed(high)}"
                for low, high in zip(detail["ci_low"], detail["ci_high"], strict=True)
            ],
            "p": detail["p"].map(_p),
            "p (Holm)": detail["p_holm"].map(_p),
        }
    )
    return Sheet(
        "Claims, sparsity by sparsity",
        shown,
        (
            "Detail without verdicts of its own. Holm's adjustment is over the sparsities of one"
            " comparison. Effects are points of test accuracy. Intervals cover seeds"
            " (initialisation, data order), not the choice of the test split; C1's are wider, since"
            " its three readings of OBD-SD share one error rate.",
        ),
    )


def _damage_sheet(damage: pd.DataFrame) -> Sheet:
    lines = []
    for (level, criterion), group in damage.groupby(["level", "criterion"], sort=False):
        values = group["spearman"].dropna().tolist()
        line = {"level": level, "criterion": criterion, "replicates": str(len(values))}
        if values:
            found = interval(values)
            line["Spearman's rho"] = f"{found.mean:+.3f}"
            line["CI"] = "" if pd.isna(found.low) else f"{found.low:+.3f} to {found.high:+.3f}"
        lines.append(line)
    return Sheet(
        "Predicted against measured damage",
        pd.DataFrame(lines).fillna(""),
        (
            "Rank correlation of the score with the measured change of the training loss when one"
            " unit is removed, over randomly drawn units, the same for every criterion. "
            + SEEDS_NOTE,
        ),
    )


def _number(value: float, form: str) -> str:
    return "" if pd.isna(value) else format(float(value), form)


def _points(value: float) -> str:
    return "" if pd.isna(value) else signed(value)


def _p(value: float) -> str:
    if pd.isna(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(sheet: Sheet) -> str:
    body = sheet.frame.to_markdown(index=False, disable_numparse=True)
    return "\n\n".join([f"### {sheet.title}", body, *sheet.notes]) + "\n"


def _latex(sheet: Sheet) -> str:
    """A booktabs tabular; long sentences get a column that wraps."""
    wide = {"meaning", "difference"}
    columns = "".join(
        "p{0.3\\linewidth}" if name in wide else "l" for name in map(str, sheet.frame.columns)
    )
    escaped = sheet.frame.rename(columns=_escape)
    body = (
        escaped.style.format(_escape)
        .hide(axis="index")
        .to_latex(hrules=True, column_format=columns)
    )
    notes = "\n".join(f"% {note}" for note in sheet.notes)
    return f"% {sheet.title}\n{notes}\n{body}"


def _escape(text: object) -> str:
    """LaTeX's special characters; pandas' own escaping leaves `±` and `>=` as they are."""
    found = str(text)
    replacements: Sequence[tuple[str, str]] = (
        ("\\", r"\textbackslash "),
        ("&", r"\&"),
        ("%", r"\%"),
        ("_", r"\_"),
        ("#", r"\#"),
        ("±", r"$\pm$"),
        (">=", r"$\geq$"),
        ("<", r"$<$"),
    )
    for character, replacement in replacements:
        found = found.replace(character, replacement)
    return found
