"""The keys of an iterative schedule: what is taken, and what is refused before any job starts."""

from pathlib import Path

import pytest

from conftest import SMALL, minified
from minified import study
from minified.run import tasks
from minified.study import Paths
from minified.study.methods import Job
from studies import load, refusal

pytestmark = pytest.mark.usefixtures("never_hangs")

OWN = "regimes: {gentle: {start: trained, recipe: {learning_rate: 0.01, epochs: 9, WARM}}}\n"


def with_rounds(keys: str, regimes: str = "[fine_tune, scratch]", own: str = "") -> str:
    """The small study with further keys in grid.parameter."""
    text = SMALL.replace("[fine_tune, scratch]", regimes, 1)
    return text.replace("scope: global", f"scope: global\n    {keys}") + own


def test_one_shot_is_the_default(tmp_path: Path) -> None:
    loaded = load(tmp_path, SMALL)
    assert (loaded.rounds("parameter"), loaded.rounds("neuron")) == (1, 1)
    assert loaded.iterated("parameter", "fine_tune") is None


def test_rounds_1_is_one_shot_to_every_job(tmp_path: Path) -> None:
    plain, once = load(tmp_path, SMALL), load(tmp_path, with_rounds("rounds: 1"))
    paths = Paths("mine")
    for job in plain.jobs():
        if job.level == "parameter":
            options = {"method": job.method, "sparsity": job.place, "regime": job.regime}
            assert tasks.task(plain, paths, "retrain", **options) == tasks.task(
                once, paths, "retrain", **options
            )
            assert "rounds" not in str(tasks.task(once, paths, "retrain", **options).settings)


def test_a_round_trains_for_its_own_epochs_or_the_recipe_s(tmp_path: Path) -> None:
    loaded = load(tmp_path, with_rounds("rounds: 3"))
    assert loaded.recipe("fine_tune", "parameter") == loaded.recipe("fine_tune")
    loaded = load(tmp_path, with_rounds("rounds: 3\n    round_epochs: 7"))
    assert loaded.rounds("parameter") == 3
    assert loaded.rounds("neuron") == 1
    changed = loaded.recipe("fine_tune").model_copy(update={"epochs": 7})
    assert loaded.recipe("fine_tune", "parameter") == changed


@pytest.mark.parametrize(
    ("regimes", "regime", "between"),
    [
        ("[fine_tune, scratch, rewind]", "fine_tune", "fine_tune"),
        ("[fine_tune, scratch, rewind]", "scratch", "fine_tune"),
        ("[gentle, fine_tune, rewind]", "rewind", "fine_tune"),
        ("[gentle, fine_tune, rewind]", "gentle", "gentle"),
        ("[scratch, gentle]", "scratch", "gentle"),
    ],
)
def test_other_starts_take_the_rounds_of_fine_tuning_or_of_the_first_trained_start(
    tmp_path: Path, regimes: str, regime: str, between: str
) -> None:
    own = OWN.replace("WARM", "warmup_epochs: 0")
    loaded = load(tmp_path, with_rounds("rounds: 2", regimes, own))
    assert loaded.iterated("parameter", regime) == between
    options = {"method": "parameter-obd_sd", "sparsity": "0.9", "regime": regime}
    job = tasks.task(loaded, Paths("mine"), "retrain", **options)
    assert Paths("mine").rounds(Job("parameter-obd_sd", "0.9", between)) in job.read


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("rounds: 0", "grid.parameter.rounds: 0: must be greater than or equal to 1"),
        ("rounds: -3", "grid.parameter.rounds: -3: must be greater than or equal to 1"),
        ("rounds: 101", "grid.parameter.rounds: 101: must be less than or equal to 100"),
        ("rounds: 2.0", "grid.parameter.rounds: 2.0: must be a valid integer"),
        ("rounds: true", "grid.parameter.rounds: True: must be a valid integer"),
        ("rounds: null", "grid.parameter.rounds: None: must be a valid integer"),
        ("round_epochs: 3", "grid.parameter.round_epochs: 3: needs rounds above 1; with 1 a"),
        ("rounds: 1\n    round_epochs: 3", "grid.parameter.round_epochs: 3: needs rounds above 1"),
        ("rounds: 3\n    round_epochs: 0", "grid.parameter.round_epochs: 0: must be greater"),
        ("rounds: 3\n    round_epochs: 0.5", "grid.parameter.round_epochs: 0.5: must be a valid"),
        ("rounds: 3\n    round_epochs: 100001", "grid.parameter.round_epochs: 100001: must be"),
        ("round: 3", "grid.parameter.round: 3: unknown key"),
    ],
)
def test_a_wrong_schedule_is_refused_by_its_key(tmp_path: Path, keys: str, line: str) -> None:
    assert refusal(tmp_path, with_rounds(keys)).startswith(line)


@pytest.mark.parametrize("regimes", ["[scratch]", "[rewind]", "[rewind, scratch]"])
def test_rounds_need_a_regime_that_trains_between_them(tmp_path: Path, regimes: str) -> None:
    line = refusal(tmp_path, with_rounds("rounds: 2", regimes))
    assert line.startswith("grid.parameter.rounds: 2: must be 1, or grid.parameter.regimes have a")
    load(tmp_path, with_rounds("rounds: 1", regimes))


def test_a_round_is_longer_than_its_warmup(tmp_path: Path) -> None:
    warm = with_rounds("rounds: 2\n    round_epochs: 3").replace(
        "fine_tune: *short", "fine_tune: {learning_rate: 0.01, epochs: 9, warmup_epochs: 3}"
    )
    line = "grid.parameter.round_epochs: 3: must be above recipes.fine_tune.warmup_epochs (3)"
    assert refusal(tmp_path, warm) == line
    load(tmp_path, warm.replace("round_epochs: 3", "round_epochs: 4"))
    load(tmp_path, warm.replace("    round_epochs: 3\n", ""))


def test_a_round_is_longer_than_the_warmup_of_a_study_s_own_regime(tmp_path: Path) -> None:
    own = OWN.replace("WARM", "warmup_epochs: 4")
    keys = "rounds: 2\n    round_epochs: 4"
    line = refusal(tmp_path, with_rounds(keys, "[fine_tune, gentle]", own))
    wanted = "must be above regimes.gentle.recipe.warmup_epochs (4)"
    assert line == f"grid.parameter.round_epochs: 4: {wanted}"
    # Regimes that do not train between the rounds may have any.
    load(tmp_path, with_rounds(keys, "[fine_tune, scratch]", own))


def test_a_job_without_its_rounds_names_the_command_that_makes_them(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(with_rounds("rounds: 2"))
    for verb in ("prepare", "train"):
        assert minified(tmp_path, verb, "mine.yaml").returncode == 0
    words = ("--method", "parameter-magnitude", "--sparsity", "0.9", "--regime")
    run = minified(tmp_path, "retrain", "mine.yaml", *words, "scratch")
    assert run.returncode == 1
    line = run.stderr.splitlines()[-1]
    assert "rounds/fine_tune.safetensors" in line
    assert f"minified iterate mine.yaml {' '.join(words)} fine_tune" in line
    run = minified(tmp_path, "iterate", "mine.yaml", *words, "scratch")
    assert run.returncode == 1
    assert "regime scratch: rounds are trained by a regime that starts from" in run.stderr
    assert study.load(tmp_path / "mine.yaml").rounds("parameter") == 2
