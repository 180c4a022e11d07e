"""What of a study's settings makes a difference, however it is written."""

import json
from typing import TYPE_CHECKING, Any

from minified.criteria.record import CRITERIA
from minified.study.regimes import ROUNDINGS

if TYPE_CHECKING:
    from minified.study.settings import Settings


def content(settings: "Settings") -> str:
    """A text that two studies share if and only if all their jobs would be given the same.

    It has the recipe that each regime of the grid has at each level, the scope of each criterion,
    and the options of the criteria that are used; not what no job reads, nor the order of keys.
    """
    values = settings.model_dump(mode="json", exclude={"specifications", "recipes", "regimes"})
    quantization = settings.grid.quantization
    trains = quantization and any(ROUNDINGS[name].trains for name in quantization.regimes)
    values["recipes"] = {
        name: settings.recipe(name).model_dump(mode="json")
        for name in ("baseline", *(["quantization"] if trains else []))
    }
    criteria: set[str] = set()
    for level in settings.grid.levels:
        values["grid"][level] = _level(settings, level)
        criteria |= set(getattr(settings.grid, level).criteria)
    values["options"] = {name: _options(settings, name) for name in criteria}
    return json.dumps(values, sort_keys=True)


def _level(settings: "Settings", level: str) -> dict[str, Any]:
    grid = getattr(settings.grid, level)
    regimes = {name: settings.known_regimes[name] for name in grid.regimes}
    return {
        **grid.model_dump(mode="json", include={"criteria", "sparsities", "regimes", "rounds"}),
        "scopes": {name: grid.scope_of(name) for name in grid.criteria},
        "recipes": {
            name: [one.start, one.seeds, settings.recipe(name, level).model_dump(mode="json")]
            for name, one in regimes.items()
        },
    }


def _options(settings: "Settings", criterion: str) -> dict[str, Any]:
    given = settings.options.get(criterion, {})
    known = CRITERIA[criterion].options if criterion in CRITERIA else {}
    return {name: option.default for name, option in known.items()} | given
