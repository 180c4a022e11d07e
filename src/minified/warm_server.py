"""The warm interpreter of a run: imports everything once and forks a process per job.

`start` is called by the workflow and leaves the server's address in its environment, where the
jobs' `minified` commands find it (minified.warm). The server belongs to its run: it ends when the
workflow's process ends, however that ends, and its jobs end with it. A job in a forked process is
the same job: the same command line interface in the same folder and environment, on the same
streams. If the package's source files have changed since the server started, or the job asks for
other arithmetic than the libraries were loaded under, it starts over as an interpreter of its own.
What differs: limits (`ulimit`) and variables that Python reads when it starts (PYTHONHASHSEED) are
those of the workflow.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import logging
import multiprocessing.util
import os
import pkgutil
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from minified import arithmetic, warm
from minified.arithmetic import Arithmetic

# As many jobs may wait for the server to be ready.
_BACKLOG = 512
_CODE = "import sys; from minified import warm_server; warm_server.serve(*sys.argv[1:])"
# What matplotlib imports when it draws.
_DRAWN_BY = tuple(f"matplotlib.backends.backend_{kind}" for kind in ("agg", "pdf", "svg"))
_PR_SET_PDEATHSIG = 1
# What Python ends with if it cannot write what was printed.
_UNWRITTEN = 120


def start(threads: int, kind: Arithmetic) -> None:
    """Start a server for this process's jobs, if there can be one; jobs may come at once."""
    if sys.platform != "linux" or os.environ.get(warm.VARIABLE) == "off":
        return
    try:
        folder = tempfile.mkdtemp(prefix="minified-warm-")
    except OSError:
        return
    place = f"{folder}/socket"
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(place)
            listener.listen(_BACKLOG)
            number = listener.fileno()
            arguments = (str(number), folder, str(threads), kind)
            server = subprocess.Popen(
                # Without -P the working folder's files could stand in for modules.
                [sys.executable, "-P", "-c", _CODE, *arguments],
                # Nothing is written to it: its end tells the server that this process has ended.
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[number],
                # A terminal's Ctrl-C reaches the jobs through their commands alone.
                start_new_session=True,
            )
        os.environ[warm.VARIABLE] = f"{place}|{warm.identity()}"
    except OSError:
        # As where TMPDIR is too long for a socket's name.
        shutil.rmtree(folder, ignore_errors=True)
        return
    atexit.register(_stop, server, folder)


def _stop(server: "subprocess.Popen[bytes]", folder: str) -> None:
    server.kill()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)


def serve(listener: str, folder: str, threads: str, kind: Arithmetic) -> NoReturn:
    """Be the server: of the socket with the number `listener`, until standard input ends."""
    pins = (int(threads), kind)
    # Collecting in a fork would copy what it shares with the server.
    gc.disable()
    # Where a library makes itself a folder, as matplotlib does in place of one it cannot write to.
    tempfile.tempdir = folder
    sources = _dated(Path(__file__).parent.rglob("*.py"))
    arithmetic.fix(*pins)
    _Server(socket.socket(fileno=int(listener)), Path(folder), pins, sources).run()


def _dated(files: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Date and size of each file that exists."""
    found = {}
    for file in files:
        with contextlib.suppress(OSError):
            stat = file.stat()
            found[file] = stat.st_mtime_ns, stat.st_size
    return found


def _modules(*packages: str) -> Iterator[str]:
    for package in packages:
        path = importlib.import_module(f"minified.{package}").__path__
        yield from (f"minified.{package}.{module.name}" for module in pkgutil.iter_modules(path))


@dataclass(frozen=True)
class _Request:
    """What a job is: as minified.warm packs it."""

    folder: bytes
    umask: int
    arguments: list[str]
    command: list[bytes]
    environment: dict[bytes, bytes]

    @classmethod
    def read(cls, body: bytes) -> "_Request":
        fields = iter(body.split(b"\0"))
        folder, umask = next(fields), int(next(fields))
        arguments = [os.fsdecode(next(fields)) for _ in range(int(next(fields)))]
        command = [next(fields) for _ in range(int(next(fields)))]
        pairs = (field.partition(b"=") for field in fields)
        return cls(folder, umask, arguments, command, {key: value for key, _, value in pairs})


class _Job:
    """One command's connection, from the first byte of its request to its job's exit status."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.process: int | None = None
        self._streams: list[int] = []
        self._received = b""

    def receive(self) -> bool:
        """Take what the command sent; False if it is gone."""
        try:
            received, streams, _, _ = socket.recv_fds(
                self.connection, 1 << 16, 3, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += received
        self._streams += streams
        return bool(received)

    def request(self) -> bytes | None:
        """What the job is, once it is there as a whole."""
        start = warm.LENGTH_BYTES
        end = start + int.from_bytes(self._received[:start], "big")
        if not start < end <= len(self._received):
            return None
        body, self._received = self._received[start:end], self._received[end:]
        return body

    def pass_signals(self) -> None:
        """Hand on the signals that the command got."""
        assert self.process is not None
        for number in self._received:
            # The process was not waited for, so that its number is not another's.
            with contextlib.suppress(OSError):
                os.kill(self.process, number)
        self._received = b""

    def take_streams(self) -> None:
        """Make the command's standard streams those of this process."""
        for number, stream in enumerate(self._streams):
            os.dup2(stream, number)
        self.close_streams()

    def close_streams(self) -> None:
        while self._streams:
            os.close(self._streams.pop())

    def close(self) -> None:
        """Let go of the connection and, if none was started, of the job."""
        self.close_streams()
        self.connection.close()


class _Server:
    """A single thread: all that happens, happens in one order, and forking is safe."""

    def __init__(
        self,
        listener: socket.socket,
        folder: Path,
        pins: tuple[int, Arithmetic],
        sources: dict[Path, tuple[int, int]],
    ) -> None:
        self._listener = listener
        self._folder = folder
        self._pins = pins
        self._sources = sources
        self._process = os.getpid()
        self._libc = ctypes.CDLL(None)
        self._jobs: list[_Job] = []
        self._needed = ["minified.cli", *_modules("jobs", "criteria")]
        self._needed += ["minified.provenance", "safetensors.torch"]
        # The jobs that need these come last: they are imported when there is nothing else to do.
        self._wanted = [*_modules("analysis"), *_DRAWN_BY, "fontTools.subset"]
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for end in (self._listener, self._woken, self._waker):
            end.setblocking(False)

    def run(self) -> NoReturn:
        """Import what jobs need, then serve."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno())
        self._heed(self._woken, self._reap)
        self._heed(sys.stdin.fileno(), self._end)
        while True:
            waiting = self._needed or self._wanted
            happened = self._selector.select(0 if waiting else None)
            for key, _ in happened:
                key.data()
            if waiting and not happened:
                self._import(waiting)

    def _import(self, waiting: list[str]) -> None:
        # A job that needs a module which cannot be imported tells of it itself.
        with contextlib.suppress(Exception):
            importlib.import_module(waiting.pop(0))
        if waiting is self._needed and not waiting:
            self._heed(self._listener, self._accept)

    def _heed(self, source: socket.socket | int, action: Callable[[], object]) -> None:
        self._selector.register(source, selectors.EVENT_READ, action)

    def _end(self) -> NoReturn:
        """The run is over, and with this process its jobs end."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(0)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:  # too many open files, until a job ends
            time.sleep(0.01)
            return
        connection.setblocking(False)
        job = _Job(connection)
        self._jobs.append(job)
        self._heed(connection, partial(self._listen, job))

    def _listen(self, job: _Job) -> None:
        """A command said something: what its job is, a signal, or that it is gone."""
        if job not in self._jobs:
            return
        if not job.receive():
            self._forget(job)
            return
        if job.process is None and (body := job.request()) is not None:
            self._fork(job, body)
        if job.process is not None:
            job.pass_signals()

    def _forget(self, job: _Job) -> None:
        """A command without its job, or a job without its command: neither has the other's use."""
        if job.process is not None:
            os.kill(job.process, signal.SIGKILL)
        self._drop(job)

    def _drop(self, job: _Job) -> None:
        self._jobs.remove(job)
        self._selector.unregister(job.connection)
        job.close()

    def _reap(self) -> None:
        """Tell the commands whose jobs have ended how they ended."""
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(1 << 12):
                pass
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for job in [job for job in self._jobs if job.process == ended[0]]:
                    with contextlib.suppress(OSError):
                        job.connection.send(b"%d" % os.waitstatus_to_exitcode(ended[1]))
                    self._drop(job)

    def _fork(self, job: _Job, body: bytes) -> None:
        gc.freeze()
        try:
            job.process = os.fork()
        except OSError:
            self._drop(job)  # its command does it
            return
        if job.process == 0:
            self._be(job, body)
        job.close_streams()

    def _be(self, job: _Job, body: bytes) -> NoReturn:
        """In the new process: be the job, and nothing of the server any more."""
        try:
            self._libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
            if os.getppid() != self._process:
                os._exit(1)
            # Whatever it does to its process group, it does to itself.
            os.setsid()
            self._let_go(job)
            request = _Request.read(body)
            _take_over(job, request)
            start_over = partial(_start_over, job, request)
            if _dated(self._sources) != self._sources:
                start_over()
            arithmetic.loaded(self._pins, start_over)
            _leave(_perform())
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _let_go(self, job: _Job) -> None:
        """Close what is the server's. The job's connection stays open, see minified.warm."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for other in self._jobs:
            if other is not job:
                other.close()
        for own in (self._listener, self._woken, self._waker, self._selector):
            own.close()


def _take_over(job: _Job, request: _Request) -> None:
    """Make this process what the command's own would have been."""
    job.take_streams()
    os.chdir(request.folder)
    os.umask(request.umask)
    os.environb.clear()
    os.environb.update(request.environment)
    sys.argv[:] = request.arguments
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _stream(number, getattr(sys, name))
        vars(sys).update({name: stream, f"__{name}__": stream})
    tempfile.tempdir = None
    # What libraries would do at the server's end, each job would do to all others.
    atexit._clear()
    for function in (logging.shutdown, multiprocessing.util._exit_function):  # type: ignore[attr-defined]
        atexit.register(function)
    gc.enable()
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed()  # else all jobs would draw the same, as only `random` knows of forks


def _stream(number: int, like: io.TextIOWrapper) -> io.TextIOWrapper:
    """A standard stream as Python makes it when it starts."""
    return io.TextIOWrapper(
        open(number, "wb" if number else "rb", closefd=False),
        like.encoding,
        like.errors,
        newline="\n",
        line_buffering=number == 2 or os.isatty(number) or like.write_through,
    )


def _start_over(job: _Job, request: _Request) -> NoReturn:
    """Replace this process by the command on its own: its libraries were loaded otherwise."""
    os.environ.pop(warm.VARIABLE, None)
    os.set_inheritable(job.connection.fileno(), True)
    os.execv(sys.executable, request.command)


def _perform() -> int:
    """Run the verb; the exit status that Python would end with, or -N if by signal N."""
    try:
        from minified.cli import main

        main()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _leave(status: int) -> NoReturn:
    """End this process as Python does, but for one thing.

    Taking torch and pandas apart, object by object, would take 0.3 to 0.6 s and copy the memory
    that is shared with the server; the system frees it anyway.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, KeyboardInterrupt) as error:
            print(f"Exception ignored in: {stream!r}\n{error!r}", file=sys.stderr)
            status = _UNWRITTEN
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
