"""C4: pruning against quantization, per bits: the best pruned network that is no larger."""

from collections.abc import Iterator

from minified.analysis.claims.cells import Budget, Cells, points, spent, stack, validation
from minified.analysis.claims.record import Claim, Comparison
from minified.study.regimes import ROUNDINGS
from minified.study.settings import ClaimOptions


def _compare(cells: Cells, options: ClaimOptions) -> Iterator[Comparison]:
    if not cells.quantized:
        reason = "the grid has no quantization"
        yield _comparison(options, "-", "pruning", "quantization", "", "", [], reason)
    for (key, regime), quantized in cells.quantized.items():
        bits = int(key)
        limit = quantized["bytes_stored"].min()
        fitting = [
            (name, group) for name, group in cells.pruned() if group["bytes_stored"].max() <= limit
        ]
        reason = (
            f"no network pruned by the abstract's criteria is stored in {limit:,} bytes or fewer"
            if any(cells.pruned())
            else "the grid has no network pruned by the abstract's criteria"
        )
        best = max(fitting, key=lambda cell: validation(cell[1]), default=None)
        yield _comparison(
            options,
            f"{bits} bits, {regime}",
            best[0] if best else "no pruned network is this small",
            f"{bits}-bit quantization {ROUNDINGS[regime].when}",
            f"{bits} bits",
            f"quantization {regime}",
            [points(best[1]) - points(quantized)] if best else [],
            "" if best else reason,
            (spent([best[1]]), spent([quantized])) if best else (None, None),
        )


def _comparison(
    options: ClaimOptions,
    part: str,
    first: str,
    second: str,
    column: str,
    detail: str,
    differences: list,
    reason: str,
    budgets: tuple[Budget | None, Budget | None] = (None, None),
) -> Comparison:
    return Comparison(
        part=part,
        level=None,
        first=first,
        second=second,
        columns=(column,) * len(differences),
        seconds=(detail,) * len(differences),
        differences=stack(differences),
        lacking=reason,
        confidence=options.confidence,
        difference=f"{first} - {second}",
        eligible="networks pruned by the abstract's criteria",
        subject=first,
        rival=second,
        place="",
        budgets=budgets,
    )


_LABELS: dict[tuple[str, str | None], str] = {
    (f"{bits} bits, {name}", None): f"{bits} bits, {rounding.done}"
    for bits in range(1, 9)
    for name, rounding in ROUNDINGS.items()
}

CLAIM = Claim(
    "C4",
    "The methods are compared against quantization (no direction stated)",
    _compare,
    _LABELS | {("-", None): "-"},
    directed=False,
    note="the best pruned network whose stored bytes do not exceed the quantized network's,"
    " chosen by mean validation accuracy.",
)
