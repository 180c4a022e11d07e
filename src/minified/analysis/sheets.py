"""The tables as a reader sees them: what is shown of each, rounded, and the notes below it.

`markdown` and `latex` turn a sheet into text. The sheets of the claims are in `verdict_sheets`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from minified.analysis import coinciding
from minified.analysis.statistics import interval
from minified.criteria.record import LEVELS
from minified.study.studies import Study

SEEDS_NOTE = (
    "Intervals are 95 % t intervals over replicates: they cover initialisation and data order, not"
    " the choice of the test split."
)


@dataclass(frozen=True)
class Sheet:
    """One table as it is shown: a title, its cells as text, and the notes below it."""

    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def _plus_minus(mean: float, low: float, high: float) -> str:
    return f"{mean:.1f}" if pd.isna(low) else f"{mean:.1f} ± {(high - low) / 2:.1f}"


def accuracy(study: Study, table: pd.DataFrame, same: coinciding.Groups) -> list[Sheet]:
    """Rows are criterion x regime, columns the sparsities; one sheet per level.

    Criteria that coincide (`same`) and have the same results stand in one row.
    """
    sheets = []
    base = table[table["method"] == "baseline"].iloc[0]
    dense = _plus_minus(base["accuracy_mean"], base["accuracy_ci_low"], base["accuracy_ci_high"])
    for level in LEVELS:
        title = f"{level.capitalize()} pruning"
        here = table[table["level"] == level]
        if here.empty:
            continue
        lines = []
        alike = coinciding.alike(
            same, level, here, ["sparsity", "regime"], ["accuracy_mean", "before_mean"]
        )
        for (criterion, regime), group in here.groupby(["criterion", "regime"], sort=False):
            if criterion not in alike:
                continue
            criterion = " = ".join(alike[criterion])
            cells = {
                f"{cell.sparsity:g}": _plus_minus(
                    cell.accuracy_mean, cell.accuracy_ci_low, cell.accuracy_ci_high
                )
                for cell in group.itertuples()
            }
            lines.append({"criterion": criterion, "regime": regime} | cells)
            if regime == study.trained_regime(level):
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
        notes += [
            coinciding.sentence(level, names) + "." for names in alike.values() if len(names) > 1
        ]
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


def sizes(table: pd.DataFrame) -> list[Sheet]:
    """What is left of a network, per method x sparsity or bits."""
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


def damage(table: pd.DataFrame) -> Sheet:
    """How well each criterion ranks single removals."""
    lines = []
    for (level, criterion), group in table.groupby(["level", "criterion"], sort=False):
        values = group["spearman"].dropna().tolist()
        line = {"level": level, "criterion": criterion, "replicates": str(len(values))}
        if values:
            rho = interval(values)
            line["Spearman's rho"] = f"{rho.mean:+.3f}"
            line["CI"] = "" if pd.isna(rho.low) else f"{rho.low:+.3f} to {rho.high:+.3f}"
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


def markdown(sheet: Sheet) -> str:
    """A heading, the table, and its notes."""
    body = sheet.frame.to_markdown(index=False, disable_numparse=True)
    return "\n\n".join([f"### {sheet.title}", body, *sheet.notes]) + "\n"


def latex(sheet: Sheet) -> str:
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
    """Escape LaTeX's special characters; pandas' own escaping leaves `±` and `>=` as they are."""
    escaped = str(text)
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
        escaped = escaped.replace(character, replacement)
    return escaped
