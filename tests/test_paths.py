"""Every artefact knows the command that makes it again."""

from pathlib import Path

import pytest

from conftest import REPOSITORY
from minified import study
from minified.analysis.catalogue import FORMATS, TABLES, figure_names
from minified.cli.verbs import app
from minified.study import Paths

DIGITS = study.load(REPOSITORY / "config" / "digits.yaml")
PATHS = Paths("digits")
VERBS = {getattr(command.callback, "__name__", "") for command in app.registered_commands}


@pytest.mark.parametrize(
    ("artefact", "command"),
    [
        (PATHS.data, "prepare digits"),
        (PATHS.baseline, "train digits"),
        (PATHS.baseline_rows, "evaluate digits"),
        (PATHS.derivatives("neuron"), "derivatives digits --level neuron"),
        (PATHS.scratch("scratch", "0.5"), "scratch digits --sparsity 0.5 --regime scratch"),
        (PATHS.scores("neuron-obd"), "score digits --method neuron-obd"),
        (PATHS.damage("merging"), "damage digits --removal merging"),
        (PATHS.table("results.csv"), "aggregate digits"),
        (PATHS.table("claims_detail.csv"), "claims digits"),
        (PATHS.table("damage_units.csv"), "correlate digits"),
        (PATHS.table("claims.md"), "tables digits"),
        (PATHS.table("sizes.csv"), "tables digits"),
        (PATHS.figure("claims", "svg"), "figures digits --figure claims"),
        (PATHS.notebook, "notebook digits"),
        (PATHS.provenance, "provenance digits"),
    ],
)
def test_an_artefact_is_made_again_by_its_verb(artefact: Path, command: str) -> None:
    assert PATHS.command(artefact, "digits") == f"minified {command}"


def test_a_job_s_rows_and_networks_are_made_again_by_that_job() -> None:
    for job in DIGITS.jobs():
        where = "--bits" if job.method == "quantization" else "--sparsity"
        verb = "quantize" if job.method == "quantization" else "retrain"
        options = [] if verb == "quantize" else ["--method", job.method]
        words = ["minified", verb, "digits", *options, where, job.place, "--regime", job.regime]
        assert PATHS.command(PATHS.rows(job), "digits") == " ".join(words)
        assert PATHS.command(PATHS.networks(job), "digits") == " ".join(words)
        if verb == "retrain":
            words[1] = "iterate"
            assert PATHS.command(PATHS.rounds(job), "digits") == " ".join(words)


def test_every_table_and_figure_is_made_by_a_verb_that_exists() -> None:
    made = [PATHS.table(name) for name in TABLES]
    made += [PATHS.figure(name, kind) for name in figure_names(DIGITS) for kind in FORMATS]
    for artefact in made:
        command = PATHS.command(artefact, "digits")
        assert command is not None
        assert command.split()[1] in VERBS


def test_a_command_can_be_pasted_into_a_shell_whatever_the_names() -> None:
    paths = Paths("mine", Path("my results; rm"))
    message = paths.command(paths.data, "a folder/$x/mine.yaml")
    assert message == "minified prepare 'a folder/$x/mine.yaml' --results 'my results; rm'"


def test_other_files_have_no_command() -> None:
    assert PATHS.command(Path("elsewhere/data.safetensors"), "digits") is None
    assert PATHS.command(PATHS.root / "notes.txt", "digits") is None
