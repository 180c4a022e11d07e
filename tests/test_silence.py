"""A job that could not even log why it failed: the summary says what keeps it from writing."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import MOUNT, can_mount
from minified.run import failures, silence


def disk(**changed: int) -> SimpleNamespace:
    kept = {"f_bavail": 10**6, "f_frsize": 4096, "f_files": 100, "f_favail": 9, "f_flag": 0}
    return SimpleNamespace(**kept | changed)


HEALTHY = disk()
FULL, CROWDED, READ_ONLY = disk(f_bavail=2), disk(f_favail=0), disk(f_flag=os.ST_RDONLY)


@pytest.mark.parametrize(
    ("logged", "state", "reason"),
    [
        (None, HEALTHY, "nothing was logged"),
        (None, FULL, "nothing was logged: the disk of {logs} is full (8,192 bytes are free)"),
        (None, CROWDED, "nothing was logged: the disk of {logs} has room for no more files"),
        (None, READ_ONLY, "nothing was logged: the disk of {logs} is read-only"),
        ("", HEALTHY, "nothing was logged; was it killed, or was the disk full then?"),
        ("", FULL, "nothing was logged: the disk of {logs} is full (8,192 bytes are free)"),
        ("\n", FULL, "nothing was logged"),
        ("minified: re", FULL, "minified: re (its log breaks off: the disk of {logs} is full "),
        ("minified: re", HEALTHY, "minified: re"),
        ("minified: a reason\n", FULL, "minified: a reason"),
        ("minified: a reason\n", READ_ONLY, "minified: a reason"),
        # A file system that does not count its files has room for more.
        ("", disk(f_files=0, f_favail=0), "nothing was logged; was it killed,"),
    ],
)
def test_a_log_that_says_nothing_is_explained_by_the_state_of_the_disk(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: str | None,
    state: SimpleNamespace,
    reason: str,
) -> None:
    log = tmp_path / "logs" / "train.log"
    if logged is not None:
        log.parent.mkdir()
        log.write_text(logged)
    asked: list[Path] = []

    def statvfs(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return state

    monkeypatch.setattr(os, "statvfs", statvfs)
    said = silence.why(log, failures.reason(log))
    logs = log.parent if logged is not None else tmp_path  # the folder could not be made, either
    assert said.startswith(reason.format(logs=logs))
    assert said.endswith((reason.format(logs=logs), ")", "then?"))
    assert set(asked) <= {logs}


SUMMARY = """
import logging
from types import SimpleNamespace
from minified.run import failures
handler = failures.Failures()
logger = logging.Logger("snakemake")
logger.addHandler(handler)
failed = SimpleNamespace(value="job_error")
logger.error("", extra={"event": failed, "rule_name": "train", "log": ["logs/train.log"]})
print(handler.summary())
"""


@pytest.mark.skipif(not can_mount(), reason="needs a user namespace in which to mount a tmpfs")
@pytest.mark.parametrize(
    ("options", "fill", "problem"),
    [
        ("size=64k", "head -c 1M /dev/zero > filler", "is full (0 bytes are free)"),
        ("size=8m,nr_inodes=6", "touch a b c d e f g h", "has room for no more files"),
        ("size=8m", "mount -o remount,ro .", "is read-only"),
    ],
)
def test_the_summary_names_a_disk_on_which_no_log_can_be_written(
    tmp_path: Path, options: str, fill: str, problem: str
) -> None:
    script = f"""
        mount -t tmpfs -o {options} none {tmp_path}
        cd {tmp_path}
        mkdir logs
        {{ {fill}; }} 2> /dev/null || true
        echo a reason 2> /dev/null > logs/train.log || true
        "$@"
    """
    run = subprocess.run(
        [*MOUNT, script, "bash", sys.executable, "-c", SUMMARY], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert f"train: nothing was logged: the disk of logs {problem} (log: " in run.stdout


def test_a_job_without_a_log_is_named_all_the_same() -> None:
    handler = failures.Failures()
    record = logging.makeLogRecord({"event": SimpleNamespace(value="job_error"), "rule_name": "x"})
    handler.emit(record)
    assert "  x: nothing was logged (log: no log)" in handler.summary()
