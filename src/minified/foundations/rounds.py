"""The rounds in which a sparsity is reached, and how many units each of them leaves.

Round(2, of=3).removed(1000, 0.9)      # 785 of 1000 are gone after the second of three rounds
"""

from dataclasses import dataclass

from minified.foundations import arguments
from minified.foundations.errors import AllocationError

MOST_ROUNDS = 100
"""More rounds than this are a mistake: each of them trains a network."""


@dataclass(frozen=True)
class Round:
    """Round `number`, counted from 1, of the `of` rounds of a schedule; one-shot is 1 of 1.

    Raises:
        AllocationError: no such round.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        arguments.whole("rounds", self.of, 1, error=AllocationError)
        arguments.whole("round", self.number, 1, self.of, error=AllocationError)

    def __str__(self) -> str:
        return f"round {self.number} of {self.of}"

    @property
    def last(self) -> bool:
        return self.number == self.of

    def removed(self, total: int, sparsity: float) -> int:
        """How many of `total` units are gone in all after this round.

        In every round the same fraction of what is left goes (Frankle & Carbin 2019, arXiv
        1803.03635); after the last, exactly as many units are gone as one-shot removes.
        """
        if self.last:
            # 1 - (1 - s) is not always s, and one-shot rounds s * total.
            return round(sparsity * total)
        return round((1 - (1 - sparsity) ** (self.number / self.of)) * total)


ONE_SHOT = Round()


def checked(step: object) -> Round:
    """`step`, if it is a round, or else an AllocationError."""
    if not isinstance(step, Round):
        raise AllocationError(f"step: must be a Round, not {arguments.shown(step)}")
    return step


def schedule(rounds: int) -> list[Round]:
    """All rounds, in their order."""
    return [Round(number, rounds) for number in range(1, rounds + 1)]
