"""One run of a study per folder, and no job that outlives its run.

While it runs, the workflow holds a lock of the operating system on a file beside Snakemake's own
records. The system releases the lock when the process ends, however it ends, so neither a kill nor
a power cut leaves anything locked. (Snakemake's own lock is a file, which a kill does leave behind;
the default profile turns it off.) Jobs wait for the same lock in the background. When they get it,
their run is dead, and they end themselves before the next run starts the same jobs again.

Some file systems lock nothing, or only among the processes of one machine. So the file also says
who holds the lock, and its date is renewed as long as that run lives (minified.run.heartbeat).
"""

import atexit
import contextlib
import fcntl
import json
import os
import platform
import signal
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from minified.foundations import files
from minified.foundations.errors import BusyError, StudyError
from minified.run import heartbeat, leftovers
from minified.run.edits import edit
from minified.study.paths import Paths

if TYPE_CHECKING:
    from minified.study.studies import Study

RECORDS = Path(".snakemake")
_VARIABLE = "MINIFIED_RUN"
# Jobs of a dead run need a moment to notice.
_PATIENCE_SECONDS = 5.0

_held: list[IO[str]] = []


def hold(lock: Path) -> None:
    """Take `lock` for the life of this process.

    Raises:
        BusyError: another live run holds it; the message names the process.
    """
    if _held:
        return  # Snakemake may read a workflow more than once
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = open(lock, "a+", encoding="utf-8")  # noqa: SIM115 (held open)
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
            break
        except BlockingIOError:
            holder = _read(file)
            if _lives(holder) or time.monotonic() > until:
                raise _busy(holder) from None
            time.sleep(0.05)
        except OSError:  # nothing can be locked here
            locked = False
            break
    before = _read(file)
    # Even where this machine can lock the file, another one may not see that.
    if heartbeat.beats(lock, before, locked=locked):
        raise _busy(before)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}, run {time.time_ns()}\n")
    file.flush()
    os.fsync(file.fileno())
    own = _read(file)
    if not locked and heartbeat.overtaken(lock, own):
        raise _busy(_read(file))
    _held.append(file)
    os.environ[_VARIABLE] = f"{own}|{lock.absolute()}"
    heartbeat.begin(lock.absolute(), own)


def _busy(holder: str) -> BusyError:
    return BusyError(
        f"another run of this study is working in {Path.cwd()} ({holder or 'unknown'}); wait until"
        " it has ended or stop it, then run again"
    )


def place(study: str) -> Path:
    """The lock of a study; what else a run keeps lies beside it, with another suffix."""
    return RECORDS / f"minified-{study}.lock"


def begin(study: "Study", paths: Paths) -> None:
    """Begin a real run of a study: take its lock, clean up what a killed run left behind, and note
    the study as it is now.

    Raises:
        BusyError: another run of the study is working here.
    """
    hold(place(paths.study))
    leftovers.sweep(place(paths.study), paths)
    note = {"run": os.environ[_VARIABLE], "study": study.plain}
    file = _note(study).absolute()
    files.write_text(file, json.dumps(note) + "\n", checksum=False)
    atexit.register(file.unlink, missing_ok=True)


def check(study: "Study") -> None:
    """Refuse a study that is not as it was when the run began that started this process.

    Raises:
        StudyError: names the study's file and the setting.
    """
    if not follows_a_run():
        return
    try:
        note = json.loads(_note(study).read_bytes())
        began = note["study"] if note["run"] == os.environ[_VARIABLE] else study.plain
    except (OSError, ValueError, KeyError, TypeError):
        return  # on another machine, or without hooks: nothing is known of the run's beginning
    if difference := edit(began, study.plain):
        raise StudyError(
            f"{study.file}: was edited after its run began: {difference}; when this run has ended,"
            " run again"
        )


def _note(study: "Study") -> Path:
    """Where a run notes the study as it was when the run began."""
    return place(study.name).with_suffix(".json")


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip()


def _lives(holder: str) -> bool:
    """Whether the process that `holder` names is running on this machine; False if unknown."""
    process, node = heartbeat.named(holder)
    return node == platform.node() and process is not None and files.alive(process)


def follows_a_run() -> bool:
    """Whether a run started this process, rather than a person."""
    return _VARIABLE in os.environ


def follow() -> None:
    """End this process when the run that started it dies, and keep its temporary files where the
    next run finds them; do nothing if no run started it.
    """
    run, _, lock = os.environ.get(_VARIABLE, "").partition("|")
    # A job on another machine may not see this machine's locks.
    if lock and f" on {platform.node()}," in run:
        leftovers.collect(Path(lock))
        threading.Thread(target=_end_with, args=(run, Path(lock)), daemon=True).start()


def _end_with(run: str, lock: Path) -> None:
    with contextlib.suppress(OSError), open(lock, encoding="utf-8") as file:
        if _read(file) == run:
            try:
                fcntl.flock(file, fcntl.LOCK_SH)
            except OSError:  # nothing can be locked here
                heartbeat.wait(run)
        os.kill(os.getpid(), signal.SIGKILL)
