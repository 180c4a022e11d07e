"""The warm interpreter of a run: imports everything once, and forks a process for each job.

The workflow calls `start`, which leaves the server's address in the environment for the jobs'
`minified` commands (minified.cli.client). A forked process does a job as the command itself would:
the same verb (minified.cli.verbs) with its arguments, folder, umask, environment and streams. It
refuses, and the command does the job, if a source file of the package has changed since the server
started, or if the job asks for other arithmetic than the libraries were loaded under.

Server and jobs follow the run's lock (minified.run.lock), so they end when the run ends, however it
ends. A job also ends when its command does. A job that ends without an answer, since it was killed
or could not write what it printed, is done again by its command, which ends as Python does.

What differs in a forked process: limits (`ulimit`) and variables that Python reads when it starts
(PYTHONHASHSEED) are those of the workflow; and functions which libraries registered with `atexit`
when the server imported them are not run, since they clean up what all jobs share.
"""

import ast
import atexit
import contextlib
import gc
import importlib
import multiprocessing
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import minified
from minified.cli import client
from minified.foundations import arithmetic, bytecode
from minified.foundations.arithmetic import Arithmetic
from minified.foundations.errors import MinifiedError
from minified.run import lock, sources, tasks
from minified.study import studies

_CODE = (
    "import sys; from minified.foundations import bytecode; bytecode.begin();"
    " from minified.cli import server; server.serve(*sys.argv[1:])"
)
_DRAWN_BY = ("matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg")


def start(place: Path, threads: int, kind: Arithmetic, study: str = "") -> None:
    """Start a server for this run's jobs, with its socket at `place`; jobs may come at once.

    `study`: the study as the commands of the jobs name it, to be loaded once for all of them.

    Where there can be none, say so and start none.
    """
    if os.environ.get(client.VARIABLE) == "off":
        without(f"{client.VARIABLE}=off")
    elif sys.platform != "linux":
        without("it is for Linux")
    else:
        try:
            _start(place, threads, kind, study)
        except OSError as error:
            without(f"{place}: {error.strerror or error}")


def on_node(threads: int, kind: Arithmetic, study: str = "") -> None:
    """Start a server for the jobs that one submission has sent to this node of a cluster.

    Its lock and its socket are in a folder of the node's own, where files can be locked, whatever
    the file system is that the nodes share.
    """
    folder = Path(tempfile.mkdtemp(prefix=client.NODE))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lock.hold(folder / "run.lock")
    start(folder / client.SOCKET, threads, kind, study)


def without(reason: str) -> None:
    """Have this run's jobs done without a server, and say why."""
    os.environ.pop(client.VARIABLE, None)
    print(
        f"minified: no warm interpreter, so each job imports its libraries itself: {reason}",
        file=sys.stderr,
        flush=True,
    )


def tunables() -> str:
    """The C library's settings for the server: pages of 2 MB where there are some, since stacks of
    weights take many megabytes; and then the user's own, as the last of two counts.
    """
    return ":".join(filter(None, ["glibc.malloc.hugetlb=1", os.environ.get("GLIBC_TUNABLES")]))


def _start(place: Path, threads: int, kind: Arithmetic, study: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        place.unlink(missing_ok=True)
        listener.bind(str(place))
        place.chmod(0o600)
        listener.listen(512)
        arguments = (str(listener.fileno()), str(threads), kind, study)
        subprocess.Popen(
            # Without -P the working folder's files could stand in for modules.
            [sys.executable, "-P", "-c", _CODE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"GLIBC_TUNABLES": tunables()},
            pass_fds=[listener.fileno()],
            start_new_session=True,  # a terminal's Ctrl-C is for the commands
        )
        os.environ[client.VARIABLE] = f"{place}|{os.getpid()}|{client.identity()}"
        # Not every program can copy a folder that has a socket in it.
        atexit.register(place.absolute().unlink, missing_ok=True)


def serve(number: str, threads: str, kind: Arithmetic, study: str = "") -> None:
    """Be the server of the socket that is open as `number`; return only as a job that is done."""
    lock.follow()
    # Collecting in a fork would copy what it shares with the server.
    gc.disable()
    # Where a library makes itself a folder, as matplotlib does in place of one it cannot write to.
    tempfile.tempdir = str(lock.RECORDS.absolute())
    arithmetic.preload(int(threads), kind)
    for stage in tasks.STAGES.values():
        sources.closure(stage.module)
    own = list(map(Path, bytecode.STATE))
    for file in own:
        sources.digest(file)
    modules = [module.name for module in pkgutil.walk_packages(minified.__path__, "minified.")]
    late = [name for name in modules if name.startswith("minified.analysis.")]
    for name in sorted({*modules, "safetensors.torch"} - {*late}):
        importlib.import_module(name)
    idle = _of_study(study)
    for name in [*late, *_DRAWN_BY]:
        idle.append(partial(importlib.import_module, name))
    job = _Job(_accepted(socket.socket(fileno=int(number)), idle))
    if all(map(sources.unchanged, own)):
        job.do()
    else:
        job.refuse("a source file has changed since the run began")


def _of_study(study: str) -> list[Callable[[], object]]:
    """Load the study, if it can be loaded; return what is then left to be found out about it.

    With many specifications, that costs a job more than its own work does.
    """
    if not study:
        return []
    try:
        loaded = studies.load(study, keep=True)
    except (MinifiedError, OSError):  # the jobs will say so
        return []
    return [partial(tasks.share, loaded, name) for name in loaded.specified]


def _accepted(listener: socket.socket, idle: list[Callable[[], object]]) -> socket.socket:
    """Fork a process for each command that connects; return its connection, in that process.

    `idle`: what only later jobs gain by, done when there is nothing else to do.
    """
    while True:
        while idle and not select.select([listener], [], [], 0)[0]:
            idle.pop(0)()
        command, _ = listener.accept()
        if client.peer(command)[1] != os.geteuid():
            command.close()
            continue
        with contextlib.suppress(ChildProcessError):  # there are no more jobs that have ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        gc.freeze()
        with contextlib.suppress(OSError):  # there can be no more processes
            if os.fork() == 0:
                listener.close()
                return command
        command.close()


class _Job:
    """The job of one command, in the process that was forked for it."""

    def __init__(self, command: socket.socket) -> None:
        self._command = command
        self._answer = ""
        # Runs after the functions that the job registers, and ends before the libraries' own.
        atexit.register(self._leave)
        # Else the command would wait for processes that a killed job has left.
        os.register_at_fork(after_in_child=command.close)

    def refuse(self, reason: str) -> None:
        """Leave the job to its command, which is told why."""
        self._answer = f"{client.REFUSAL}{reason}"

    def do(self) -> None:
        """Run the verb; its exception passes on, so that Python ends as it always does."""
        self._take_over()
        threading.Thread(target=self._end_with_command, daemon=True).start()
        try:
            from minified.cli import verbs

            verbs.main()
        except arithmetic.OtherPinsError:
            self.refuse("the job asks for other threads or arithmetic than the run's")
        except SystemExit as end:
            # True and False are statuses as well, and any other object is 1.
            status = end.code if isinstance(end.code, int) else end.code is not None
            self._answer = str(int(status))
            raise
        except Exception:
            self._answer = "1"
            raise

    def _take_over(self) -> None:
        """Make this process what the command's own would have been."""
        import numpy as np

        job, streams, _, _ = socket.recv_fds(self._command, 1 << 22, 3, socket.MSG_CMSG_CLOEXEC)
        folder, umask, sys.argv[:], environment = ast.literal_eval(job.decode())
        os.chdir(folder)
        os.umask(umask)
        os.environb.clear()
        os.environb.update(environment)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
        tempfile.tempdir = None
        np.random.seed()  # else all jobs would draw the same, as only `random` knows of forks
        gc.enable()

    def _end_with_command(self) -> None:
        with contextlib.suppress(OSError):
            self._command.recv(1)  # nothing is sent: it returns when the command is gone
        os.kill(os.getpid(), signal.SIGKILL)

    def _leave(self) -> None:
        """Answer and end, without Python's last step.

        Taking torch and pandas apart, object by object, would take 0.3 to 0.6 s and copy the memory
        that is shared with the server; the system frees it anyway.
        """
        for child in multiprocessing.active_children():
            if child.daemon:
                child.terminate()
            child.join()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            if self._answer:
                self._command.send(self._answer.encode())
        os._exit(0)
