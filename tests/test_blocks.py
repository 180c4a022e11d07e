"""Replicates in blocks: the same results as with all replicates in one job, and the jobs that make
them.
"""

import csv
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import SMALL, STUDY, begin, minified, planned, published, snakemake, snakemake_command
from minified import study
from minified.foundations import files
from minified.foundations.errors import ArtefactError, DivergenceError, StudyError
from minified.jobs import curve_files
from minified.jobs.prepare import prepare
from minified.jobs.together import together
from minified.jobs.train import train
from minified.run import costs, submissions, tasks
from minified.run.records import Records
from minified.run.tasks import Task
from minified.study import Paths, Study
from minified.study.rows import DAMAGE_COLUMNS
from studies import load, refusal, travelling
from test_specifications import VARIED

# Criteria of all kinds, in rounds; fewer damaged replicates than there are.
EVERYTHING = """\
network: {name: mlp, widths: [16, 12]}
replicates: 3
data: {saliency_examples: 100, training_examples: 500}
recipes:
  baseline: &short {learning_rate: 0.01, epochs: 2, batch_size: 64}
  fine_tune: *short
  scratch: *short
  rewind: *short
  quantization: *short
grid:
  parameter:
    criteria: [obd, random]
    sparsities: [0.9]
    regimes: [fine_tune, rewind]
    scope: global
    rounds: 2
  neuron:
    criteria: [merging, dropout_damage]
    sparsities: [0.5]
    regimes: [fine_tune, scratch]
    scope: layer
    rounds: 2
  quantization:
    bits: [2]
    regimes: [none, fine_tune]
damage: {units: 10, replicates: 2}
"""
CONVOLUTIONAL = """\
network: {name: vgg, channels: [[4, 6], [8]], widths: [10]}
replicates: 3
data: {saliency_examples: 50, training_examples: 200}
recipes:
  baseline: &short
    {learning_rate: 0.01, epochs: 2, batch_size: 64, augmentation: crop_flip}
  fine_tune: *short
  scratch: *short
grid:
  parameter: {criteria: [obd, magnitude], sparsities: [0.9], regimes: [scratch], scope: global}
  neuron:
    criteria: [merging, activity]
    sparsities: [0.5]
    regimes: [fine_tune, scratch]
    scope: layer
damage: {units: 5, replicates: 1}
"""
SPECIFIED = (
    SMALL.replace("epochs: 4", "epochs: 2")
    + """\
specifications:
  axes:
    scope: {global: {}, layer: {grid.parameter.scope: layer}}
  variants:
    decay: {recipes.baseline.weight_decay: 0.1}
"""
)


def split(text: str, size: int, replicates: int = 3) -> str:
    """A study in blocks of this size, which had 3 replicates."""
    assert "replicates: 3\n" in text
    both = f"replicates: {replicates}\nreplicates_per_job: {size}\n"
    return text.replace("replicates: 3\n", both, 1)


def by_name(loaded: Study) -> dict[str, Task]:
    return {task.name: task for task in submissions.every(loaded, Paths(loaded.name))}


# What a study says


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0", ("0", "greater than or equal to 1")),
        ("-2", ("-2", "greater than or equal to 1")),
        ("1.5", ("1.5", "integer")),
        ("2.0", ("2.0", "integer")),
        ("true", ("True", "integer")),
        ("two", ("'two'", "integer")),
        ("[2]", ("[2]", "integer")),
        ("4", ("4", "must be at most replicates (3), or left out")),
        ("1000000", ("1000000", "must be at most replicates (3), or left out")),
    ],
)
def test_a_wrong_number_per_job_is_refused_in_a_line_that_names_it(
    tmp_path: Path, value: str, words: tuple[str, ...]
) -> None:
    line = refusal(tmp_path, f"{SMALL}replicates_per_job: {value}\n")
    assert line.startswith("replicates_per_job: ")
    for word in words:
        assert word in line


def test_blocks_that_would_be_more_jobs_than_any_machine_runs_are_refused(tmp_path: Path) -> None:
    # 8 jobs: 12,500 blocks of each would be just as many as a study may have.
    many = "replicates: 10000\nnetwork: {name: mlp, widths: [2]}\n"
    text = re.sub(r"replicates: 3\n|network: .*\n", "", SMALL) + many
    load(tmp_path, text + "replicates_per_job: 1\n")
    text = text.replace("sparsities: [0.9]", "sparsities: [0.9, 0.8, 0.7]")  # 16 jobs
    line = refusal(tmp_path, text + "replicates_per_job: 1\n")
    least = int(line.partition("must be at least ")[2].partition(";")[0])
    assert "160,000 jobs" in line
    load(tmp_path, text + f"replicates_per_job: {least}\n")
    refusal(tmp_path, text + f"replicates_per_job: {least - 1}\n")


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("replicates", [2, 3, 7, 12, 100])
def test_blocks_have_every_replicate_once_and_in_order(
    tmp_path: Path, replicates: int, size: int
) -> None:
    loaded = load(tmp_path, split(SMALL, min(size, replicates), replicates))
    numbers = [list(loaded.within(block).numbers) for block in loaded.blocks]
    if numbers:
        assert list(itertools.chain(*numbers)) == list(range(replicates))
        assert all(len(one) == size for one in numbers[:-1])
        assert 1 <= len(numbers[-1]) <= size
        names = [f"{one[0]}-{one[-1]}" for one in numbers]
        assert names == loaded.blocks
    else:
        assert size >= replicates


@pytest.mark.parametrize("damaged", [None, 1, 2, 3, 4, 5, 7])
def test_blocks_have_every_damaged_replicate_once(tmp_path: Path, damaged: int | None) -> None:
    text = split(SMALL, 3, 7).replace("{units: 20}", f"{{units: 20, replicates: {damaged or 7}}}")
    loaded = load(tmp_path, text if damaged else split(SMALL, 3, 7))
    found = [number for block in loaded.blocks for number in loaded.within(block).damaged]
    assert found == list(loaded.damaged) == list(range(damaged or 7))


@pytest.mark.parametrize("name", ["0-1", "1-2", "0", "0-2", "3-3", "../0-1", "", "x"])
def test_a_block_that_a_study_does_not_have_is_refused(tmp_path: Path, name: str) -> None:
    loaded = load(tmp_path, split(SMALL, 2))
    if name in ("0-1", ""):
        assert list(loaded.within(name).numbers) == ([0, 1] if name else [0, 1, 2])
        return
    with pytest.raises(StudyError, match="unknown here; allowed: 0-1, 2-2"):
        loaded.within(name)
    with pytest.raises(StudyError, match="allowed: none, without replicates_per_job"):
        load(tmp_path, SMALL).within(name)


# Which jobs there are


def test_one_block_of_all_replicates_is_the_study_as_it_is(tmp_path: Path) -> None:
    assert by_name(load(tmp_path, split(SMALL, 3))) == by_name(load(tmp_path, SMALL))


@pytest.mark.parametrize("text", [STUDY, EVERYTHING, SPECIFIED, VARIED])
def test_every_job_of_an_unsplit_study_is_done_in_blocks_that_it_puts_together(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "snip.py").write_text("def snip(level, network, inputs, targets, generator): ...\n")
    whole = by_name(load(tmp_path, text))
    loaded = load(tmp_path, split(text, 2))
    jobs = by_name(loaded)
    of_blocks = {task.name.replace(f"blocks/{task.block}/", "") for task in jobs.values()}
    assert of_blocks == set(whole)
    # Only what the analysis reads is put together: no derivatives, and of another specification
    # than the study's own no more than the rows.
    for name in set(whole) - set(jobs):
        assert "derivatives/" in name or re.match(
            r"specifications/\w[\w-]*/(train|score|scratch)\b", name
        )
    for name, task in jobs.items():
        if not task.block:
            assert task.outputs == whole[name].outputs
            continue
        assert name.count(f"blocks/{task.block}/") == 1
        assert task.specification == whole[name.replace(f"blocks/{task.block}/", "")].specification
        for file in [*task.read, *task.outputs]:
            assert f"/blocks/{task.block}/" in str(file) or file.name == "data.safetensors"
    for task in jobs.values():
        if task.parts:
            assert [file for _, made in task.parts for file in made] == task.read
            numbers = [number for of, _ in task.parts for number in of]
            assert numbers == list(loaded.damaged if task.stage == "damage" else range(3))
    expected = [task for task in whole.values() if tasks.STAGES[task.stage].in_blocks]
    undamaged = sum(task.stage == "damage" for task in expected) if text == EVERYTHING else 0
    assert sum(bool(task.block) for task in jobs.values()) == 2 * len(expected) - undamaged


def test_specifications_share_in_blocks_what_they_share_without(tmp_path: Path) -> None:
    whole, parts = load(tmp_path, VARIED), load(tmp_path, split(VARIED, 1))
    paths = Paths("mine")
    for name in whole.specified:
        for job in whole.under(name).jobs():
            if job.method == "quantization":
                continue
            options = {"method": job.method, "sparsity": job.place, "regime": job.regime}
            owner = tasks.task(whole, paths, "retrain", specification=name, **options).specification
            for block in ("", *parts.blocks):
                of = {"specification": name, "block": block}
                assert tasks.task(parts, paths, "retrain", **of, **options).specification == owner


def test_more_replicates_leave_the_blocks_that_there_are_as_they_were(tmp_path: Path) -> None:
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
    before = load(tmp_path / "before", split(EVERYTHING, 4, 8).replace(", replicates: 2", ""))
    after = load(tmp_path / "after", split(EVERYTHING, 4, 12).replace(", replicates: 2", ""))
    old, new = by_name(before), by_name(after)
    prints = [Records(one, Paths("mine")).fingerprint for one in (before, after)]
    blocks = {name for name, task in old.items() if task.block}
    assert len(blocks) > 20
    assert all(prints[0](old[name]) == prints[1](new[name]) for name in blocks)
    gathered = {name for name, task in old.items() if task.parts}
    assert all(prints[0](old[name]) != prints[1](new[name]) for name in gathered)
    assert {new[name].block for name in set(new) - set(old)} == {"8-11"}


@pytest.mark.parametrize(
    ("old", "new", "edited"),
    [
        ("units: 10", "units: 11", {"damage"}),
        ("replicates: 2}", "replicates: 3}", {"damage 2-2"}),
        ("replicates: 2}", "replicates: 1}", {"damage 0-1"}),
        ("bits: [2]", "bits: [3]", set()),
        ("rewind: *short", "rewind: {learning_rate: 0.5, epochs: 2}", {"retrain"}),
        ("replicates: 3", "seed: 7\nreplicates: 3", {""}),
    ],
)
def test_an_edit_changes_the_blocks_of_the_jobs_that_depend_on_it(
    tmp_path: Path, old: str, new: str, edited: set[str]
) -> None:
    text = split(EVERYTHING, 2)
    assert old in text
    before, after = by_name(load(tmp_path, text)), by_name(load(tmp_path, text.replace(old, new)))
    whole = (
        by_name(load(tmp_path, EVERYTHING)),
        by_name(load(tmp_path, EVERYTHING.replace(old, new))),
    )

    def changed(one: dict[str, Task], other: dict[str, Task], block: str) -> set[str]:
        same = {name for name in one if one[name].block == block} & set(other)
        return {
            name.replace(f"blocks/{block}/", "")
            for name in same
            if one[name].settings != other[name].settings
        }

    for block in ("0-1", "2-2"):
        found = changed(before, after, block)
        if "replicates: " in old and "units" not in new and "seed" not in new:
            assert found == (
                {n for n in whole[0] if n.startswith("damage")}
                if edited == {f"damage {block}"} and block != "2-2"
                else set()
            )
        else:
            expected = changed(*whole, "")
            computed = {name for name in expected if tasks.STAGES[whole[0][name].stage].in_blocks}
            no_damage = {n for n in computed if block == "2-2" and n.startswith("damage")}
            assert found == computed - no_damage


# Where files are, and how they are made again


@pytest.mark.parametrize("text", [EVERYTHING, SPECIFIED])
def test_every_file_of_a_block_is_made_again_by_a_command_that_names_it(
    tmp_path: Path, text: str
) -> None:
    loaded, paths = load(tmp_path, split(text, 2)), Paths("mine")
    for task in by_name(loaded).values():
        for file in task.outputs:
            if task.stage in ("figures", "tables") or not (task.block or task.parts):
                continue
            command = paths.command(file, "mine")
            assert command is not None
            assert command.startswith(f"minified {task.stage} mine")
            assert (f"--block {task.block}" in command) == bool(task.block)
            assert (f"--specification {task.specification}" in command) == (
                task.specification != "base"
            )
            assert tasks.producer(loaded, paths, file) == task


def test_a_command_names_the_specification_and_the_block() -> None:
    file = Path("results/mine/specifications/decay/blocks/0-3/neuron-obd/0.5/rounds/fine.csv")
    assert Paths("mine").command(file, "mine") == (
        "minified iterate mine --method neuron-obd --sparsity 0.5 --regime fine"
        " --block 0-3 --specification decay"
    )


# What they cost, and how they travel


@pytest.mark.parametrize(
    ("name", "size"),
    [("digits", 3), ("digits", 19), ("digits_specifications", 11)],
)
def test_submissions_of_blocks_never_wait_for_each_other_in_a_circle(
    tmp_path: Path, name: str, size: int
) -> None:
    text = Path(f"config/{name}.yaml").read_text()
    replicates = study.load(name).replicates
    loaded = load(tmp_path, f"{text}\nreplicates_per_job: {min(size, replicates)}\n")
    jobs, of = travelling(loaded)
    together_ = {of[job.name] for job in jobs if job.parts}
    assert together_.isdisjoint(of[job.name] for job in jobs if job.block)


def test_a_block_costs_its_share_and_putting_together_next_to_nothing(tmp_path: Path) -> None:
    text = SMALL.replace("epochs: 4", "epochs: 400")
    whole, parts = (load(tmp_path, one) for one in (text, split(text, 1)))
    paths = Paths("mine")
    all_of_it = costs.cost(whole, tasks.task(whole, paths, "train"))
    block = costs.cost(parts, tasks.task(parts, paths, "train", block="1-1"))
    gathered = costs.cost(parts, tasks.task(parts, paths, "train"))
    assert all_of_it.seconds / 3 <= block.seconds < all_of_it.seconds
    assert block.memory < all_of_it.memory
    assert gathered.seconds < block.seconds / 2


def test_a_block_asks_for_one_gpu(tmp_path: Path) -> None:
    parts = load(tmp_path, split(SMALL, 1) + "device: cuda\n")
    paths = Paths("mine")
    assert costs.asked(parts, tasks.task(parts, paths, "train", block="1-1")).gpu == 1


def test_the_check_of_a_study_says_its_blocks(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(split(SMALL, 2))
    done = minified(tmp_path, "check", "small.yaml")
    assert done.stdout.startswith("small.yaml: 8 jobs x 3 replicates in blocks of 2\n")
    jobs = len(submissions.every(study.load(tmp_path / "small.yaml"), Paths("small")))
    assert f"expected: {jobs} jobs with the analysis" in done.stdout


# Putting together


def curves_of(replicates: int, shape: list[int], dice: random.Random) -> curve_files.Rounds:
    """Rounds of so many epochs each, for so many replicates."""
    return [
        [
            tuple([dice.expovariate(0.1) for _ in range(replicates)] for _ in range(2))  # type: ignore[misc]
            for _ in range(epochs)
        ]
        for epochs in shape
    ]


@pytest.mark.parametrize("shape", [[], [1], [3], [2, 2, 5]])
@pytest.mark.parametrize("sizes", [[1], [1, 1], [3, 3, 1], [1] * 7])
def test_curves_of_blocks_are_put_together_bit_by_bit(
    tmp_path: Path, shape: list[int], sizes: list[int]
) -> None:
    whole = curves_of(sum(sizes), shape, random.Random(3))
    curve_files.write(tmp_path / "whole.csv", whole)
    parts = []
    for end, size in zip(itertools.accumulate(sizes), sizes, strict=True):
        block = range(end - size, end)
        path = tmp_path / f"{end}.csv"
        own = [[(a[end - size : end], b[end - size : end]) for a, b in one] for one in whole]
        curve_files.write(path, own, block)
        assert curve_files.read_block(path, block) == own
        parts.append((block, [path]))
    together([tmp_path / "made.csv"], parts)
    assert (tmp_path / "made.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert files.noted(tmp_path / "made.csv") == files.sha256(tmp_path / "made.csv")


def damage_file(path: Path, replicates: list[int]) -> Path:
    rows = [
        {"replicate": number, "layer": "a.weight", "unit": unit, "damage": number + unit / 3}
        for number in replicates
        for unit in range(2)
    ]
    files.write_rows(path, DAMAGE_COLUMNS, rows)
    return path


def test_rows_of_blocks_are_put_one_after_the_other(tmp_path: Path) -> None:
    parts = [
        (range(4), [damage_file(tmp_path / "a.csv", [0, 1, 2, 3])]),
        (range(4, 6), [damage_file(tmp_path / "b.csv", [4, 5])]),
    ]
    together([tmp_path / "made.csv"], parts)
    whole = damage_file(tmp_path / "whole.csv", [0, 1, 2, 3, 4, 5])
    assert (tmp_path / "made.csv").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("replicates", [[], [4], [5, 4], [4, 5, 6], [0, 1], [4, 6]])
def test_a_table_of_other_replicates_is_refused_by_its_name(
    tmp_path: Path, replicates: list[int]
) -> None:
    first = damage_file(tmp_path / "a.csv", [0, 1, 2, 3])
    second = damage_file(tmp_path / "b.csv", replicates)
    with pytest.raises(ArtefactError, match=r"b\.csv: has replicates .*, not 4 to 5"):
        together([tmp_path / "made.csv"], [(range(4), [first]), (range(4, 6), [second])])
    assert not (tmp_path / "made.csv").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: lines[:-1],  # the last epoch lacks a replicate
        lambda lines: lines[:2] + lines[3:],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [*lines[:-1], lines[-1].replace("2,", "9,", 1)],
        lambda lines: [*lines[:-1], re.sub(r",[^,]*$", ",many", lines[-1])],
        lambda lines: lines[:-2],  # another number of epochs than the other block
        lambda lines: lines[:1],
    ],
)
def test_a_curve_that_lacks_something_is_refused_by_its_name(tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    parts = []
    for name, block in (("a.csv", range(2)), ("b.csv", range(2, 4))):
        curve_files.write(tmp_path / name, curves_of(2, [3, 3], random.Random(1)), block)
        parts.append((block, [tmp_path / name]))
    together([tmp_path / "made.csv"], parts)
    lines = (tmp_path / "b.csv").read_text().splitlines()
    files.write_text(tmp_path / "b.csv", "\n".join(spoil(lines)) + "\n")
    with pytest.raises(ArtefactError, match=r"b\.csv: "):
        together([tmp_path / "made.csv"], parts)


def test_networks_of_other_replicates_or_of_another_job_are_refused_by_their_name(
    tmp_path: Path,
) -> None:
    import torch

    def write(name: str, replicates: list[int], sparsity: float) -> Path:
        tensors = {f"{number}/a.weight": torch.full((2,), number) for number in replicates}
        files.write_tensors(tmp_path / name, tensors, {"sparsity": sparsity})
        return tmp_path / name

    first, made = write("a.safetensors", [0, 1], 0.5), tmp_path / "made.safetensors"
    for replicates, sparsity, said in (
        ([2], 0.5, "has replicates 2, not 2 to 3"),
        ([2, 3, 4], 0.5, "has replicates 2, 3, 4, not 2 to 3"),
        ([2, 3], 0.9, "is of another job than"),
    ):
        second = write("b.safetensors", replicates, sparsity)
        with pytest.raises(ArtefactError, match=rf"b\.safetensors: {said}"):
            together([made], [(range(2), [first]), (range(2, 4), [second])])
    second = write("b.safetensors", [2, 3], 0.5)
    together([made], [(range(2), [first]), (range(2, 4), [second])])
    assert made.read_bytes() == write("whole.safetensors", [0, 1, 2, 3], 0.5).read_bytes()


def test_a_replicate_that_diverges_in_a_block_is_named_by_its_own_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wild = split(SMALL, 2).replace("learning_rate: 0.01", "optimiser: sgd, learning_rate: 1e6")
    loaded = load(tmp_path, wild)
    paths = Paths("mine")
    prepare(loaded, paths)
    with pytest.raises(DivergenceError, match=r"replicate 2, epoch \d"):
        train(*tasks.opened(loaded, paths, "train", block="2-2"))


# Whole studies


def computed(folder: Path) -> dict[str, bytes]:
    """Every file that the jobs of the study in `folder` have computed, and every table."""
    root = folder / "results" / "small"
    found = {path.relative_to(root): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {
        place.as_posix(): path.read_bytes()
        for place, path in found.items()
        # Nothing but the blocks reads derivatives.
        if not {"logs", "records", "blocks", "derivatives"} & set(place.parts)
        and "explore.ipynb" not in place.name
    }


def run(folder: Path, text: str, *targets: str) -> Path:
    """Do a study, or as much of it as these tables need."""
    begin(folder, text)
    done = snakemake(folder, *(f"results/small/tables/{name}" for name in targets))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


TABLES = ("results.csv", "claims.csv", "damage.csv", "kept.csv")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "sizes", "targets"),
    [
        pytest.param(EVERYTHING, (2,), TABLES, id="mlp"),
        pytest.param(EVERYTHING, (1,), TABLES, id="mlp, one by one", marks=pytest.mark.campaign),
        pytest.param(CONVOLUTIONAL, (2,), TABLES, id="vgg", marks=pytest.mark.campaign),
        pytest.param(
            *(SPECIFIED, (2,), (*TABLES, "specifications.csv")),
            id="specifications",
            marks=pytest.mark.campaign,
        ),
    ],
)
def test_a_study_in_blocks_has_the_same_bytes_as_without(
    tmp_path: Path, text: str, sizes: tuple[int, ...], targets: tuple[str, ...]
) -> None:
    whole = computed(run(tmp_path / "whole", text, *targets))
    assert {"baseline.safetensors", "tables/results.csv", "tables/curves.csv"} <= set(whole)
    for size in sizes:
        folder = run(tmp_path / f"in blocks of {size}", split(text, size), *targets)
        made = computed(folder)
        assert [name for name in made if made[name] != whole[name]] == []
        # Of another specification than the study's own, the tables need the rows alone.
        of_blocks = r"specifications/\w+/(\.?baseline.s.*|curves/.*|[a-z_-]+/\.?scores.*)"
        missing = set(whole) - set(made)
        assert [name for name in missing if not re.fullmatch(of_blocks, name)] == []
        assert planned(folder).keys().isdisjoint({"train", "score", "retrain", "damage", "iterate"})


@pytest.fixture(scope="module")
def in_blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of the session's finished run, in blocks: killed while it worked, and resumed."""
    folder = begin(tmp_path_factory.mktemp("blocks"), split(STUDY, 2))
    process = subprocess.Popen(
        **snakemake_command(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    waited = folder / "results/small/blocks/0-1/parameter-snip/scores.safetensors"
    until = time.monotonic() + 120
    while not waited.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert waited.exists()
    assert not (folder / "results/small/tables").exists()
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("blocks/*/baseline.safetensors")}
    done = snakemake(folder, "--rerun-incomplete")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert all(path.stat().st_mtime_ns == date for path, date in kept.items())
    return folder


@pytest.mark.slow
def test_a_run_in_blocks_that_was_killed_and_resumed_publishes_the_same_bytes(
    in_blocks: Path, finished: Path
) -> None:
    assert published(in_blocks) == published(finished)
    assert len(published(in_blocks)) > 40
    made, whole = computed(in_blocks), computed(finished)
    assert set(made) == set(whole)
    assert [name for name in whole if made[name] != whole[name]] == []
    assert planned(in_blocks) == {}
    # What puts them together is there: the files of the blocks may go.
    (in_blocks / "results/small/blocks").rename(in_blocks / "elsewhere")
    try:
        assert planned(in_blocks) == {}
    finally:
        (in_blocks / "elsewhere").rename(in_blocks / "results/small/blocks")


@pytest.mark.slow
def test_measured_jobs_say_of_which_block_they_are(in_blocks: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(in_blocks, tmp_path / "copy")
    assert minified(folder, "timings", "config/small.yaml").returncode == 0
    with open(folder / "figures/small/machine/jobs.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    trained = [row["block"] for row in rows if row["stage"] == "train"]
    assert trained == ["all", "0-1", "2-2"]
    assert {row["block"] for row in rows if row["stage"] in ("prepare", "claims")} == {"all"}
    assert len(rows) == len(submissions.every(study.load(folder / "config/small.yaml"), Paths("x")))


@pytest.mark.slow
def test_a_missing_or_damaged_file_of_a_block_is_reported_with_the_block_s_command(
    in_blocks: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(in_blocks, tmp_path / "copy")
    file = folder / "results/small/blocks/0-1/baseline.safetensors"
    command = "make it again: minified train config/small.yaml --block 0-1"
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    for verb in (("evaluate", "--block", "0-1"), ("train",)):
        done = minified(folder, verb[0], "config/small.yaml", *verb[1:])
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "blocks/0-1/baseline.safetensors: was altered or damaged" in line
        assert line.endswith(command)
    file.unlink()
    done = minified(folder, "train", "config/small.yaml")
    assert done.stderr.strip().endswith(f"no such file; {command}")
    done = minified(folder, *command.partition("minified ")[2].split())
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() == before
    done = minified(folder, "train", "config/small.yaml", "--block", "0-2")
    assert "block '0-2': unknown here; allowed: 0-1, 2-2" in done.stderr


@pytest.mark.slow
def test_what_no_table_needs_is_put_together_by_hand(
    in_blocks: Path, finished: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(in_blocks, tmp_path / "copy")
    file = "results/small/derivatives/parameter.safetensors"
    assert not (folder / file).exists()
    done = minified(folder, "derivatives", "config/small.yaml", "--level", "parameter")
    assert done.returncode == 0, done.stderr
    assert (folder / file).read_bytes() == (finished / file).read_bytes()


@pytest.mark.slow
def test_what_an_edit_and_another_split_make_again(in_blocks: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(in_blocks, tmp_path / "copy")
    file = folder / "config" / "small.yaml"

    def after(text: str) -> dict[str, int]:
        file.write_text(text)
        return planned(folder)

    jobs = after(split(STUDY, 2).replace("units: 20", "units: 21"))
    assert jobs["damage"] == 9
    assert not {"train", "score", "retrain"} & set(jobs)
    # A fourth replicate joins the second block; a fifth has one of its own.
    jobs = after(split(STUDY, 2, 5))
    assert jobs["train"] == 2 + 1, "the block 0-1 stays"
    assert jobs["retrain"] == 6 * 3
    jobs = after(split(STUDY, 1))
    assert jobs["train"] == 2 + 1, "the block 2-2 stays, which both splits have"
    # Without blocks, everything that they have put together is made again, as a whole.
    jobs = after(STUDY)
    assert (jobs["train"], jobs["retrain"], jobs["damage"]) == (1, 6, 3)
    done = snakemake(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert published(folder) == published(in_blocks)
    # The blocks of before are still what they should be.
    assert after(split(STUDY, 2))["train"] == 1
