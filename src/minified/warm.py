"""The `minified` command: a job is done by its run's warm interpreter, or else on its own.

Most of a small job's time goes into importing torch. The workflow therefore starts one server
(minified.warm_server) that has imported everything and forks a process per job; this module is all
that the command itself loads. It passes the job on (arguments, working folder, umask, environment
and the three standard streams), hands on signals, and ends as the job ends. A job that no server
of the same interpreter and package answers starts on its own, and does the same.

`MINIFIED_WARM=off snakemake ...` runs a study without a server.
"""

import os
import signal
import socket
import sys
from types import FrameType

VARIABLE = "MINIFIED_WARM"
"""Names the server's socket and what it serves, as socket|identity; `off`: start none."""

LENGTH_BYTES = 4
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
FORWARDED = (*_ENDING, signal.SIGTSTP, signal.SIGCONT)


def main() -> None:
    """Entry point of the command: do what `minified.cli.main` does, and end as it would end."""
    status = _handed_over()
    if status is None:
        from minified.cli import main as on_its_own

        on_its_own()
    elif status < 0:
        _die_by(-status)
    else:
        sys.exit(status)


def identity() -> str:
    """What must be the same on both sides: this package, its interpreter, and where it looks.

    The interpreter's inode differs between a machine and a container that have the same paths;
    the date is that of this protocol, should its file be edited while a run goes on.
    """
    # pathlib would take as long to import as all the rest.
    interpreter = os.stat(sys.executable or "")  # noqa: PTH116
    return "|".join(
        (
            f"{__file__} {os.stat(__file__).st_mtime_ns}",  # noqa: PTH116
            f"{sys.prefix} {interpreter.st_dev}:{interpreter.st_ino}",
            os.environ.get("PYTHONPATH", ""),
        )
    )


def _handed_over() -> int | None:
    """The exit status of the job as done by the server, -N if signal N killed it; None if not."""
    place, _, served = os.environ.get(VARIABLE, "").partition("|")
    # `verify` is a run, not a job: it takes no part in another run, and may outlive it.
    if not served or "verify" in sys.argv:
        return None
    with socket.socket(socket.AF_UNIX) as server:
        try:
            # With a closed standard stream the socket would take its number.
            if served != identity() or server.fileno() <= 2:
                return None
            message = _request()
            server.connect(place)
            sent = socket.send_fds(server, [message], [0, 1, 2])
            server.sendall(message[sent:])
        except OSError:
            return None
        return _result(server)


def _request() -> bytes:
    """All that makes this job, as its length and fields that end with a zero byte."""
    umask = os.umask(0)
    os.umask(umask)
    fields = [os.getcwdb(), b"%d" % umask]  # noqa: PTH109
    for arguments in (sys.argv, sys.orig_argv):
        fields += [b"%d" % len(arguments), *map(os.fsencode, arguments)]
    fields += [b"%s=%s" % item for item in os.environb.items()]
    body = b"\0".join(fields)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def _result(server: socket.socket) -> int | None:
    """Wait for the job's exit status, passing on signals; None if the server is gone.

    The job holds the other end of `server`, too: no word and its end means that both are gone, so
    that the job may be done again. What it wrote, it wrote whole or not at all.
    """
    passed: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        passed.append(number)
        # The job has no terminal that could continue it, and so would take no SIGTSTP.
        told = signal.SIGSTOP if number == signal.SIGTSTP else number
        try:
            server.send(bytes([told]))
        except OSError:
            return
        if told == signal.SIGSTOP:
            os.kill(os.getpid(), signal.SIGSTOP)

    taken = [n for n in FORWARDED if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in taken}
    try:
        said = server.recv(16)
    except OSError:
        said = b""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if said:
        return int(said)
    for signalled in passed:
        if signalled in _ENDING:
            os.kill(os.getpid(), signalled)
    return None


def _die_by(number: int) -> None:
    """End as the job ended, so that a shell sees the same."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
