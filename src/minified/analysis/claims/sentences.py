"""What a verdict means, as a plain sentence."""

from minified.analysis.claims.record import Claim, Comparison
from minified.analysis.statistics import Interval
from minified.study.settings import ClaimOptions


def meaning(
    claim: Claim,
    comparison: Comparison,
    effect: Interval,
    verdict: str,
    size: str | None,
    options: ClaimOptions,
) -> str:
    """The sentence beside a verdict in the tables."""
    numbers = (
        f"({signed(effect.mean)} points, {100 * comparison.confidence:.3g} % CI"
        f" {signed(effect.low)} to {signed(effect.high)})"
    )
    first, second, place = comparison.subject, comparison.rival, comparison.place
    if not claim.directed:
        side = "is ahead of" if effect.low > 0 else "is behind" if effect.high < 0 else ""
        return _capital(f"{first} {side or 'cannot be told apart from'} {second} {numbers}.")
    if verdict == "inconclusive":
        return (
            f"Whether {first} is more accurate than {second}{place} cannot be told from these"
            f" replicates {numbers}."
        )
    side = "more" if effect.mean > 0 else "less"
    sentence = _capital(f"{first} is {side} accurate than {second}{place} {numbers}")
    if verdict == "contradicted":
        return sentence + ": the opposite of the claim."
    if size == "no":
        limit = f"{options.size_boundary_points:g} points"
        than = "more" if claim.size_word == "slightly" else "less"
        return sentence + f": as claimed, but by {than} than {limit}."
    return sentence + ": as claimed."


def signed(points: float) -> str:
    """Points with two decimals and a sign; never a negative zero."""
    return f"{round(points, 2) + 0.0:+.2f}"


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
