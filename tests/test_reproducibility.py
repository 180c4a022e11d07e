"""The same bytes whatever surrounds a run and however often it is killed, and nothing lost.

Whole small studies through Snakemake: the long tests of the suite.
"""

import base64
import os
import random
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import (
    MOUNT,
    REPOSITORY,
    SNIP,
    STUDY,
    begin,
    can_mount,
    holding,
    minified,
    planned,
    published,
    snakemake,
    snakemake_command,
)
from minified import study
from minified.foundations.errors import BusyError
from minified.run import lock

pytestmark = pytest.mark.slow

# What a caller's environment may hold. Whatever is not listed here is left as the tests find it.
HOSTILE = {
    "OMP_NUM_THREADS": "4",
    "MKL_NUM_THREADS": "3",
    "OPENBLAS_NUM_THREADS": "2",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "SSE4_2",
    "NPY_ENABLE_CPU_FEATURES": "X86_V4",
    "OPENBLAS_CORETYPE": "Prescott",
    "LC_ALL": "tr_TR.UTF-8",
    "LANG": "de_DE.ISO-8859-1",
    "TZ": "Pacific/Kiritimati",
    "PYTHONHASHSEED": "7",
    "MPLBACKEND": "pdf",
    "COLUMNS": "20",
}
OTHERWISE = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "2",
    "LC_ALL": "C",
    "TZ": "America/St_Johns",
    "PYTHONHASHSEED": "random",
}


def repository(folder: Path, figures: Path) -> Path:
    """Another clone of this repository, as far as a run sees it, with the small study's figures."""
    folder.mkdir(parents=True)
    for name in ("Snakefile", "workflow", "profiles", "notebooks", "environment.yml"):
        (folder / name).symlink_to(REPOSITORY / name)
    shutil.copytree(figures, folder / "figures" / "small")
    return begin(folder)


def verify(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and output of `minified verify`, in `folder`, under another umask."""
    run = minified(folder, "verify", "config/small.yaml", *arguments, env=env, umask=0o077)
    return run.returncode, run.stdout + run.stderr


def test_another_folder_and_environment_and_one_core_regenerate_every_byte(
    finished: Path, tmp_path: Path
) -> None:
    clone = repository(
        tmp_path / "ein Ordner; mit $Ümlaut\n'\udcff", finished / "figures" / "small"
    )
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: path\n")
    hostile = HOSTILE | {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "HOME": "/dev/null/home"}
    place = tmp_path / "elsewhere"
    status, said = verify(clone, "--cores", "1", "--folder", str(place), env=hostile)
    assert (status, f"identical: all {len(published(finished))} files" in said) == (0, True), said

    # Nothing is left to do there, so this compares only.
    table = clone / "figures" / "small" / "tables" / "results.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    (clone / "figures" / "small" / "claims.svg").unlink()
    status, said = verify(clone, "--folder", str(place))
    assert status == 3, said
    assert "2 of" in said
    assert "no verdict changed" in said


def recorded(folder: Path) -> dict[Path, int]:
    """The outputs that Snakemake has recorded as finished, with the time each was written."""
    found = {}
    for record in (folder / ".snakemake" / "metadata").glob("*"):
        name = base64.urlsafe_b64decode(record.name).decode()
        incomplete = folder / ".snakemake" / "incomplete" / record.name
        if (folder / name).is_file() and not incomplete.exists():
            found[folder / name] = (folder / name).stat().st_mtime_ns
    return found


def jobs_of(folder: Path) -> list[int]:
    """The processes that work in `folder` for a run: commands, the server, and its jobs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            here = (process / "cwd").readlink() == folder
            if here and (b"bin/minified\0" in command or b"minified.cli" in command):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize(
    "victims",
    [
        ("snakemake", "job", "both"),
        pytest.param(("snakemake", "job", "both", "snakemake", "both"), marks=pytest.mark.campaign),
    ],
    ids=len,
)
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes_and_repeats_nothing(
    finished: Path, tmp_path: Path, victims: tuple[str, ...]
) -> None:
    begin(tmp_path)
    dice = random.Random(2306)
    kept: dict[Path, int] = {}
    killed = []
    for victim in victims:
        command = snakemake_command(tmp_path)
        command["env"] |= OTHERWISE
        run = subprocess.Popen(
            **command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # Within its start, or a few jobs later: no run gets far enough to finish.
        time.sleep(dice.uniform(1, 4))
        enough = len(kept) + dice.randint(0, 5)
        while len(recorded(tmp_path)) < enough and run.poll() is None:
            time.sleep(0.05)
        assert run.poll() is None, "was over before it was killed"
        if victim == "job":
            until = time.monotonic() + 20
            while not (jobs := jobs_of(tmp_path)) and time.monotonic() < until:
                time.sleep(0.05)
            os.kill(dice.choice(jobs), signal.SIGKILL)
            time.sleep(2)  # the run goes on, if anything is left that does not need that job
            run.terminate()
        elif victim == "both":
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
        assert run.wait() != 0
        killed.append(victim)
        assert all(file.stat().st_mtime_ns == when for file, when in kept.items()), killed
        kept = recorded(tmp_path)

        until = time.monotonic() + 10
        while jobs_of(tmp_path) and time.monotonic() < until:
            time.sleep(0.05)
        assert not jobs_of(tmp_path), "a job outlived its run"

    assert kept, "no job finished between the kills"
    last = snakemake(tmp_path, env=OTHERWISE)
    assert last.returncode == 0, last.stdout[-2000:] + last.stderr[-3000:]
    assert all(file.stat().st_mtime_ns == when for file, when in kept.items())
    assert published(tmp_path) == published(finished)
    assert not list(tmp_path.rglob(".*.partial*"))


GROWN = (
    STUDY.replace("replicates: 3", "replicates: 4")
    .replace("criteria: [obd_sd, snip]", "criteria: [random, obd_sd, snip, broken]")
    .replace("sparsities: [0.9]", "sparsities: [0.5, 0.9]")
    .replace(
        "criteria:\n  snip:",
        "criteria:\n  broken: {file: broken.py, levels: [parameter]}\n  snip:",
    )
)
BROKEN = SNIP.replace("def snip(", "def broken(").replace("(w * g).abs()", "w * g / 0")


def test_one_failing_method_leaves_the_others_and_no_row_depends_on_its_companions(
    finished: Path, tmp_path: Path
) -> None:
    begin(tmp_path, GROWN)
    (tmp_path / "config" / "broken.py").write_text(BROKEN)
    run = snakemake(tmp_path)
    assert run.returncode != 0
    lines = run.stderr[run.stderr.index("1 failed; what did not") :].splitlines()
    assert lines[1].strip() == (
        "score: minified: parameter-broken: 1.weight has scores that are not finite numbers"
        " (log: results/small/logs/score/parameter-broken.log)"
    )
    before = finished / "results" / "small"
    after = tmp_path / "results" / "small"
    assert not (after / "tables" / "results.csv").exists()
    compared = 0
    for job in study.load(tmp_path / "config" / "small.yaml").jobs():
        rows = Path(job.method, job.place, f"{job.regime}.csv")
        assert (after / rows).is_file() == (job.method != "parameter-broken")
        if (before / rows).is_file():
            compared += 1
            old, new = ((where / rows).read_text().splitlines() for where in (before, after))
            assert new[: len(old)] == old
            assert len(new) == len(old) + 1
    assert compared == len(list(study.load(finished / "config" / "small.yaml").jobs()))


@pytest.mark.skipif(not can_mount(), reason="needs a user namespace in which to mount a tmpfs")
def test_a_full_disk_and_a_read_only_one_lose_nothing(finished: Path, tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    out = tmp_path / "out"
    command = snakemake_command(place)
    script = f"""
        mount -t tmpfs -o size=900k none {place}
        cp -r {begin(tmp_path / "given") / "config"} {place}
        {{ "$@" && echo "full disk: went well"; }} > {tmp_path}/full.log 2>&1 || true
        mount -o remount,size=64m,ro {place}
        {{ "$@" && echo "read-only: went well"; }} > {tmp_path}/read_only.log 2>&1 || true
        mount -o remount,size=64m,rw {place}
        find {place}/results -name '*.safetensors' -printf '%P %T@\\n' | sort > {tmp_path}/kept
        "$@" > {tmp_path}/last.log 2>&1
        find {place}/results -name '*.safetensors' -printf '%P %T@\\n' | sort > {tmp_path}/last
        cp -r {place}/figures {out}
    """
    run = subprocess.run(
        [*MOUNT, script, "bash", *command.pop("args")], capture_output=True, **command
    )
    logs = {name: (tmp_path / f"{name}.log").read_text() for name in ("full", "read_only")}
    assert run.returncode == 0, (logs, run.stderr, (tmp_path / "last.log").read_text()[-3000:])
    assert "No space left on device" in logs["full"]
    assert "ead-only file system" in logs["read_only"]
    for log in logs.values():
        assert "went well" not in log
    kept = set((tmp_path / "kept").read_text().splitlines())
    assert kept, "nothing was finished before the disk was full"
    out.rename(tmp_path / "figures")
    assert published(tmp_path) == published(finished)


def test_a_second_run_in_one_folder_is_refused_and_says_who_holds_it(
    finished: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    figure = folder / "results" / "small" / "figures" / "claims.svg"
    figure.unlink()
    with holding(folder) as holder:
        run = snakemake(folder)
        assert run.returncode != 0
        message = run.stdout + run.stderr
        who = f"(process {holder.pid} on "
        assert f"another run of this study is working in {folder} {who}" in message
        assert not figure.exists()
        with pytest.raises(BusyError, match=f"process {holder.pid}"):
            lock.hold(folder / lock.place("small"))
        assert planned(folder)["figures_claims"] == 1, "a dry run goes on"
    run = snakemake(folder)
    assert run.returncode == 0, run.stderr[-3000:]
    assert published(folder) == published(finished)


@pytest.mark.parametrize(
    ("artefact", "reader"),
    [
        ("data.safetensors", "train"),
        ("baseline.safetensors", "score --method parameter-snip"),
        (
            "parameter-snip/scores.safetensors",
            "retrain --method parameter-snip --sparsity 0.9 --regime scratch",
        ),
        ("derivatives/parameter.safetensors", "score --method parameter-obd_sd"),
        (
            "scratch/scratch/0.75.safetensors",
            "retrain --method neuron-merging --sparsity 0.75 --regime scratch",
        ),
        ("parameter-snip/0.9/scratch.csv", "aggregate"),
        ("quantization/2/none.csv", "aggregate"),
        ("damage/merging.csv", "correlate"),
        ("tables/results.csv", "claims"),
        ("tables/damage.csv", "tables"),
        ("figures/claims.svg", "publish"),
    ],
)
def test_a_damaged_artefact_is_named_with_the_command_that_restores_every_byte(
    finished: Path, tmp_path: Path, artefact: str, reader: str
) -> None:
    folder = shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    file = folder / "results" / "small" / artefact
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])

    verb, *options = reader.split()
    run = minified(folder, verb, "config/small.yaml", *options)
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert f"results/small/{artefact}: " in line
    command = shlex.split(line.partition("; make it again: ")[2])
    assert command[0] == "minified"
    again = minified(folder, *command[1:])
    assert again.returncode == 0, again.stderr
    assert file.read_bytes() == whole
