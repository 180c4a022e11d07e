"""The `minified` command hands its job to the run's warm interpreter, or else does it here.

Most of a small job's time goes into importing torch, so the workflow starts one server
(minified.cli.server) that has imported it. This module is all that a command of such a run loads.
A job that no server takes, as on another machine, under an edited source file or without a run, is
done by the command itself, to the same bytes. The verbs are in minified.cli.verbs.

`MINIFIED_WARM=off snakemake ...` runs a study without a server.
"""

import os
import socket
import sys

VARIABLE = "MINIFIED_WARM"
"""Names the server's socket and what it serves, as socket|identity; `off`: start none."""


def main() -> None:
    """Entry point of the command: end with the status of the job, wherever it is done."""
    status = _handed_over()
    if status is None:
        from minified.cli import verbs

        verbs.main()
    else:
        sys.exit(status)


def identity() -> str:
    """What server and command must share: this package, its interpreter, and where it looks.

    The interpreter's inode differs between a machine and a container that have the same paths;
    the date is that of this protocol, should its file be edited during a run.
    """
    # pathlib would take as long to import as all the rest.
    package, interpreter = os.stat(__file__), os.stat(sys.executable or "")  # noqa: PTH116
    return (
        f"{__file__} {package.st_mtime_ns}|{os.environ.get('PYTHONPATH', '')}"
        f"|{sys.prefix} {interpreter.st_dev}:{interpreter.st_ino}"
    )


def _handed_over() -> int | None:
    """The exit status of the job as done by the server; None if the server did not do it.

    The job's process has the only other end of the connection. If that ends without an answer, the
    job was refused or killed, and can be done again: what it wrote, it wrote whole or not at all.
    """
    place, _, served = os.environ.get(VARIABLE, "").partition("|")
    # `verify` is a run, not a job: it takes no part in another run, and may outlive it.
    if not served or "verify" in sys.argv:
        return None
    umask = os.umask(0)
    os.umask(umask)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        try:
            # With a closed standard stream the socket would take its number.
            if served != identity() or server.fileno() <= 2:
                return None
            # As literals, since json would take as long to import as all the rest, too.
            job = ascii((os.getcwdb(), umask, sys.argv, dict(os.environb)))  # noqa: PTH109
            server.connect(place)
            socket.send_fds(server, [job.encode()], [0, 1, 2])
            answer = server.recv(16)
        except OSError:
            return None
    return int(answer) if answer else None
