"""What a run on a cluster does besides what Snakemake's executor does: it ends what a killed run
has left in the queue, and believes what that had finished.

    clusters.note(name, executor, settings, file)   # the numbers of what is sent from now on
    clusters.release(file)                          # before the same jobs are done once more
    clusters.believe(persistence, done)             # what had ended when a run was killed, is done
"""

import atexit
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minified.foundations.errors import MinifiedError

_SECONDS = 60
_PATIENCE_SECONDS = 60.0


def note(name: str, executor: Any, settings: Any, file: Path) -> None:
    """Note in `file` the scheduler's number of each submission of `executor`, until this process
    ends. (Snakemake's own note of it is overwritten as soon as a job begins on its node.)

    `name`: the executor's; `settings`: for the commands of `cluster-generic`.
    """
    report = executor.report_job_submission
    file = file.absolute()
    commands = [getattr(settings, which, None) or "" for which in ("status_cmd", "cancel_cmd")]
    file.write_text(json.dumps([name, *commands]) + "\n", encoding="utf-8")

    def reported(submission: Any, *arguments: Any, **options: Any) -> None:
        if number := getattr(submission, "external_jobid", None):
            with file.open("a", encoding="utf-8") as out:
                out.write(f"{number}\n")
        report(submission, *arguments, **options)

    executor.report_job_submission = reported
    atexit.register(file.unlink, missing_ok=True)


def release(file: Path) -> None:
    """Cancel those submissions that a killed run has noted in `file` and that are still in the
    queue, and wait until they are gone: the same jobs are about to be done again.

    Raises:
        MinifiedError: they do not end.
    """
    try:
        first, *numbers = file.read_text(encoding="utf-8").split("\n")
        name, status, cancel = json.loads(first)
    except (OSError, ValueError, TypeError):
        return
    queued = _queued if name == "slurm" else _queued_by(shlex.split(status))
    command = ["scancel"] if name == "slurm" else shlex.split(cancel)
    alive = queued([number for number in numbers if number])
    if alive and command:
        plural = "submissions" if len(alive) > 1 else "submission"
        print(
            f"minified: cancelled {len(alive)} {plural} that a killed run of this study left in"
            f" the queue: {', '.join(alive)}",
            file=sys.stderr,
            flush=True,
        )
        call(*command, *alive)
        until = time.monotonic() + _PATIENCE_SECONDS
        while alive := queued(alive):
            if time.monotonic() > until:
                raise MinifiedError(
                    f"{', '.join(alive)}: submissions of a killed run of this study that do not"
                    f" end; cancel them, remove {file}, then run again"
                )
            time.sleep(0.5)
    file.unlink(missing_ok=True)


def _queued(numbers: list[str]) -> list[str]:
    """Those that Slurm still has of this folder: its numbers begin anew in time."""
    if not numbers:
        return []
    listed = call("squeue", "--noheader", "--me", "--format=%A %Z").stdout.splitlines()
    here = {line.partition(" ")[0] for line in listed if line.partition(" ")[2] == str(Path.cwd())}
    return sorted(here.intersection(numbers))


def _queued_by(command: list[str]) -> Callable[[list[str]], list[str]]:
    def queued(numbers: list[str]) -> list[str]:
        known = {number: call(*command, number).stdout for number in numbers if command}
        return sorted(number for number, said in known.items() if said.strip() == "running")

    return queued


def jobs_of(command: list[str]) -> int:
    """How many jobs Snakemake's command on a node does: it names each of them."""
    if "--target-jobs" not in command:
        return 0
    named = command[command.index("--target-jobs") + 1 :]
    return next((n for n, word in enumerate(named) if word.startswith("-")), len(named))


def believe(persistence: Any, done: Callable[[str], bool]) -> None:
    """Let Snakemake take files for complete that are `done`, even if it has not noted their job's
    end: with a submission of many jobs it does so only when the last of them has ended.
    """
    if hasattr(persistence, "believed"):
        return
    incomplete = persistence.incomplete

    async def unfinished(job: Any) -> list[Any]:
        return [file for file in await incomplete(job) if not done(str(file))]

    persistence.incomplete = unfinished
    persistence.believed = True


def call(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a scheduler; one that is not there, or does not end, has failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]}: {error}")
