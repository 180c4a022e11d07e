"""Runs and jobs on a file system as unkind as NFS may be: tests/late_file_system.py says how.

Each test has a mount namespace of its own. `away` runs a command as on another machine: under
another name, with a view of its own of the same folder at the same path.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import MOUNT, REPOSITORY, begin, published
from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.run import late

SPACES = [*MOUNT[:-3], "--pid", "--fork", "--kill-child", "--mount-proc", *MOUNT[-3:]]
"""As MOUNT, and what the script leaves running ends with it."""
HERE = Path(__file__).parent
SECONDS = 2
PRELUDE = f"""
view() {{
    {sys.executable} {HERE}/late_file_system.py "$BACK" "$PLACE" "$LATE" "$SKEW" > "$BACK.$1" &
    until grep -q ready "$BACK.$1"; do sleep 0.05; done
}}
export -f view
view here
unshare --mount --uts bash -euc 'hostname other; view other; echo $$ > "$BACK.pid"; sleep 600' &
until test -s "$BACK.pid"; do sleep 0.05; done
away() {{
    nsenter --target "$(cat "$BACK.pid")" --mount --uts bash -c 'cd "$PLACE"; exec "$@"' away "$@"
}}
cd "$PLACE"
"""
HOLD = """
import sys, time
from pathlib import Path
from minified.run import heartbeat, lock
heartbeat.BEAT_SECONDS, heartbeat.DEAD_SECONDS = 0.5, float(sys.argv[2])
try:
    lock.hold(Path("lock"))
except Exception as error:
    print(sys.argv[1], "busy", error, flush=True)
    sys.exit(1)
print(sys.argv[1], "held", flush=True)
time.sleep(float(sys.argv[3]))
"""
FOLLOW = "import time; from minified.run import lock; lock.follow(); print('follows', flush=True);"


def can_be_late() -> bool:
    """Whether a view can be mounted here."""
    try:
        with open("/dev/fuse", "rb"):
            return subprocess.run([*SPACES, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(
    not can_be_late(), reason="needs /dev/fuse and the right to mount it in a namespace of its own"
)


def run(folder: Path, script: str, skew: int = 0, seconds: int = 120, late: int = SECONDS) -> str:
    """Run a script in a view of the folder `back`, as on the machine of a run; what it prints."""
    back, place = folder / "back", folder / "place"
    back.mkdir(exist_ok=True)
    place.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    known = {"BACK": str(back), "PLACE": str(place), "SKEW": str(skew), "PATH": path}
    known |= {"LATE": str(late)}
    known |= {"PYTHON": sys.executable, "HOLD": HOLD, "FOLLOW": FOLLOW}
    done = subprocess.run(
        [*SPACES, PRELUDE + script],
        env=os.environ | known,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_the_file_system_is_as_unkind_as_it_says(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        f"""
        echo one > a
        flock -n a true || echo not locked
        ln a b || echo not linked
        away cat a && exit 1 || echo late
        cat a
        sleep {SECONDS}.5
        away cat a
        echo two > c; mv c a
        away cat a
        exec 5< a; rm a; ls -A; exec 5<&-
        """,
    )
    lines = [line for line in said.splitlines() if ":" not in line]
    assert lines[:6] == ["not locked", "not linked", "late", "one", "one", "one"]
    assert lines[6].startswith(".nfs")


@pytest.mark.parametrize("second", ["", "away "], ids=["here", "away"])
def test_a_second_run_is_refused_where_nothing_can_be_locked(tmp_path: Path, second: str) -> None:
    said = run(
        tmp_path,
        f"""
        $PYTHON -c "$HOLD" first 10 60 &
        first=$!
        sleep 3
        {second}$PYTHON -c "$HOLD" second 10 0 && exit 1
        kill -9 $first
        {second}$PYTHON -c "$HOLD" third 10 0 || true
        """,
        skew=-100,
    )
    assert re.search(r"^second busy another run of this study is working in", said, re.M), said
    assert "third held" in said
    assert ("waiting for a sign of life" in said) == bool(second)


def test_of_two_runs_that_begin_at_once_one_goes_on(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        $PYTHON -c "$HOLD" one 10 6 & one=$!
        away $PYTHON -c "$HOLD" two 10 6 & two=$!
        wait $one || true
        wait $two || true
        """,
    )
    ended = "another run has begun here" in said
    assert said.count(" held") - ended == 1, said


def test_a_run_that_has_ended_makes_none_wait(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        f"""
        $PYTHON -c "$HOLD" first 60 0
        sleep {SECONDS}.5
        away $PYTHON -c "$HOLD" second 60 0
        """,
    )
    assert "second held" in said
    assert "waiting" not in said


def test_jobs_end_with_a_killed_run_where_nothing_can_be_locked(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        $PYTHON -c "$HOLD" run 10 60 &
        run=$!
        until test -s lock; do sleep 0.1; done
        export MINIFIED_RUN="$(cat lock)|$PWD/lock"
        $PYTHON -c "$FOLLOW time.sleep(60)" &
        job=$!
        sleep 3
        kill -0 $job && kill -9 $run
        wait $job || echo "job ended with $?"
        """,
    )
    assert "follows" in said
    assert "job ended with 137" in said


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, 60])
def test_a_job_waits_for_the_files_that_another_machine_has_written(
    finished: Path, tmp_path: Path, patience: int
) -> None:
    said = run(
        tmp_path,
        f"""
        cp -r {finished}/results "$BACK/"
        rm "$BACK/results/small/baseline.csv"
        export MINIFIED_LATE={patience} MINIFIED_RUN="process 1 on here, run 1|$PWD/lock"
        away minified evaluate {finished}/config/small.yaml && echo done || echo failed
        """,
        late=15,
    )
    assert ("failed" in said) == (patience == 0), said
    if patience:
        rows = Path("results", "small", "baseline.csv")
        assert (tmp_path / "back" / rows).read_bytes() == (finished / rows).read_bytes()


def test_on_one_machine_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIFIED_LATE", raising=False)
    begun = time.monotonic()
    with pytest.raises(ArtefactError):
        late.settled(lambda: files.verify(tmp_path / "none"))
    assert time.monotonic() - begun < 0.4


def test_what_another_machine_left_incomplete_goes_after_a_day(tmp_path: Path) -> None:
    left, fresh = (tmp_path / f".{name}.12@elsewhere.partial.csv" for name in ("old", "new"))
    left.touch()
    fresh.touch()
    os.utime(left, (time.time() - 90_000,) * 2)
    files.sweep(tmp_path)
    assert not left.exists()
    assert fresh.exists()


@pytest.mark.slow
@pytest.mark.campaign
def test_a_run_that_is_killed_and_begun_again_there_publishes_the_same_bytes(
    finished: Path, tmp_path: Path
) -> None:
    begin(tmp_path / "back")
    run(
        tmp_path,
        f"""
        snake="snakemake --snakefile {REPOSITORY}/Snakefile --directory $PLACE --cores 2"
        snake="$snake --quiet all --config study=config/small.yaml"
        $snake & run=$!
        until ls results/small/*/scores.safetensors > /dev/null 2>&1; do sleep 0.2; done
        kill -9 $run
        $snake
        """,
        skew=7,
        seconds=600,
    )
    assert published(tmp_path / "back") == published(finished)
    assert not [*(tmp_path / "back" / "results").rglob(".nfs*")]
    assert not [*(tmp_path / "back" / "results").rglob("*.partial*")]
