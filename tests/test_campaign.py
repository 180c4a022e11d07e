"""Whatever happens to a study's files in whatever order, nothing stale or foreign is published.

A seeded campaign: edits and their undoing, dates, kills, stages by hand and damage follow each
other. In the end either the figures are those of an undisturbed run of the study as it then is, or
the run has refused.
"""

import functools
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import OWN, minified, published, snakemake, snakemake_command

pytestmark = pytest.mark.slow

STUDY = """\
data: {saliency_examples: 50}
network: {name: mlp, widths: [6]}
replicates: 2
recipes:
  baseline: {learning_rate: 0.01, epochs: 1, batch_size: 256}
  fine_tune: {learning_rate: 0.01, epochs: 1, batch_size: 256}
grid:
  parameter: {criteria: [magnitude, own], sparsities: [0.9], regimes: [fine_tune], scope: global}
criteria:
  own: {file: own.py, levels: [parameter]}
damage: {units: 5}
"""
PLACE = "results/small/published.txt"
EDITS = {
    "retraining": (
        "small.yaml",
        "fine_tune: {learning_rate: 0.01",
        "fine_tune: {learning_rate: 0.1",
    ),
    "criterion": ("own.py", "* 1.0", "* -1.0"),
}
SHORT = 5
"""The course of events that `make test` has: records are lost, the study and a source are edited,
one keeping its date, a run is disturbed, figures are published by hand, a figure is altered.
"""
BY_HAND = [
    ["prepare"],
    ["train"],
    ["score", "--method", "parameter-own"],
    ["score", "--method", "parameter-magnitude"],
    *(
        [
            *("retrain", "--method", f"parameter-{name}"),
            *("--sparsity", "0.9", "--regime", "fine_tune"),
        ]
        for name in ("own", "magnitude")
    ),
    ["damage", "--removal", "parameter"],
    ["aggregate"],
    ["claims"],
    ["tables"],
    ["publish"],
]


class Campaign:
    """One folder with a study, and all that can happen to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.dice = random.Random(seed)
        self.edits: set[str] = set()
        self.log: list[str] = []
        begin(folder, self.edits)

    def happen(self) -> None:
        """One thing, at random."""
        kinds = [self.edit, self.edit, self.edit_for_one_stage, self.by_hand, self.date]
        kinds += [self.kill, self.kill_under_an_edit, self.damage, self.exchange, self.forget]
        self.dice.choice(kinds)()

    def edit(self) -> None:
        """Edit, or take back an edit; a source may keep its date."""
        name = self.dice.choice(sorted(EDITS))
        keep = self.dice.random() < 0.5
        self.log.append(f"edit {name}, {'with its old date' if keep else 'plainly'}")
        self.edits ^= {name}
        file = self.folder / "config" / EDITS[name][0]
        status = file.stat()
        write(self.folder, self.edits)
        if keep:
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    def by_hand(self) -> None:
        stage = self.dice.choice(BY_HAND)
        done = minified(self.folder, stage[0], "config/small.yaml", *stage[1:])
        self.log.append(f"{' '.join(stage)} by hand: {done.returncode} {done.stderr.strip()}")

    def edit_for_one_stage(self) -> None:
        name = self.dice.choice(sorted(EDITS))
        self.log.append(f"under an edit of {name}:")
        write(self.folder, self.edits ^ {name})
        self.by_hand()
        write(self.folder, self.edits)

    def files(self) -> list[Path]:
        root = self.folder / "results" / "small"
        return sorted(
            file for file in root.rglob("*") if file.is_file() and "logs" not in file.parts
        )

    def date(self) -> None:
        """Give some files another date."""
        when = self.dice.choice([1e9, 4e9])
        chosen = self.dice.sample(self.files(), k=min(5, len(self.files())))
        for file in chosen:
            os.utime(file, (when, when))
        self.log.append(f"date {when:.0f}: {[file.name for file in chosen]}")

    def kill(self) -> None:
        self.start_and_kill(set())

    def kill_under_an_edit(self) -> None:
        """Edit the study while a run works, take the edit back, and kill the run."""
        self.start_and_kill({self.dice.choice(sorted(EDITS))})

    def start_and_kill(self, meanwhile: set[str]) -> None:
        run = subprocess.Popen(
            **snakemake_command(self.folder, PLACE, "--quiet", "all"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(self.dice.uniform(1, 6))
        write(self.folder, self.edits ^ meanwhile)
        time.sleep(self.dice.uniform(0, 3))
        if self.dice.random() < 0.5:
            run.wait()
        else:
            with_all = self.dice.random() < 0.5
            (os.killpg if with_all else os.kill)(run.pid, signal.SIGKILL)
            run.wait()
        write(self.folder, self.edits)
        self.log.append(f"run with {meanwhile or 'no edit'} meanwhile: {run.returncode}")

    def damage(self) -> None:
        """Cut, alter or delete a file."""
        if not (files := self.files()):
            return
        file = self.dice.choice(files)
        how = self.dice.choice(["cut", "alter", "delete"])
        content = bytearray(file.read_bytes())
        self.log.append(f"{how} {file.name}")
        if how == "delete":
            file.unlink()
        elif content:
            place = self.dice.randrange(len(content))
            file.write_bytes(
                content[:place] if how == "cut" else content[:place] + b"0" + content[place + 1 :]
            )

    def exchange(self) -> None:
        """Put the file of another method in a file's place, with its checksum."""
        pairs = [
            ("parameter-own/scores.safetensors", "parameter-magnitude/scores.safetensors"),
            ("parameter-own/0.9/fine_tune.csv", "parameter-magnitude/0.9/fine_tune.csv"),
        ]
        root = self.folder / "results" / "small"
        one, other = (root / name for name in self.dice.choice(pairs))
        if one.is_file() and other.is_file():
            shutil.copy2(one, other)
            noted = [file.with_name(f".{file.name}.sha256") for file in (one, other)]
            if noted[0].exists():
                shutil.copy2(*noted)
            self.log.append(f"exchange {other.name}")

    def forget(self) -> None:
        """Lose Snakemake's own records, or ours."""
        lost = self.dice.choice([".snakemake", "results/small/records"])
        shutil.rmtree(self.folder / lost, ignore_errors=True)
        self.log.append(f"lose {lost}")


def begin(folder: Path, edits: set[str]) -> None:
    (folder / "config").mkdir(parents=True)
    write(folder, edits)


def write(folder: Path, edits: set[str]) -> None:
    """The study and its criterion, with these edits; a file that stays the same keeps its date."""
    for name, text in (("small.yaml", STUDY), ("own.py", OWN)):
        for edit in edits:
            if EDITS[edit][0] == name:
                assert EDITS[edit][1] in text
                text = text.replace(*EDITS[edit][1:])
        file = folder / "config" / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


Undisturbed = Callable[[set[str]], dict[str, bytes]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Tells what an undisturbed run publishes of the study with some edits."""

    @functools.cache
    def run(edits: frozenset[str]) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("undisturbed") / "run"
        begin(folder, set(edits))
        done = snakemake(folder, PLACE, "--quiet", "all")
        assert done.returncode == 0, done.stderr[-3000:]
        return published(folder)

    return lambda edits: run(frozenset(edits))


@pytest.mark.campaign
def test_each_edit_changes_the_results(undisturbed: Undisturbed) -> None:
    tables = [
        undisturbed(edits)["tables/results.csv"]
        for edits in (set(), {"retraining"}, {"criterion"}, set(EDITS))
    ]
    assert len(set(tables)) == len(tables)


@pytest.mark.parametrize(
    "seed", [SHORT, *(pytest.param(n, marks=pytest.mark.campaign) for n in range(6) if n != SHORT)]
)
def test_nothing_stale_or_foreign_is_published_after_any_course_of_events(
    undisturbed: Undisturbed, tmp_path: Path, seed: int
) -> None:
    campaign = Campaign(tmp_path / "run", seed)
    assert snakemake(campaign.folder, PLACE, "--quiet", "all").returncode == 0
    for _ in range(6):
        campaign.happen()
    for attempt in range(6):
        run = snakemake(campaign.folder, PLACE, "--quiet", "all")
        campaign.log.append(f"run {attempt}: {run.returncode}")
        if run.returncode == 0:
            break
        # It has refused, and says what to do.
        assert "minified: " in run.stderr, (campaign.log, run.stderr[-2000:])
        for line in run.stderr.splitlines():
            _, found, command = line.partition("; make it again: minified ")
            if found:
                minified(campaign.folder, *command.partition(" (log: ")[0].split())
    assert run.returncode == 0, (campaign.log, run.stderr[-3000:])
    expected = undisturbed(campaign.edits)
    made = published(campaign.folder)
    unlike = [name for name in {*expected, *made} if expected.get(name) != made.get(name)]
    assert not unlike, (campaign.log, unlike)
