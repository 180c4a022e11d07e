"""What a run asks Slurm before its first job, so that a wrong setting is one line.

probe.probe(executor, settings, probe.together(jobs, cores))
"""

import getpass
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from minified.foundations import files
from minified.foundations.errors import MinifiedError
from minified.run.clusters import call
from minified.run.lock import RECORDS

SETTINGS = "workflow/profiles/slurm/config.yaml"
"""Where the names of partition, account and QOS stand."""
_OPTIONS = {"mem": "mem_mb", "time": "runtime", "cpus-per-task": "_cores"}
"""The options of sbatch, and the resources by Snakemake's names that they ask for."""


def refuse_threads(threads: int, cores: int | None) -> None:
    """Refuse to give jobs fewer cores than the threads that their study is computed with.

    Raises:
        MinifiedError: names both settings.
    """
    if cores is not None and threads > cores:
        raise MinifiedError(
            f"threads: {threads}: the profile gives a submission {cores} cores; set cores:"
            f" {threads} or more there"
        )


def together(
    jobs: Iterable[tuple[str | None, Mapping[str, Any]]], cores: int
) -> list[dict[str, Any]]:
    """What each submission asks for: of its jobs, as many side by side as there are `cores`.

    `jobs`: the submission of each, and its resources by Snakemake's names.
    """
    members: dict[str, list[Mapping[str, Any]]] = {}
    for number, (name, resources) in enumerate(jobs):
        members.setdefault(name or f"alone-{number}", []).append(resources)
    asked = []
    for each in members.values():
        width = max(1, min(len(each), cores // max(1, int(each[0].get("_cores") or 1))))
        memory = sorted((int(one.get("mem_mb") or 0) for one in each), reverse=True)[:width]
        minutes = [int(one.get("runtime") or 0) for one in each]
        asked.append(
            dict(each[0])
            | {
                "mem_mb": sum(memory),
                "runtime": max(max(minutes), math.ceil(sum(minutes) / width)),
                "_cores": width * int(each[0].get("_cores") or 1),
            }
        )
    return asked


def probe(executor: str, settings: Any, requests: Iterable[Mapping[str, Any]]) -> None:
    """Ask Slurm whether it would take the largest of these submissions; other schedulers are not
    asked.

    `settings`: of the executor. `requests`: resources by Snakemake's names (`mem_mb`, `runtime` in
    minutes, `_cores`, `slurm_partition`, `slurm_account`, `qos`, `gpu`, `gpu_model`).

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
    known = sorted(name for name in partitions if not name.endswith("*"))
    if getattr(settings, "status_command", None) != "sacct":
        _do_without_accounting()
    for (partition, account, qos, gpu), largest in _largest(requests).items():
        for name in partition.split(",") if partition else ():
            if name not in partitions:
                raise MinifiedError(
                    f"slurm_partition {name}: the cluster has no such partition (it has"
                    f" {', '.join(known)}); set it in {SETTINGS}"
                )
        _check_time(partition, partitions, largest["time"])
        if account:
            _check_account(account)
        given = {"partition": partition, "account": account, "qos": qos}
        options = [f"--{name}={value}" for name, value in given.items() if value]
        options += [f"--gpus={gpu}"] if gpu else []
        options += [f"--{name}={value}" for name, value in largest.items()]
        asked = call("sbatch", "--test-only", *options, "--wrap=true")
        if asked.returncode:
            raise MinifiedError(
                f"Slurm refuses the largest submission of the study ({' '.join(options)}):"
                f" {_said(asked.stderr)}; partition, account, QOS, GPU and cores are set in"
                f" {SETTINGS}"
            )


def _check_time(partition: str, limits: Mapping[str, float], minutes: int) -> None:
    """Refuse a submission for which no partition has time: Slurm would keep it waiting for ever."""
    default = [name for name in limits if name.endswith("*")]
    names = partition.split(",") if partition else default
    most = max((limits[name] for name in names), default=math.inf)
    if minutes > most:
        where = partition or default[0].removesuffix("*")
        raise MinifiedError(
            f"slurm_partition {where}: its jobs may take {most:.0f} minutes, and a submission asks"
            f" for {minutes}; set another partition, or more cores, in {SETTINGS}"
        )


def _partitions() -> dict[str, float]:
    """The most minutes of a job in each partition; Slurm's default has a second name, with a *."""
    known = call("sinfo", "--all", "--noheader", "--format=%P %l")
    if known.returncode:
        raise MinifiedError(
            f"executor slurm: Slurm does not answer: {_said(known.stderr)}; is its controller up"
            " (scontrol ping), and is SLURM_CONF right, if it is set?"
        )
    limits: dict[str, float] = {}
    for line in known.stdout.splitlines():
        name, _, limit = line.strip().partition(" ")
        limits[name] = limits[name.removesuffix("*")] = _minutes(limit.strip())
    return limits


def _minutes(limit: str) -> float:
    """A time as Slurm writes it (`2-00:00:00`, `30:00`), in minutes; without one, infinity."""
    days, _, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in [*parts, days or "0"]):
        return math.inf
    parts = [*["0"] * (3 - len(parts)), *parts]
    hours, minutes, seconds = map(int, parts)
    return 1440 * int(days or 0) + 60 * hours + minutes + seconds / 60


def _do_without_accounting() -> None:
    """Where Slurm keeps no accounts, put a `sacct` that says nothing in the place of the real one.

    When the controller does not answer for a moment, the executor asks the accounting instead; if
    that fails as well, it forgets its jobs, and waits for ever.
    """
    if call("sacct", "--noheader", "--starttime=now").returncode == 0:
        return
    folder = (RECORDS / "minified-bin").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "sacct", "#!/bin/sh\n", checksum=False)
    (folder / "sacct").chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ.get('PATH', '')}"


def _check_account(account: str) -> None:
    """Refuse an account that Slurm's accounting does not know for this user."""
    known = call("sacctmgr", "--noheader", "--parsable2", "show", "associations", "where",
                  f"user={getpass.getuser()}", "format=account")  # fmt: skip
    accounts = set(known.stdout.split())
    if known.returncode or (accounts and account.lower() not in {one.lower() for one in accounts}):
        why = f"you may use {', '.join(sorted(accounts))}" if accounts else _said(known.stderr)
        raise MinifiedError(
            f"slurm_account {account}: Slurm does not confirm this account ({why}); set it in"
            f" {SETTINGS}, or leave it out"
        )


def _largest(
    requests: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str, str, str], dict[str, int]]:
    """The most that is asked of each partition, as sbatch's options."""
    most: dict[tuple[str, str, str, str], dict[str, int]] = {}
    for one in requests:
        names = [str(one.get(key) or "") for key in ("slurm_partition", "slurm_account", "qos")]
        model = f"{one['gpu_model']}:" if one.get("gpu_model") else ""
        gpu = f"{model}{one['gpu']}" if one.get("gpu") else ""
        key = (names[0], names[1], names[2], gpu)
        kept = most.setdefault(key, {"mem": 0, "time": 0, "cpus-per-task": 1})
        for option, resource in _OPTIONS.items():
            kept[option] = max(kept[option], int(one.get(resource) or 0))
    return most


def _said(text: str) -> str:
    """What a command of Slurm has said, without its own name before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line.split("error: ", 1)[-1] for line in lines]
    return "; ".join(dict.fromkeys(lines)) or "it says nothing"
