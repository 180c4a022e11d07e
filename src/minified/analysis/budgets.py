"""What a regime spends at a level. No job that trains reads this file."""

from minified.study.grid import PruningGrid
from minified.study.settings import Settings
from minified.study.studies import Study


def epochs(settings: Settings, level: str, regime: str) -> int | None:
    """For how many epochs a regime trains at a level, in all rounds; None if the grid has it not.

    As the rows say it, in `epochs`: with rounds, regimes that start from the trained network train
    in each of them.
    """
    grid: PruningGrid | None = getattr(settings.grid, level)
    if grid is None or regime not in grid.regimes:
        return None
    rounds = grid.rounds if settings.known_regimes[regime].start == "trained" else 1
    return rounds * settings.recipe(regime, level).epochs


def varied(study: Study, level: str) -> bool:
    """Whether the axes vary the epochs of fine-tuning and those of scratch at a level."""
    product = [one.settings for one in study.specified.values() if one.choices]
    return all(
        len({epochs(settings, level, regime) for settings in product} - {None}) > 1
        for regime in ("fine_tune", "scratch")
    )
