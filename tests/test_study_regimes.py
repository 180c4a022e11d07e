"""Regimes: recipes for those that the grid names, and further ones that a study names itself."""

from pathlib import Path

import pytest

from conftest import SMALL
from minified.study import REGIMES, Study
from studies import load, refusal

pytestmark = pytest.mark.usefixtures("never_hangs")

LONG = "{learning_rate: 0.02, epochs: 8}"


def with_own(regimes: str, grid: str = "[fine_tune, scratch]") -> str:
    """A small study with regimes of its own, and with `grid` as the parameter level's."""
    return SMALL.replace("[fine_tune, scratch]", grid, 1) + f"regimes: {regimes}\n"


def regimes_of(study: Study) -> set[str]:
    return {job.regime for job in study.jobs() if job.level == "parameter"}


# Recipes


def test_a_recipe_is_needed_only_if_the_grid_names_its_regime(tmp_path: Path) -> None:
    whole = load(tmp_path, SMALL)
    without = load(tmp_path, SMALL.replace("  rewind: *short\n", ""))
    assert list(without.jobs()) == list(whole.jobs())
    assert without.recipes.rewind is None
    bare = SMALL.replace("  quantization: *short\n", "").replace("[none, fine_tune]", "[none]")
    assert load(tmp_path, bare).recipes.quantization is None


@pytest.mark.parametrize(
    ("recipe", "named_by"),
    [
        ("fine_tune", "grid.parameter.regimes has fine_tune"),
        ("scratch", "grid.parameter.regimes has scratch"),
        ("quantization", "grid.quantization.regimes has fine_tune"),
    ],
)
@pytest.mark.parametrize("way", ["", "  {recipe}: null\n"], ids=["left out", "null"])
def test_a_recipe_that_the_grid_needs_is_refused_by_its_key_and_by_what_names_it(
    tmp_path: Path, recipe: str, named_by: str, way: str
) -> None:
    text = SMALL.replace(f"  {recipe}: *short\n", way.format(recipe=recipe))
    line = refusal(tmp_path, text)
    assert line == f"recipes.{recipe}: missing: this key is required: {named_by}"


def test_the_first_level_that_names_a_regime_without_a_recipe_is_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    text = SMALL.replace("  rewind: *short\n", "")
    line = refusal(tmp_path, "[fine_tune, rewind]".join(text.rsplit("[fine_tune, scratch]", 1)))
    assert line.endswith(": this key is required: grid.neuron.regimes has rewind")


# Regimes of the study's own


def test_a_study_s_own_regime_is_one_of_its_grid(tmp_path: Path) -> None:
    own = f"{{scratch_long: {{start: fresh, recipe: {LONG}}}}}"
    loaded = load(tmp_path, with_own(own, "[scratch, scratch_long]"))
    assert regimes_of(loaded) == {"scratch", "scratch_long"}
    assert set(loaded.known_regimes) == {*REGIMES, "scratch_long"}
    assert loaded.regime("scratch_long").start == "fresh"
    assert loaded.recipe("scratch_long").epochs == 8
    assert loaded.recipe("scratch").epochs == 4


@pytest.mark.parametrize("start", ["trained", "fresh", "initial"])
def test_a_regime_has_the_seeds_of_the_built_in_one_that_starts_so(
    tmp_path: Path, start: str
) -> None:
    (built_in,) = [regime for regime in REGIMES.values() if regime.start == start]
    loaded = load(tmp_path, with_own(f"{{mine: {{start: {start}, recipe: {LONG}}}}}"))
    assert loaded.regime("mine").seeds == built_in.seeds


def test_a_regime_may_have_the_seeds_of_another_one_or_its_own(tmp_path: Path) -> None:
    own = (
        f"{{mine: {{start: fresh, recipe: {LONG}, seeds: rewind}},"
        f" again: {{start: fresh, recipe: {LONG}, seeds: again}}}}"
    )
    loaded = load(tmp_path, with_own(own))
    assert loaded.regime("mine").seeds == REGIMES["rewind"].seeds
    assert loaded.regime("again").seeds not in {regime.seeds for regime in REGIMES.values()}


def test_a_regime_is_called_by_its_title_or_else_by_its_name(tmp_path: Path) -> None:
    own = f"{{a_long_one: {{start: fresh, recipe: {LONG}}}}}"
    assert load(tmp_path, with_own(own)).regime("a_long_one").title == "a long one"
    titled = own.replace("start", "title: Trained for longer, start")
    assert load(tmp_path, with_own(titled)).regime("a_long_one").title == "Trained for longer"


def test_only_fresh_networks_of_equal_widths_are_shared(tmp_path: Path) -> None:
    own = (
        f"{{long: {{start: fresh, recipe: {LONG}}},"
        f" tuned: {{start: trained, recipe: {LONG}}}, early: {{start: initial, recipe: {LONG}}}}}"
    )
    loaded = load(tmp_path, with_own(own))
    shared = {name for name in loaded.known_regimes if loaded.shares_scratch("neuron-obd", name)}
    assert shared == {"scratch", "long"}
    assert not any(loaded.shares_scratch("parameter-obd", name) for name in loaded.known_regimes)


def test_an_edited_regime_shows_in_its_own_settings_alone(tmp_path: Path) -> None:
    own = f"{{one: {{start: fresh, recipe: {LONG}}}, other: {{start: fresh, recipe: {LONG}}}}}"
    before = load(tmp_path, with_own(own))
    after = load(tmp_path, with_own(own.replace("epochs: 8", "epochs: 9", 1)))
    changed = {
        name
        for name in before.known_regimes
        if before.trained_by(name, "parameter") != after.trained_by(name, "parameter")
    }
    assert changed == {"one"}


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ("{fine_tune: OWN}", "regimes.fine_tune: 'fine_tune': must be a name that no regime has"),
        ("{rewind: OWN}", "regimes.rewind: 'rewind': must be a name that no regime has"),
        ("{none: OWN}", "regimes.none: 'none': must be a name that no regime has"),
        ("{train: OWN}", "regimes.train: 'train': must be a name that no regime has"),
        (
            "{quantization: OWN}",
            "regimes.quantization: 'quantization': must be a name that no regime has",
        ),
        ("{baseline: OWN}", "regimes.baseline: 'baseline': must be a name that no regime has"),
        ("{Mine: OWN}", "regimes.Mine: 'Mine': must be a name of a-z, 0-9 and _"),
        ("{a-b: OWN}", "regimes.a-b: 'a-b': must be a name of a-z, 0-9 and _"),
        ("{'../a': OWN}", "regimes.'../a': '../a': must be a name of a-z, 0-9 and _"),
        ("{9: OWN}", "regimes: '9': a key must be a word (line 24)"),
        (
            "{mine: {start: late, recipe: LONG}}",
            "regimes.mine.start: 'late': must be 'trained', 'fresh' or 'initial'",
        ),
        ("{mine: {recipe: LONG}}", "regimes.mine.start: missing: this key is required"),
        ("{mine: {start: fresh}}", "regimes.mine.recipe: missing: this key is required"),
        (
            "{mine: {start: fresh, recipe: {epochs: 3}}}",
            "regimes.mine.recipe.learning_rate: missing: this key is required",
        ),
        (
            "{mine: {start: fresh, recipe: LONG, seed: scratch}}",
            "regimes.mine.seed: 'scratch': unknown key; allowed: start, recipe, seeds, title",
        ),
        (
            "{mine: {start: fresh, recipe: LONG, seeds: scratsch}}",
            "regimes.mine.seeds: 'scratsch': unknown here; allowed: fine_tune, scratch, rewind,"
            " mine",
        ),
        (
            "{mine: {start: fresh, recipe: LONG, title: '{x}'}}",
            "regimes.mine.title: '{x}': must be 1 to 60 letters, digits, spaces, _ . , : ( ) / + -",
        ),
        (
            "{one: OWN, mine: {start: fresh, recipe: LONG, seeds: one}}",
            "regimes.mine.seeds: 'one': unknown here; allowed: fine_tune, scratch, rewind, mine",
        ),
        ("{mine: LONG}", "regimes.mine.learning_rate: 0.02: unknown key; allowed: start, recipe,"),
        ("[mine]", "regimes: ['mine']: must hold keys and values"),
    ],
)
def test_a_regime_that_is_not_right_is_refused_by_its_key(
    tmp_path: Path, own: str, line: str
) -> None:
    whole = own.replace("OWN", "{start: fresh, recipe: LONG}").replace("LONG", LONG)
    assert refusal(tmp_path, with_own(whole)).startswith(line)


@pytest.mark.parametrize("level", ["parameter", "neuron"])
def test_a_regime_that_a_study_does_not_know_is_refused_with_those_that_it_does(
    tmp_path: Path, level: str
) -> None:
    grid = "[fine_tune, scratch_lang]"
    own = f"regimes: {{scratch_long: {{start: fresh, recipe: {LONG}}}}}\n"
    parts = SMALL.split("[fine_tune, scratch]")
    text = grid.join(parts[:2]) + "[fine_tune, scratch]" + parts[2]
    if level == "neuron":
        text = parts[0] + "[fine_tune, scratch]" + grid.join(parts[1:])
    assert refusal(tmp_path, text + own) == (
        f"grid.{level}.regimes[1]: 'scratch_lang': unknown here;"
        " allowed: fine_tune, scratch, rewind, scratch_long"
    )


def test_quantization_has_its_own_regimes(tmp_path: Path) -> None:
    own = f"{{mine: {{start: trained, recipe: {LONG}}}}}"
    text = with_own(own).replace("[none, fine_tune]", "[mine]")
    line = refusal(tmp_path, text)
    assert line.startswith("grid.quantization.regimes[0]: 'mine': must be 'none' or 'fine_tune'")


def test_a_regime_of_another_one_s_title_is_refused(tmp_path: Path) -> None:
    fresh = f"start: fresh, recipe: {LONG}"
    own = f"{{one: {{{fresh}, title: two}}, two: {{{fresh}}}}}"
    line = refusal(tmp_path, with_own(own))
    assert line == "regimes.two.title: 'two': must be a title that no other regime has"
    own = f"{{one: {{start: trained, recipe: {LONG}, title: fine-tuned}}}}"
    line = refusal(tmp_path, with_own(own))
    assert line == "regimes.one.title: 'fine-tuned': must be a title that no other regime has"


def test_what_pruning_alone_leaves_is_shown_by_fine_tuning_or_what_starts_so(
    tmp_path: Path,
) -> None:
    own = f"{{warm: {{start: trained, recipe: {LONG}}}}}"
    assert load(tmp_path, with_own(own, "[scratch, warm]")).trained_regime("parameter") == "warm"
    both = load(tmp_path, with_own(own, "[warm, fine_tune]"))
    assert both.trained_regime("parameter") == "fine_tune"
    assert load(tmp_path, with_own(own, "[scratch]")).trained_regime("parameter") is None
