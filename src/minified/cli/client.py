"""The `minified` command hands its job to the run's warm interpreter, or else does it here.

Most of a small job's time goes into importing torch, so the workflow starts one server
(minified.cli.server) that has imported it. This module is all that a command of such a run loads.
A job that no server takes, as on another machine, under an edited source file or without a run, is
done by the command itself, to the same bytes; its log then says why. The verbs are in
minified.cli.verbs.

`MINIFIED_WARM=off snakemake ...` runs a study without a server.
"""

import os
import socket
import sys

VARIABLE = "MINIFIED_WARM"
"""Names the server's socket, who listens there and for whom: socket|process|identity; `off`: start
none."""

NODE, SOCKET = "minified-node-", "run.socket"
"""On a cluster's node the socket is in a temporary folder, whose name begins so."""

REFUSAL = "!"
"""Begins an answer that says why a job was refused; any other is the job's exit status."""


def main() -> None:
    """Entry point of the command: end with the status of the job, wherever it is done."""
    done = _handed_over()
    if isinstance(done, str):
        from minified.foundations import bytecode

        bytecode.begin()
        from minified.cli import verbs

        verbs.main(done)
    else:
        sys.exit(done)


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


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end: who called `listen` there, or who connected."""
    who = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(who[:4], sys.byteorder), int.from_bytes(who[4:8], sys.byteorder)


def _handed_over() -> int | str:
    """The exit status of the job as done by the server; or why the server did not do it, if any.

    The job's process has the only other end of the connection. If that ends without an answer, the
    job was killed, and can be done again: what it wrote, it wrote whole or not at all.
    """
    place, _, rest = os.environ.get(VARIABLE, "").partition("|")
    process, _, served = rest.partition("|")
    # `verify` is a run, not a job: it takes no part in another run, and may outlive it.
    if not served or "verify" in sys.argv or sys.platform != "linux":
        return ""
    folder, _, name = place.rpartition("/")
    of_run = folder == ".snakemake" and name.startswith("minified-") and name.endswith(".socket")
    of_node = folder.rpartition("/")[2].startswith(NODE) and name == SOCKET
    if not (of_run or of_node):
        return "its address is not one of this folder"
    umask = os.umask(0)
    os.umask(umask)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        try:
            if served != identity():
                return "the command has another interpreter, package or PYTHONPATH"
            if server.fileno() <= 2:  # the socket took its number
                return "a standard stream of the command is closed"
            # As literals, since json would take as long to import as all the rest, too.
            job = ascii((os.getcwdb(), umask, sys.argv, dict(os.environb)))  # noqa: PTH109
            server.connect(place)
            # An old address may by now be another's. Whoever it is gets nothing.
            if peer(server) != (int(process), os.geteuid()):
                return "another process listens at its address"
            socket.send_fds(server, [job.encode()], [0, 1, 2])
            answer = server.recv(256).decode()
        except OSError as error:
            return f"it does not answer ({error.strerror or error})"
        except ValueError:
            return "its address names no process"
    if answer.startswith(REFUSAL):
        return answer.removeprefix(REFUSAL)
    return int(answer) if answer else "it did not finish the job"
