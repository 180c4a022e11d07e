"""Runs of the small study through a real Slurm, each with its own mishap, all at the same time.

Each is a folder, an environment in which the verbs of `minified` do what the mishap wants, and a
process. They share one Slurm and know nothing of each other, as the users of a cluster do.
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conftest import REPOSITORY, begin

HERE = Path(__file__).parent
SECONDS = 420
"""Of one run, at most."""
ROWS = "results/small/tables/results.csv"
FIRST, SECOND = "results/small/baseline.safetensors", "results/small/baseline.csv"
"""Files for which the first submission is enough, and the first two."""


class Slurm:
    """A Slurm of one node in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def start(self) -> None:
        self._manage("start", str(self.folder), str(_two_free_ports()))

    def restart(self) -> None:
        self._manage("restart", str(self.folder))

    def stop(self) -> None:
        self._manage("stop", str(self.folder))

    @property
    def env(self) -> dict[str, str]:
        path = f"{self.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
        return {"SLURM_CONF": f"{self.folder}/slurm.conf", "PATH": path}

    def call(self, *command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=os.environ | self.env, capture_output=True, text=True, check=False
        )
        return done.stdout

    def queue(self, folder: Path, fields: str = "%A %T") -> list[str]:
        """The submissions of a folder that are in the queue."""
        lines = self.call("squeue", "--noheader", f"--format=%Z|{fields}").splitlines()
        return [line.partition("|")[2] for line in lines if line.startswith(f"{folder}|")]

    def _manage(self, *arguments: str) -> None:
        script = ["bash", str(HERE / "slurm.sh"), *arguments]
        done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr


def _two_free_ports() -> int:
    """The first of two ports that nobody uses; the range is below those that systems hand out."""
    for port in range(17017, 17217, 2):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port
    raise AssertionError("no two free ports")


@dataclass
class Run:
    """One run: `mishap` is what the command `minified` does before the verb, in sh."""

    slurm: Slurm
    folder: Path
    text: str
    mishap: str = ""
    profile: str = "slurm"
    targets: tuple[str, ...] = (ROWS,)
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    said: str = ""
    status: int | None = None
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> "Run":
        """Begin, or go on after `kill`."""
        begin(self.folder, self.text)
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        real = shutil.which("minified", path=self.slurm.env["PATH"])
        assert real is not None
        marks = shlex.quote(str(tools))
        (tools / "minified").write_text(
            f'#!/bin/sh\nmarks={marks}\necho "$*" >> $marks/verbs\n{self.mishap}\n'
            f'exec {shlex.quote(real)} "$@"\n'
        )
        (tools / "minified").chmod(0o755)
        profile = REPOSITORY / "workflow" / "profiles" / self.profile
        env = os.environ | self.slurm.env | self.env
        env["PATH"] = f"{tools}:{env['PATH']}"
        with (self.folder / "said").open("a") as said:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, str(HERE / "quickly.py")),
                    *("--snakefile", str(REPOSITORY / "Snakefile")),
                    *("--directory", str(self.folder), "--workflow-profile", str(profile)),
                    *self.targets,
                    *self.options,
                    *("--config", "study=config/small.yaml"),
                ],
                cwd=REPOSITORY,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return self

    def end(self) -> "Run":
        """Wait for the end, but not for ever."""
        assert self.process is not None
        for stop in (signal.SIGINT, signal.SIGKILL):
            try:
                self.status = self.process.wait(SECONDS if stop == signal.SIGINT else 20)
                break
            except subprocess.TimeoutExpired:
                self.process.send_signal(stop)
        self.said = (self.folder / "said").read_text()
        return self

    def kill(self) -> None:
        """End the head process as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def wait_for(self, what: Callable[[], object], seconds: int = SECONDS) -> None:
        """Wait until something is so, or the run has ended."""
        assert self.process is not None
        until = time.monotonic() + seconds
        while not what() and self.process.poll() is None:
            assert time.monotonic() < until, (self.folder / "said").read_text()[-3000:]
            time.sleep(0.2)

    @property
    def verbs(self) -> list[str]:
        """The jobs that were begun so far, in their order."""
        try:
            return (self.folder / "tools" / "verbs").read_text().splitlines()
        except OSError:
            return []

    def begun(self, verb: str) -> bool:
        return any(line.startswith(f"{verb} ") for line in self.verbs)

    def recorded(self) -> set[str]:
        """The jobs whose records are whole."""
        place = self.folder / "results" / "small" / "records"
        found = set()
        for file in place.rglob("*.json"):
            try:
                json.loads(file.read_text())
            except ValueError:
                continue
            found.add(file.relative_to(place).with_suffix("").as_posix())
        return found

    def made_as(self, other: Path) -> bool:
        """Whether its targets have the same bytes as in another folder."""
        files = [(self.folder / target, other / target) for target in self.targets]
        return all(one.read_bytes() == two.read_bytes() for one, two in files)
