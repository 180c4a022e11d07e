"""What a run on a cluster does besides what Snakemake's executor does: it asks the scheduler before
the first job whether it takes such jobs, and ends what a killed run has left in the queue.

    clusters.probe(executor, requests)              # one line about a wrong setting
    clusters.note(executor, file)                   # the numbers of what is sent from now on
    clusters.release(executor, settings, numbers)   # before the same jobs are sent once more
    clusters.believe(persistence, done)             # what had ended when a run was killed, is done
"""

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from minified.foundations import files
from minified.foundations.errors import MinifiedError
from minified.run.lock import RECORDS

SETTINGS = "workflow/profiles/slurm/config.yaml"
"""Where the names of partition, account and QOS stand."""
_OPTIONS = {"mem": "mem_mb", "time": "runtime", "cpus-per-task": "_cores"}
_SECONDS = 60
_PATIENCE_SECONDS = 60.0


def probe(executor: str, requests: Iterable[Mapping[str, Any]]) -> None:
    """Ask Slurm whether it would take the largest of these jobs; other schedulers are not asked.

    `requests`: the resources of jobs, by Snakemake's names (`mem_mb`, `runtime` in minutes,
    `_cores`, `slurm_partition`, `slurm_account`, `qos`, `gpu`).

    Raises:
        MinifiedError: Slurm is missing, does not answer, or refuses; names the setting.
    """
    if executor != "slurm":
        return
    if shutil.which("sbatch") is None:
        raise MinifiedError(
            "executor slurm: there is no sbatch on the PATH; run on a machine from which jobs are"
            " submitted, or on this machine alone, without --workflow-profile"
        )
    partitions = _partitions()
    _do_without_accounting()
    for (partition, account, qos, gpu), largest in _largest(requests).items():
        if partition and partition not in partitions:
            raise MinifiedError(
                f"slurm_partition {partition}: the cluster has no such partition (it has"
                f" {', '.join(sorted(partitions))}); set it in {SETTINGS}"
            )
        if account:
            _check_account(account)
        given = {"partition": partition, "account": account, "qos": qos}
        options = [f"--{name}={value}" for name, value in given.items() if value]
        options += [f"--gpus={gpu}"] if gpu else []
        options += [f"--{name}={value}" for name, value in largest.items()]
        asked = _call("sbatch", "--test-only", *options, "--wrap=true")
        if asked.returncode:
            raise MinifiedError(
                f"Slurm refuses the largest job of the study ({' '.join(options)}):"
                f" {_said(asked.stderr)}; set partition, account, QOS and GPU in {SETTINGS}"
            )


def _partitions() -> set[str]:
    known = _call("sinfo", "--noheader", "--format=%R")
    if known.returncode:
        raise MinifiedError(
            f"executor slurm: Slurm does not answer: {_said(known.stderr)}; is its controller up"
            " (scontrol ping), and is SLURM_CONF right, if it is set?"
        )
    return set(known.stdout.split())


def _do_without_accounting() -> None:
    """Where Slurm keeps no accounts, put a `sacct` that says nothing in the place of the real one.

    When the controller does not answer for a moment, the executor asks the accounting instead; if
    that fails as well, it forgets its jobs, and waits for ever.
    """
    if _call("sacct", "--noheader", "--starttime=now").returncode == 0:
        return
    folder = (RECORDS / "minified-bin").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "sacct", "#!/bin/sh\n", checksum=False)
    (folder / "sacct").chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ.get('PATH', '')}"


def _check_account(account: str) -> None:
    """Refuse an account that Slurm's accounting does not know for this user."""
    known = _call("sacctmgr", "--noheader", "--parsable2", "show", "associations", "where",
                  f"user={os.environ.get('USER', '')}", "format=account")  # fmt: skip
    accounts = set(known.stdout.split())
    if known.returncode or (accounts and account.lower() not in {one.lower() for one in accounts}):
        why = f"you may use {', '.join(sorted(accounts))}" if accounts else _said(known.stderr)
        raise MinifiedError(
            f"slurm_account {account}: Slurm does not confirm this account ({why}); set it in"
            f" {SETTINGS}, or leave it out"
        )


def _largest(
    requests: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str, str, int], dict[str, int]]:
    """The most that is asked of each partition, as sbatch's options."""
    most: dict[tuple[str, str, str, int], dict[str, int]] = {}
    for one in requests:
        names = [str(one.get(key) or "") for key in ("slurm_partition", "slurm_account", "qos")]
        key = (names[0], names[1], names[2], int(one.get("gpu") or 0))
        kept = most.setdefault(key, {"mem": 0, "time": 0, "cpus-per-task": 1})
        for option, resource in (
            ("mem", "mem_mb"),
            ("time", "runtime"),
            ("cpus-per-task", "_cores"),
        ):
            kept[option] = max(kept[option], int(one.get(resource) or 0))
    return most


def note(executor: Any, file: Path) -> None:
    """Note the scheduler's number of each submission of `executor` in `file`, until this process
    ends. (Snakemake's own note of it is overwritten as soon as a job begins on its node.)
    """
    report = executor.report_job_submission
    file = file.absolute()
    file.unlink(missing_ok=True)

    def reported(submission: Any, *arguments: Any, **options: Any) -> None:
        if number := getattr(submission, "external_jobid", None):
            with file.open("a", encoding="utf-8") as out:
                out.write(f"{number}\n")
        report(submission, *arguments, **options)

    executor.report_job_submission = reported
    atexit.register(file.unlink, missing_ok=True)


def noted(file: Path) -> list[str]:
    """The numbers that a killed run has noted."""
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def release(executor: str, settings: Any, numbers: Iterable[str]) -> None:
    """Cancel those of these submissions that are still in the queue, and wait until they are gone.

    A killed run leaves them there, and the same jobs are about to be sent again. `settings`: of the
    executor, for the commands of `cluster-generic`.

    Raises:
        MinifiedError: they do not end.
    """
    queued = _queued if executor == "slurm" else _queued_by(settings)
    cancel = ["scancel"] if executor == "slurm" else _cancelling(settings)
    alive = queued(list(numbers))
    if not (alive and cancel):
        return
    plural = "submissions" if len(alive) > 1 else "submission"
    print(
        f"minified: cancelled {len(alive)} {plural} that a killed run of this study left in the"
        f" queue: {', '.join(alive)}",
        file=sys.stderr,
        flush=True,
    )
    _call(*cancel, *alive)
    until = time.monotonic() + _PATIENCE_SECONDS
    while alive := queued(alive):
        if time.monotonic() > until:
            raise MinifiedError(
                f"{', '.join(alive)}: submissions of a killed run of this study that do not end;"
                " cancel them, then run again"
            )
        time.sleep(0.5)


def _queued(numbers: list[str]) -> list[str]:
    """Those that Slurm still has of this folder: its numbers begin anew in time."""
    if not numbers:
        return []
    listed = _call("squeue", "--noheader", "--me", "--format=%A %Z").stdout.splitlines()
    here = {line.partition(" ")[0] for line in listed if line.partition(" ")[2] == str(Path.cwd())}
    return sorted(here.intersection(numbers))


def _queued_by(settings: Any) -> Callable[[list[str]], list[str]]:
    command = shlex.split(getattr(settings, "status_cmd", None) or "")

    def queued(numbers: list[str]) -> list[str]:
        known = {number: _call(*command, number).stdout for number in numbers if command}
        return sorted(number for number, said in known.items() if said.strip() == "running")

    return queued


def _cancelling(settings: Any) -> list[str]:
    return shlex.split(getattr(settings, "cancel_cmd", None) or "")


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


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]}: {error}")


def _said(text: str) -> str:
    """What a command of Slurm has said, without its own name before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line.split("error: ", 1)[-1] for line in lines]
    return "; ".join(dict.fromkeys(lines)) or "it says nothing"
