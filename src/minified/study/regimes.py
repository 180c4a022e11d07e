"""Regimes: where retraining starts, whose seeds it uses, and what it is called. One record each.

To add a regime, add a record to `REGIMES` and a recipe to the studies that use it. A study can also
define regimes itself (`regimes:`); they become records like these.
"""

from dataclasses import dataclass
from typing import Literal

Start = Literal["trained", "fresh", "initial"]
"""The trained baseline; fresh random weights; the baseline's own initial weights."""


@dataclass(frozen=True)
class Regime:
    """How a pruned network is retrained.

    Attributes:
        start: which weights the pruned network starts from.
        seeds: the purpose for which its seeds are derived. Regimes with the same purpose share data
            order and fresh weights (common random numbers).
        label: the shortest name, for labels in figures (`fine-tune`).
        done: describes its networks (`fine-tuned`).
        title: the same, as the title of a panel.
        doing: its name in a sentence (`fine-tuning`).
    """

    name: str
    start: Start
    seeds: str
    label: str
    done: str
    title: str
    doing: str


FINE_TUNE = "fine_tune"

REGIMES = {
    regime.name: regime
    for regime in (
        Regime(
            FINE_TUNE,
            start="trained",
            seeds=FINE_TUNE,
            label="fine-tune",
            done="fine-tuned",
            title="fine-tuned",
            doing="fine-tuning",
        ),
        Regime(
            "scratch",
            start="fresh",
            seeds="scratch",
            label="scratch",
            done="retrained from scratch",
            title="retrained from scratch",
            doing="retraining from scratch",
        ),
        Regime(
            "rewind",
            start="initial",
            seeds="rewind",
            label="rewind",
            done="rewound",
            title="rewound to the initial weights",
            doing="rewinding to the initial weights",
        ),
    )
}
"""The built-in regimes, by name."""

RESERVED = ("none", "train", "baseline", "quantization")
"""Names that no regime may have: in rows `none` means not retrained and `train` the training of a
baseline; the others are recipes and purposes of seeds already.
"""


@dataclass(frozen=True)
class Rounding:
    """When weights are rounded; `done` describes the network, `when` is for sentences."""

    name: str
    trains: bool
    done: str
    when: str


ROUNDINGS = {
    rounding.name: rounding
    for rounding in (
        Rounding("none", trains=False, done="rounded", when="after training"),
        Rounding("fine_tune", trains=True, done="trained", when="while training"),
    )
}
"""The regimes of quantization: after training, or during it (`recipes.quantization`)."""


def own(name: str, start: Start, seeds: str | None, title: str | None) -> Regime:
    """A regime that a study names.

    `seeds`: the built-in regime whose seeds it shares, or its own name; by default the first
    built-in one that starts from the same weights.
    """
    shared = seeds or next(r.name for r in REGIMES.values() if r.start == start)
    purpose = REGIMES[shared].seeds if shared in REGIMES else name
    words = title or name.replace("_", " ")
    return Regime(name, start, purpose, words, words, words, words)
