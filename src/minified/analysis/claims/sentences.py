"""What a verdict means, as plain sentences."""

from minified.analysis.claims.cells import Budget
from minified.analysis.claims.record import Claim, Comparison
from minified.analysis.statistics import POWER, Interval
from minified.study.settings import ClaimOptions


def meaning(
    claim: Claim,
    comparison: Comparison,
    effect: Interval,
    detectable: float,
    verdict: str,
    within: bool,
    size: str | None,
    options: ClaimOptions,
) -> str:
    """The sentences beside a verdict in the tables: what was found, and what could have been.

    `within`: whether the whole interval is within the boundary of no interest.
    """
    numbers = (
        f"({signed(effect.mean)} points, {percent(comparison.confidence)} % CI"
        f" {signed(effect.low)} to {signed(effect.high)})"
    )
    found = _found(claim, comparison, effect, numbers, verdict, within, size, options)
    return " ".join([found, *_unequal(comparison), _could(effect.replicates, detectable)])


def not_tested(reason: str) -> str:
    """The sentence of a comparison without a verdict; `reason` is no whole sentence."""
    return f"Not tested: {reason}."


def few(replicates: int, least: int) -> str:
    """The reason that there are not enough replicates."""
    are = "replicate is" if replicates == 1 else "replicates are"
    return f"{replicates} {are} fewer than {least}"


def _found(
    claim: Claim,
    comparison: Comparison,
    effect: Interval,
    numbers: str,
    verdict: str,
    within: bool,
    size: str | None,
    options: ClaimOptions,
) -> str:
    first, second, place = comparison.subject, comparison.rival, comparison.place
    small = f"within {options.no_interest_points:g} points of 0"
    open_side = effect.low <= 0 <= effect.high
    if effect.low == effect.high == 0 and not within:
        return _capital(f"{first} is as accurate as {second}{place} in every replicate {numbers}.")
    if open_side and within:
        return (
            f"The difference between {first} and {second}{place} is negligible {numbers}: the"
            f" whole interval is {small}."
        )
    if open_side:
        more = "whether" if claim.directed else "which is more accurate,"
        asked = (
            f"{first} is more accurate than {second}{place}"
            if claim.directed
            else f"{first} or {second}"
        )
        return f"The results are too noisy to decide {more} {asked} {numbers}."
    little = f"; the whole interval is {small}" if within else ""
    if not claim.directed:
        side = "ahead of" if effect.low > 0 else "behind"
        return _capital(f"{first} is {side} {second} {numbers}{little}.")
    side = "more" if effect.mean > 0 else "less"
    sentence = _capital(f"{first} is {side} accurate than {second}{place} {numbers}")
    if verdict == "contradicted":
        return f"{sentence}: the opposite of the claim{little}."
    if size == "no":
        limit = f"{options.size_boundary_points:g} points"
        than = "more" if claim.size_word == "slightly" else "less"
        return f"{sentence}: as claimed, but by {than} than {limit}{little}."
    return f"{sentence}: as claimed{little}."


def _unequal(comparison: Comparison) -> list[str]:
    """What both sides were trained for, if it is not the same."""
    first, second = comparison.budgets
    if first is None or second is None or first == second:
        return []
    return [f"They were trained for unequal budgets: {_spent(first)} against {_spent(second)}."]


def _spent(budget: Budget) -> str:
    epochs = f"{budget.epochs:.4g}"
    return f"{epochs} epoch{'' if epochs == '1' else 's'} ({budget.flops:.2g} FLOPs)"


def _could(replicates: int, detectable: float) -> str:
    """What these replicates could have found."""
    if detectable == 0:
        return f"These {replicates} replicates could have found any effect, however small."
    return (
        f"The smallest effect that these {replicates} replicates could have found is"
        f" {size(detectable)} points (at {100 * POWER:g} % power)."
    )


def size(points: float) -> str:
    """Points of a size above 0 with two decimals, or more if these are 0."""
    return f"{points:.2f}" if points >= 0.005 or points == 0 else f"{points:.1g}"


def signed(points: float) -> str:
    """Points with two decimals and a sign; never a negative zero."""
    return f"{round(points, 2) + 0.0:+.2f}"


def percent(confidence: float) -> str:
    """A confidence in percent, with as many digits as it takes to tell its error rate."""
    error = 100 - 100 * confidence
    for decimals in range(13):
        text = f"{100 * confidence:.{decimals}f}"
        if abs(100 - float(text) - error) < 0.03 * error:
            return text
    return f"{100 * confidence:g}"


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
