"""C4: pruning against quantization, per bits: the best pruned network that is no larger."""

from collections.abc import Iterator

from minified.analysis.claims.cells import Cells, points, stack, validation
from minified.analysis.claims.record import Claim, Comparison
from minified.study.regimes import ROUNDINGS
from minified.study.settings import ClaimOptions


def _compare(cells: Cells, options: ClaimOptions) -> Iterator[Comparison]:
    if not cells.quantized:
        yield _comparison(options, "-", "pruning", "quantization", "", "", [])
    for (key, regime), quantized in cells.quantized.items():
        bits = int(key)
        limit = quantized["bytes_stored"].min()
        fitting = [
            (name, group) for name, group in cells.pruned() if group["bytes_stored"].max() <= limit
        ]
        best = max(fitting, key=lambda cell: validation(cell[1]), default=None)
        yield _comparison(
            options,
            f"{bits} bits, {regime}",
            best[0] if best else "no pruned network is this small",
            f"{bits}-bit quantization {ROUNDINGS[regime].when}",
            f"{bits} bits",
            f"quantization {regime}",
            [points(best[1]) - points(quantized)] if best else [],
        )


def _comparison(
    options: ClaimOptions,
    part: str,
    first: str,
    second: str,
    column: str,
    detail: str,
    differences: list,
) -> Comparison:
    return Comparison(
        part=part,
        level=None,
        first=first,
        second=second,
        columns=(column,) * len(differences),
        seconds=(detail,) * len(differences),
        differences=stack(differences),
        cells=len(differences),
        confidence=options.confidence,
        difference=f"{first} - {second}",
        eligible="all",
        subject=first,
        rival=second,
        place="",
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
