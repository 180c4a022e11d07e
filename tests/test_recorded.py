"""What made each artefact: recorded by its job, and checked by whoever reads it.

Stages by hand, on a study that trains one small network for an epoch.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import OWN, REPOSITORY, minified
from minified import study
from minified.run import lock, records, tasks
from minified.run.edits import edit
from minified.run.stale import Stale
from minified.study import Paths

TINY = """\
data: {saliency_examples: 50}
network: {name: mlp, widths: [5]}
replicates: 1
recipes:
  baseline: {learning_rate: 0.01, epochs: 1, batch_size: 256}
  fine_tune: {learning_rate: 0.01, epochs: 1, batch_size: 256}
grid:
  parameter: {criteria: [own], sparsities: [0.5], regimes: [fine_tune], scope: layer}
criteria:
  own: {file: own.py, levels: [parameter]}
"""
SCORE = ("score", "config/tiny.yaml", "--method", "parameter-own")
RETRAIN = (
    *("retrain", "config/tiny.yaml", "--method", "parameter-own"),
    *("--sparsity", "0.5", "--regime", "fine_tune"),
)
STAGES = [("prepare", "config/tiny.yaml"), ("train", "config/tiny.yaml"), SCORE, RETRAIN]
ROWS = "results/tiny/parameter-own/0.5/fine_tune.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the stages up to one job's rows were done by hand."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "config").mkdir()
    (folder / "config" / "tiny.yaml").write_text(TINY)
    (folder / "config" / "own.py").write_text(OWN)
    for stage in STAGES:
        done = minified(folder, *stage)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return shutil.copytree(made, tmp_path / "copy")


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def keeping_its_date(file: Path, old: str, new: str) -> None:
    """Change a file as `rsync -a` or `cp -p` would."""
    status = file.stat()
    replace(file, old, new)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def stale(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The jobs whose files are to be made again, and why."""
    monkeypatch.chdir(folder)
    loaded = study.load("config/tiny.yaml")
    paths = Paths("tiny")
    known = records.Records(loaded, paths)
    found = {}
    last = tasks.task(loaded, paths, "publish")
    for task in (*known.ancestors(last), last):
        if problem := known.problem(task):
            found[task.name] = problem[1]
    return found


def refused(folder: Path, *stage: str) -> str:
    """The one line with which a stage refuses what it reads."""
    done = minified(folder, *stage)
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    return line


def test_results_that_nobody_touched_are_what_they_should_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stale(folder, monkeypatch) == {}
    os.utime(folder / "config" / "own.py")
    assert stale(folder, monkeypatch) == {}, "a date alone is no edit"
    replace(folder / "config" / "tiny.yaml", "replicates: 1", "replicates: 1  # a comment")
    assert stale(folder, monkeypatch) == {}
    moved = folder.rename(folder.parent / "moved")
    assert stale(moved, monkeypatch) == {}


EDITS: list[tuple[str, str, str, str]] = [
    ("saliency_examples: 50", "saliency_examples: 40", "score", "data.saliency_examples was 50"),
    ("widths: [5]", "widths: [6]", "train", "network.widths was [5], is [6]"),
    (
        "baseline: {learning_rate: 0.01, epochs: 1",
        "baseline: {learning_rate: 0.01, epochs: 2",
        "train",
        "recipes.baseline.epochs was 1, is 2",
    ),
    (
        "fine_tune: {learning_rate: 0.01",
        "fine_tune: {learning_rate: 0.02",
        "retrain",
        "recipes.fine_tune.learning_rate was 0.01, is 0.02",
    ),
    ("scope: layer", "scope: global", "retrain", 'grid.parameter.scope was "layer"'),
    ("replicates: 1\n", "replicates: 1\nseed: 7\n", "prepare", "seed was 2306, is 7"),
    ("replicates: 1\n", "replicates: 1\nkeep_networks: false\n", "retrain", "keep_networks was"),
]


@pytest.mark.parametrize(("old", "new", "first", "said"), EDITS, ids=[e[1][:30] for e in EDITS])
def test_an_edited_setting_makes_stale_what_depends_on_it_and_says_what_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, first: str, said: str
) -> None:
    file = folder / "config" / "tiny.yaml"
    replace(file, old, new)
    found = stale(folder, monkeypatch)
    order = ["prepare", "train", "score", "retrain"]
    stages = [name.partition("/")[0] for name in found]
    assert stages == order[order.index(first) :]
    assert said in next(iter(found.values()))
    replace(file, new, old)
    assert stale(folder, monkeypatch) == {}, "an edit that was taken back is none"


@pytest.mark.parametrize("change", [replace, keeping_its_date], ids=["plainly", "keeping its date"])
def test_an_edited_criterion_makes_its_scores_stale_whatever_its_date(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, str, str], None]
) -> None:
    change(folder / "config" / "own.py", "* 1.0", "* 2.0")
    found = stale(folder, monkeypatch)
    assert [name.partition("/")[0] for name in found] == ["score", "retrain"]
    assert found["score/parameter-own"] == (
        "was made from something else: the source file own.py was another"
    )


def test_results_of_the_future_are_as_stale_as_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (folder / "results").rglob("*"):
        os.utime(file, (4e9, 4e9))
    assert stale(folder, monkeypatch) == {}
    replace(folder / "config" / "own.py", "* 1.0", "* 2.0")
    assert "score/parameter-own" in stale(folder, monkeypatch)


def test_another_version_of_a_package_makes_stale_what_it_computed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "results" / "tiny" / "records" / "train.json"
    record = json.loads(file.read_text())
    torch = record["packages"]["torch"]
    record["packages"]["torch"] = "1.0"
    record["fingerprint"] = "that of then"
    rewrite(file, record)
    found = stale(folder, monkeypatch)
    assert found["train"].endswith(f'the package torch was "1.0", is "{torch}"')


def rewrite(file: Path, record: dict[str, Any]) -> None:
    """Write a record as if its job had written it so."""
    record.pop("sha256")
    file.write_text(records.seal(record))


def spoil_by_hand(folder: Path, *stage: str) -> None:
    """Run a stage under an edited study, then take the edit back."""
    file = folder / "config" / "tiny.yaml"
    before = file.read_text()
    edited = before.replace("epochs: 1", "epochs: 3").replace("seed: 2306", "seed: 1")
    file.write_text(edited)
    assert minified(folder, *stage).returncode == 0
    file.write_text(before)


def test_what_a_stage_by_hand_made_under_an_edited_study_is_refused_and_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_by_hand(folder, "train", "config/tiny.yaml")
    line = refused(folder, *RETRAIN)
    assert line == (
        "minified: results/tiny/baseline.safetensors: was made from something else:"
        " recipes.baseline.epochs was 3, is 1; make it again: minified train config/tiny.yaml"
    )
    rows = (folder / ROWS).read_bytes()
    command = line.rpartition(": minified ")[2].split()
    assert minified(folder, *command).returncode == 0
    for stage in (SCORE, RETRAIN):
        assert minified(folder, *stage).returncode == 0
    assert stale(folder, monkeypatch) == {}
    assert (folder / ROWS).read_bytes() == rows


def foreign_copy(folder: Path) -> None:
    """The baseline of another study of the same shapes, checksum and all."""
    other = shutil.copytree(folder, folder.parent / "other")
    replace(other / "config" / "tiny.yaml", "replicates: 1\n", "replicates: 1\nseed: 9\n")
    for stage in STAGES[:2]:
        assert minified(other, *stage).returncode == 0
    for name in ("baseline.safetensors", ".baseline.safetensors.sha256"):
        shutil.copy2(other / "results" / "tiny" / name, folder / "results" / "tiny" / name)


def foreign_copy_with_its_record(folder: Path) -> None:
    foreign_copy(folder)
    record = Path("results") / "tiny" / "records" / "train.json"
    shutil.copy2(folder.parent / "other" / record, folder / record)


def no_record(folder: Path) -> None:
    (folder / "results" / "tiny" / "records" / "train.json").unlink()


def damaged_record(folder: Path) -> None:
    file = folder / "results" / "tiny" / "records" / "train.json"
    file.write_bytes(file.read_bytes()[:-40])


def record_of_another_form(folder: Path) -> None:
    (folder / "results" / "tiny" / "records" / "train.json").write_text("[1, 2]")


def altered_record(folder: Path) -> None:
    file = folder / "results" / "tiny" / "records" / "train.json"
    record = json.loads(file.read_text())
    record["machine"]["instruction_set"] = "another"
    file.write_text(json.dumps(record))


def record_with_fields_of_other_types(folder: Path) -> None:
    file = folder / "results" / "tiny" / "records" / "train.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"written": [], "read": 0}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (foreign_copy, "is not the file that its job wrote"),
        (foreign_copy_with_its_record, "was made from something else: seed was 9, is 2306"),
        (damaged_record, "has no record of what made it"),
        (record_of_another_form, "has no record of what made it"),
        (altered_record, "has no record of what made it"),
        (record_with_fields_of_other_types, "has no record of what made it"),
    ],
)
def test_a_foreign_artefact_is_refused_by_whoever_reads_it(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
    said: str,
) -> None:
    spoil(folder)
    line = refused(folder, *SCORE)
    assert line.startswith("minified: results/tiny/baseline.safetensors: ")
    assert said in line
    assert line.endswith("; make it again: minified train config/tiny.yaml")
    assert said in stale(folder, monkeypatch)["train"]


def test_files_without_any_record_are_taken_by_hand_alone_and_never_published(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_record(folder)
    done = minified(folder, *SCORE)
    assert done.returncode == 0
    warning = "minified: warning: results/tiny/baseline.safetensors: has no record of what made it"
    assert done.stderr.splitlines() == [warning]
    assert stale(folder, monkeypatch) == {"train": "has no record of what made it"}
    in_a_run = {"MINIFIED_RUN": "process 1 on elsewhere, run 5|lock"}
    assert minified(folder, *SCORE, env=in_a_run).returncode == 1
    assert "has no record of what made it" in refused(folder, "provenance", "config/tiny.yaml")


def test_a_result_made_from_bytes_that_are_no_longer_there_is_stale(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where the same settings may give other bytes."""
    root = folder / "results" / "tiny"
    record = json.loads((root / "records" / "score" / "parameter-own.json").read_text())
    record["read"]["baseline.safetensors"] = "0" * 64
    rewrite(root / "records" / "score" / "parameter-own.json", record)
    found = stale(folder, monkeypatch)
    assert found == {
        "score/parameter-own": "was made from another results/tiny/baseline.safetensors"
    }
    assert "was made from another" in refused(folder, *RETRAIN)


def test_an_intermediate_file_may_be_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (folder / "results" / "tiny").glob("*baseline.safetensors*"):
        file.unlink()
    assert stale(folder, monkeypatch) == {}
    line = refused(folder, *SCORE)
    assert "baseline.safetensors: no such file; make it again: minified train" in line


def test_a_job_refuses_a_study_that_was_edited_after_its_run_began(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run = {"MINIFIED_RUN": "process 1 on elsewhere, run 5|lock"}
    loaded = study.load("config/tiny.yaml")
    note = {"run": run["MINIFIED_RUN"], "study": loaded.plain}
    (folder / ".snakemake").mkdir()
    (folder / ".snakemake" / "minified-tiny.json").write_text(json.dumps(note))
    assert minified(folder, *RETRAIN, env=run).returncode == 0
    before = (folder / ROWS).read_bytes()
    for old, new in (("epochs: 1", "epochs: 2"), ("scope: layer", "scope: global")):
        file = folder / "config" / "tiny.yaml"
        text = file.read_text()
        replace(file, old, new)
        done = minified(folder, *RETRAIN, env=run)
        assert done.returncode == 1
        line = done.stderr.splitlines()[-1]
        assert line.startswith("minified: config/tiny.yaml: was edited after its run began: ")
        assert line.endswith("; when this run has ended, run again")
        file.write_text(text)
    assert (folder / ROWS).read_bytes() == before
    other = {"MINIFIED_RUN": "process 1 on elsewhere, run 6|lock"}
    replace(folder / "config" / "tiny.yaml", "epochs: 1", "epochs: 2")
    monkeypatch.setenv("MINIFIED_RUN", other["MINIFIED_RUN"])
    lock.check(study.load("config/tiny.yaml"))  # the note is of another run


def test_a_job_whose_source_changes_while_it_works_leaves_no_record(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = folder / "config" / "own.py"
    own.write_text(
        OWN.replace("    return", "    open(__file__, 'a').write('#')\n    return").replace(
            "1.0", "2.0"
        )
    )
    line = refused(folder, *SCORE)
    assert line == (
        "minified: config/own.py: changed while score/parameter-own was reading it, so its results"
        " cannot be used; run it again"
    )
    own.write_text(OWN)
    assert "score/parameter-own" in stale(folder, monkeypatch)


LINKED = OWN.replace(
    "    return",
    "    import os\n    os.link('results/tiny/data.safetensors', 'link')\n"
    "    os.chmod('results/tiny/baseline.safetensors', 0o600)\n    return",
)


def test_a_backup_that_links_what_a_job_reads_does_not_cost_its_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = LINKED.replace("    import os", "    import os\n    if not os.path.exists('link'):")
    lines = guarded.splitlines()
    own = "\n".join(f"    {x}" if x.startswith("    os.") else x for x in lines) + "\n"
    (folder / "config" / "own.py").write_text(own)
    done = minified(folder, *SCORE)
    assert done.returncode == 0, done.stderr
    assert "score/parameter-own" not in stale(folder, monkeypatch)


IMPORT = "import sys; from minified.foundations import bytecode; bytecode.begin()"


@pytest.mark.parametrize("edited", ["criteria/magnitude.py", "training/masks.py", "pruning.py"])
def test_no_source_runs_as_it_was_before_an_edit_that_kept_its_date_and_size(
    tmp_path: Path, edited: str
) -> None:
    """Python itself compares only these with what it has compiled."""
    package = shutil.copytree(REPOSITORY / "src" / "minified", tmp_path / "minified")
    module = "minified." + edited.removesuffix(".py").replace("/", ".")
    code = f"{IMPORT}; import {module} as m; print(m.__file__, getattr(m, 'mark', None))"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(tmp_path)

    def imported() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    file = package / edited
    file.write_text(file.read_text() + "\nmark = 1\n")
    assert imported() == f"{file} 1"
    assert list(file.parent.glob(f"__pycache__/{file.stem}.*.pyc")), "it has been compiled"
    keeping_its_date(file, "\nmark = 1\n", "\nmark = 2\n")
    assert imported() == f"{file} 2"
    assert imported() == f"{file} 2"


def test_what_is_to_be_made_again_is_named_a_few_times_and_not_a_hundred(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(folder / "config" / "tiny.yaml", "replicates: 1\n", "replicates: 1\nseed: 7\n")
    monkeypatch.chdir(folder)
    loaded = study.load("config/tiny.yaml")
    looks = Stale(loaded, Paths("tiny"))
    jobs = [tasks.task(loaded, Paths("tiny"), "prepare") for _ in range(3)]
    files = [looks.files(job) for job in jobs]
    assert files == [["results/tiny/data.safetensors"]] * 3
    for _ in range(9):
        for stage, options in (("train", {}), ("score", {"method": "parameter-own"})):
            assert Stale(loaded, Paths("tiny")).files(
                tasks.task(loaded, Paths("tiny"), stage, **options)
            )
    first = capsys.readouterr().err.splitlines()[0]
    assert first == (
        "minified: made again, with what follows: results/tiny/data.safetensors: was made from"
        " something else: seed was 2306, is 7"
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "a.b was [1, 2], is [1, 3]"),
        ({"a": 1}, {"b": 2}, "a was 1, is not there (and 1 more)"),
        ({}, {"b": None}, "b was not there, is null"),
        ({"a": 1}, {"a": 1.5, "b": 1}, "a was 1, is 1.5 (and 1 more)"),
        ({"a": "x" * 500}, {"a": "y"}, r'a was "x{76}..., is "y"'),
        ({"a": {}}, {"a": {"b": 1}}, "a.b was not there, is 1"),
    ],
)
def test_a_difference_is_said_in_a_few_words(before: dict, after: dict, said: str | None) -> None:
    found = edit(before, after)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert found == said or re.fullmatch(said, found)
