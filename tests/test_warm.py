"""A job done by the warm interpreter is the job on its own: alike in all that it does and suffers.

Jobs that wait are jobs whose standard output is a full pipe.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import SMALL, STUDY, begin, minified, published, snakemake
from minified.cli import client, server
from minified.run.clock import Spent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="servers are for Linux")

COMMAND = [sys.executable, "-c", "from minified.cli import main; main()"]
CHECK = ("check", "config/small.yaml")
with tempfile.TemporaryDirectory() as _folder:
    CHECKED = minified(begin(Path(_folder)), *CHECK).stdout.encode()
SOCKET = ".snakemake/minified-small.socket"
RUN = """
import os, sys
from pathlib import Path
from minified.cli import server
from minified.run import lock
lock.hold(lock.RECORDS / "minified-small.lock")
server.start(Path(sys.argv[1]), 1, "portable")
print(os.environ.get("MINIFIED_RUN"), os.environ.get("MINIFIED_WARM"), sep="\\t", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True, scope="module")
def _interruptible() -> Iterator[None]:
    """Tests that a shell started in the background inherit that interruptions are ignored."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        # `nohup` makes tests inherit that hang-ups are ignored.
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def children(process: int) -> set[int]:
    return {int(p) for p in Path(f"/proc/{process}/task/{process}/children").read_text().split()}


def writers(run: "Run", pipe: int) -> set[int]:
    """The server's jobs whose standard output is `pipe`; libraries start processes, too."""
    jobs = set()
    for process in children(run.server):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}/fd/1").stat().st_ino == os.fstat(pipe).st_ino:
                jobs.add(process)
    return jobs


def gone(process: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(") ")[2][0] in "ZX"


def eventually(true: Callable[[], Any]) -> Any:
    until = time.monotonic() + 30
    while not (value := true()):
        assert time.monotonic() < until, "does not happen"
        time.sleep(0.01)
    return value


@dataclass
class Run:
    """A process that has a server, as the workflow's process has."""

    process: "subprocess.Popen[str]"
    folder: Path
    following: dict[str, str]
    """What its jobs have in their environment that end with it."""
    address: str
    """What its jobs have in their environment to find the server."""
    server: int

    @property
    def socket(self) -> Path:
        return self.folder / SOCKET

    def reach(self, folder: Path) -> None:
        """Have the run's records in `folder`, for the jobs there to find the server in them."""
        if not (folder / ".snakemake").exists():
            (folder / ".snakemake").symlink_to(self.folder / ".snakemake")


@contextlib.contextmanager
def running(folder: Path, **environment: str) -> Iterator[Run]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, SOCKET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        cwd=folder,
    )
    assert process.stdout is not None
    try:
        run, address = process.stdout.readline().rstrip("\n").split("\t")
        assert address.startswith(f"{SOCKET}|{process.pid}|")
        child = eventually(lambda: children(process.pid)).pop()
        yield Run(process, folder, {"MINIFIED_RUN": run}, address, child)
    finally:
        process.communicate()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run whose server outlives the test."""
    with running(tmp_path_factory.mktemp("run")) as one:
        yield one
        assert not gone(one.server)
    eventually(lambda: gone(one.server))


def environment(folder: Path, run: Run | str | None) -> dict[str, str]:
    if isinstance(run, Run):
        run.reach(folder)
        run = run.address
    return os.environ | {client.VARIABLE: run or "", "COLUMNS": "100"}


def job(
    folder: Path, run: Run | str | None, *arguments: str | bytes, **how: Any
) -> "subprocess.CompletedProcess[bytes]":
    """A verb in `folder`, by the server of `run` or on its own."""
    more: dict[str, str] = how.pop("env", {})
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(folder, run) | more,
        capture_output="stdout" not in how,
        timeout=120,
        **how,
    )


class Waiting:
    """A job of `run` that cannot end before someone reads what it prints."""

    def __init__(self, run: Run, folder: Path, **more: str) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * 4096)
        os.set_blocking(writer, True)
        self.command = subprocess.Popen(
            [*COMMAND, *CHECK],
            stdout=writer,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment(folder, run) | more,
        )
        os.close(writer)
        self.process = eventually(lambda: writers(run, self._reader)).pop()

    def printed(self) -> bytes:
        """Read, so that it can end; what it printed."""
        with os.fdopen(self._reader, "rb") as file:
            return file.read().lstrip(b".")

    def ended(self) -> int:
        """Its command's exit status."""
        return self.command.wait(timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return begin(tmp_path, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        CHECK,
        ("check", "config/bad.yaml"),
        ("check", "no\nsuch 'study' ü \\", ""),
        ("check", b"\xff\xfe"),
        ("check", "--nonsense"),
        ("retrain", "config/small.yaml", "--regime", "none"),
        ("train", "config/small.yaml"),
        ("retrain", "--help"),
        (),
    ],
    ids=str,
)
def test_a_verb_prints_and_returns_the_same(
    run: Run, folder: Path, arguments: tuple[str | bytes, ...]
) -> None:
    (folder / "config" / "bad.yaml").write_text(SMALL.replace("0.75", "1.75"))
    alone, warm = job(folder, None, *arguments), job(folder, run, *arguments)
    assert (warm.returncode, warm.stdout, warm.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )
    good = arguments[-1:] in (("config/small.yaml",), ("--help",)) and arguments[0] != "train"
    assert (warm.returncode == 0) == good


@pytest.mark.slow
def test_the_same_files_are_written(run: Run, tmp_path: Path) -> None:
    text = SMALL.replace("criteria: [magnitude, obd_sd]", "criteria: [random]")
    verbs = (["prepare"], ["train"], ["score", "--method", "parameter-random"])
    written = []
    for kind in (run, None):
        folder = begin(tmp_path / ("warm" if kind else "alone"), text)
        for verb in verbs:
            done = job(folder, kind, verb[0], "config/small.yaml", *verb[1:])
            assert done.returncode == 0, done.stderr.decode()
        files = [file for file in folder.rglob("results/**/*") if file.is_file()]
        written.append({file.relative_to(folder): file.read_bytes() for file in files})
    assert len(written[0]) > 3
    assert written[0] == written[1]


def test_folder_umask_environment_and_standard_input_are_the_commands_own(
    run: Run, folder: Path
) -> None:
    assert job(folder, run, "prepare", "config/small.yaml", umask=0o077).returncode == 0
    assert (folder / "results/small/data.safetensors").stat().st_mode & 0o777 == 0o600
    narrow = [job(folder, kind, "--help", env={"COLUMNS": "50"}).stdout for kind in (run, None)]
    assert narrow[0] == narrow[1] != job(folder, run, "--help").stdout
    (folder / "stdin.yaml").symlink_to("/dev/stdin")
    with open(folder / "config" / "small.yaml", "rb") as file:
        read = job(folder, run, "check", "stdin.yaml", stdin=file)
    assert read.stdout == CHECKED.replace(b"config/small", b"stdin")


ENDS = {
    "a status": "sys.exit(7)",
    "a status of nine bits": "sys.exit(257)",
    "words": "sys.exit('a reason')",
    "an error": "raise ValueError('unforeseen')",
    "a function for the end": "atexit.register(print, 'bye'); sys.exit()",
    "an interruption": "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
    "a kill": "os.kill(os.getpid(), signal.SIGKILL)",
    "a thread": "threading.Timer(0.3, print, ['late']).start(); sys.exit()",
    "a pool of threads": "sys.pool = ThreadPoolExecutor(); sys.pool.submit(abs, 1); sys.exit(3)",
    "a process": "Process(target=time.sleep, args=[1000], daemon=True).start(); sys.exit(3)",
}
SCORE = ("score", "config/small.yaml", "--method", "parameter-own")


@pytest.fixture(scope="module")
def trained(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a criterion of one's own, `own`, can be asked for scores."""
    text = SMALL.replace("criteria: [magnitude, obd_sd]", "criteria: [own]")
    text += "criteria:\n  own: {file: own.py, levels: [parameter]}\n"
    folder = begin(tmp_path_factory.mktemp("trained"), text)
    write_criterion(folder, "pass")
    for verb in ("prepare", "train"):
        assert job(folder, run, verb, "config/small.yaml").returncode == 0
    return folder


def write_criterion(folder: Path, body: str) -> None:
    (folder / "config" / "own.py").write_text(
        "import atexit, os, random, signal, sys, tempfile, threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from multiprocessing import Process\n\n"
        "import numpy as np\nimport torch\n\n"
        "def own(level, network, inputs, targets, generator):\n" + textwrap.indent(body, "    ")
    )


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_a_job_ends_as_it_would_on_its_own(run: Run, trained: Path, end: str) -> None:
    write_criterion(trained, ENDS[end])
    alone, warm = (job(trained, kind, *SCORE) for kind in (None, run))
    assert warm.returncode == alone.returncode
    assert warm.stdout == alone.stdout
    assert warm.stderr.splitlines()[-1:] == alone.stderr.splitlines()[-1:]


def test_output_that_cannot_be_written_is_a_failure(run: Run, folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        statuses = [job(folder, kind, *CHECK, stdout=full).returncode for kind in (None, run)]
    assert statuses[0] == statuses[1] != 0


def test_a_job_with_other_pins_than_the_servers_is_done_by_its_command(
    run: Run, trained: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(
        trained, tmp_path / "other", ignore=shutil.ignore_patterns(".snakemake")
    )
    write_criterion(
        folder,
        "print('minified.cli.server' in sys.modules, torch.get_num_threads())\n"
        "return {f'{name}.weight': layer.weight.detach().abs() for name, layer in"
        " network.named_children() if hasattr(layer, 'weight')}",
    )
    assert set(job(folder, run, *SCORE).stdout.splitlines()) == {b"True 1"}
    with open(folder / "config" / "small.yaml", "a") as study:
        study.write("threads: 2\n")
    assert job(folder, None, "train", "config/small.yaml").returncode == 0
    *said, done = job(folder, run, *SCORE, env=run.following).stdout.splitlines()
    assert set(said) == {b"False 2"}
    assert done.startswith(b"minified: done in ")
    assert done.endswith(b"(the job asks for other threads or arithmetic than the run's)")


def test_a_source_file_edited_during_a_run_changes_the_next_job(
    folder: Path, tmp_path: Path
) -> None:
    source = Path(client.__file__).parent.parent
    package = shutil.copytree(source, tmp_path / "package" / "minified")
    path = {"PYTHONPATH": str(package.parent)}
    with running(folder, **path) as run:
        assert job(folder, run, *CHECK, env=path).stdout == CHECKED
        asides = package / "cli" / "asides.py"
        asides.write_text(asides.read_text().replace("jobs x", "edited jobs x"))
        edited = job(folder, run, *CHECK, env=path | run.following).stdout.splitlines()
        assert edited[0] == CHECKED.replace(b"jobs x", b"edited jobs x").splitlines()[0]
        assert edited[2].endswith(b"(a source file has changed since the run began)")


def test_jobs_share_no_random_numbers(run: Run, trained: Path) -> None:
    draws = "random.random(), np.random.random(), tempfile.NamedTemporaryFile().name"
    # At the job's end, since a criterion's own draws depend on its seed alone.
    write_criterion(trained, f"atexit.register(lambda: print(*({draws}))); sys.exit()")
    drawn = [job(trained, run, *SCORE).stdout.split() for _ in range(2)]
    assert all(first != second for first, second in zip(*drawn, strict=True))


def test_a_pipe_ends_with_the_job_that_writes_to_it(run: Run, folder: Path) -> None:
    with Waiting(run, folder).command as other:
        try:
            assert job(folder, run, *CHECK).stdout == CHECKED
        finally:  # else a failure would wait for it without end
            other.kill()


def test_many_jobs_at_once_are_all_done(run: Run, folder: Path) -> None:
    commands = [
        subprocess.Popen(
            [*COMMAND, "check", f"config/small{i}.yaml"],
            stdout=subprocess.PIPE,
            cwd=folder,
            env=environment(folder, run),
        )
        for i in range(24)
        if (folder / "config" / f"small{i}.yaml").write_text(SMALL)
    ]
    for i, command in enumerate(commands):
        assert command.communicate()[0] == CHECKED.replace(b"small", b"small%d" % i)
        assert command.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_killed_job_is_done_by_its_command_and_no_other_is_harmed(
    run: Run, folder: Path, number: signal.Signals
) -> None:
    jobs = killed, other = Waiting(run, folder), Waiting(run, folder)
    os.kill(killed.process, number)
    eventually(lambda: gone(killed.process))
    assert not gone(other.process)
    for one in jobs:
        assert one.printed() == CHECKED
        assert one.ended() == 0


def test_a_killed_job_is_not_waited_for_though_a_process_of_its_own_is_left(
    run: Run, trained: Path
) -> None:
    write_criterion(
        trained,
        "if os.fork() == 0:\n"
        "    os.closerange(0, 3)\n"
        "    open('left', 'a').write(f'{os.getpid()}\\n')\n"
        "    time.sleep(1000)\n"
        "while not os.path.exists('left'):\n"
        "    time.sleep(0.01)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    assert job(trained, run, *SCORE).returncode == -signal.SIGKILL
    for process in (trained / "left").read_text().split():
        os.kill(int(process), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_killed_command_takes_its_job_along(
    run: Run, folder: Path, number: signal.Signals
) -> None:
    one = Waiting(run, folder)
    one.command.send_signal(number)
    assert one.ended() == -number
    eventually(lambda: gone(one.process))
    one.printed()


def test_a_killed_server_s_jobs_are_finished_and_later_ones_done_by_their_commands(
    folder: Path,
) -> None:
    with running(folder) as run:
        jobs = [Waiting(run, folder) for _ in range(2)]
        os.kill(run.server, signal.SIGKILL)
        assert job(folder, run, *CHECK).stdout == CHECKED
        for one in jobs:
            assert not gone(one.process)
            assert one.printed() == CHECKED
            assert one.ended() == 0


@pytest.mark.parametrize("how", ["kill", "end"])
def test_server_jobs_and_commands_end_with_their_run_and_leave_nothing(
    folder: Path, tmp_path: Path, how: str
) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    # With nowhere to put its settings, matplotlib makes itself a temporary folder.
    with running(folder, TMPDIR=str(temporary), MPLCONFIGDIR="/proc/nowhere") as run:
        assert run.socket.stat().st_mode & 0o777 == 0o600
        one = Waiting(run, folder, **run.following)
        eventually(lambda: list((folder / ".snakemake").glob("matplotlib-*")))
        before = files_of(folder)
        if how == "kill":
            run.process.kill()
        else:
            run.process.communicate()
        eventually(lambda: gone(run.server) and gone(one.process))
        assert one.ended() == -signal.SIGKILL
        one.printed()
        left = set() if how == "kill" else {run.socket}
        assert files_of(folder) == before - left
        assert not list(temporary.iterdir())


def files_of(folder: Path) -> set[Path]:
    """What is in a folder, but for what matplotlib is making just now."""
    found = set(folder.rglob("*"))
    return {file for file in found if "matplotlib-" not in file.parent.name}


def test_a_server_that_is_still_importing_ends_with_its_run(folder: Path) -> None:
    with running(folder) as run:
        run.process.kill()
        assert job(folder, run, *CHECK).stdout == CHECKED
        eventually(lambda: gone(run.server))


def test_a_new_run_replaces_the_socket_of_a_killed_one(folder: Path) -> None:
    with running(folder) as run:
        run.process.kill()
    with running(folder) as run:
        waiting = Waiting(run, folder)
        assert waiting.printed() == CHECKED
        assert waiting.ended() == 0


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (("/proc/none/s",), "/proc/none/s: No such file or directory"),
        (("x" * 200,), f"{'x' * 200}: AF_UNIX path too long"),
        (("config",), "config: Is a directory"),
        ((SOCKET, "off"), "MINIFIED_WARM=off"),
    ],
    ids=str,
)
def test_a_run_without_a_server_says_why_once_and_leads_its_jobs_to_no_other(
    folder: Path, case: tuple[str, ...], reason: str
) -> None:
    started = subprocess.run(
        [sys.executable, "-c", RUN, case[0], *[word for word in case[1:] if word != "off"]],
        capture_output=True,
        text=True,
        cwd=folder,
        input="",
        env=environment(folder, "off" if "off" in case else f"{SOCKET}|1|another run's"),
    )
    assert started.stdout.endswith("\tNone\n"), started.stderr
    (line,) = started.stderr.splitlines()
    assert line.startswith("minified: no warm interpreter, ")
    assert line.endswith(reason)


def address(process: int | str, place: str = SOCKET, served: str = "") -> str:
    return f"{place}|{process}|{served or client.identity()}"


@pytest.mark.parametrize(
    "variable",
    [
        *("off", "nonsense", "|", "||", "|||", f"{SOCKET}|", address(1, "none"), address(1)),
        *(address(1, f".snakemake/minified-{'x' * 300}.socket"), address("1" * 5000)),
        *(address("\udcff"), address("-1"), address(1, ".snakemake/minified-\udcff.socket")),
        *(address(1, "/" * 100_000), "\udcff|\udcff|\udcff"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_without_a_server_that_answers_the_command_does_the_job(
    folder: Path, variable: str
) -> None:
    assert job(folder, variable, *CHECK).stdout == CHECKED


@contextlib.contextmanager
def listening(folder: Path, place: str = SOCKET) -> Iterator[socket.socket]:
    """A socket of this process in `folder`, at which nobody answers."""
    (folder / place).parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        with contextlib.chdir(folder):  # the name of a socket must be short
            listener.bind(os.path.relpath(place))
        listener.listen()
        yield listener


def test_the_command_does_the_job_if_the_server_gives_no_answer(folder: Path) -> None:
    with listening(folder) as listener:
        command = subprocess.Popen(
            [*COMMAND, *CHECK],
            stdout=subprocess.PIPE,
            cwd=folder,
            env=environment(folder, address(os.getpid())),
        )
        called = listener.accept()[0]
        assert called.recv(4, socket.MSG_PEEK) == b"(b'/"  # who is the run's process is told all
        called.close()
    assert command.communicate()[0] == CHECKED


AS_ANOTHER_USER = "import os; os.geteuid = lambda: 12345; from minified.cli import main; main()"


@pytest.mark.parametrize("case", ["a dead run", "no run", "another run", "another user", "a link"])
def test_a_process_that_is_not_the_run_s_learns_nothing(folder: Path, case: str) -> None:
    run = {
        "a dead run": str(1 << 22),
        "no run": "0",
        "another run": str(os.getppid()),
        "a link": str(os.getppid()),
    }.get(case, str(os.getpid()))
    place = "elsewhere/theirs.socket" if case == "a link" else SOCKET
    command = [sys.executable, "-c", AS_ANOTHER_USER] if case == "another user" else COMMAND
    with listening(folder, place) as listener:
        if case == "a link":
            (folder / ".snakemake").mkdir()
            (folder / SOCKET).symlink_to(folder / place)
        done = subprocess.run(
            [*command, *CHECK],
            cwd=folder,
            env=environment(folder, address(run)),
            capture_output=True,
            timeout=60,
        )
        assert done.stdout == CHECKED
        assert listener.accept()[0].recv(1000) == b""


@pytest.mark.parametrize(
    "case",
    [
        *("another interpreter", "other modules", "verify", "a stream less"),
        *("another folder's", "one outside the records", "an absolute one", "one of no study"),
    ],
)
def test_a_job_that_is_not_the_server_s_does_not_even_call_it(folder: Path, case: str) -> None:
    place = {
        "another folder's": f"../{folder.name}/{SOCKET}",
        "one outside the records": "minified-small.socket",
        "an absolute one": str(folder / SOCKET),
        "one of no study": ".snakemake/s",
    }.get(case, SOCKET)
    with listening(folder, place) as listener:
        served = client.identity() + ("x" if case == "another interpreter" else "")
        path = os.pathsep.join((os.environ.get("PYTHONPATH", ""), str(folder)))
        more = {"PYTHONPATH": path} if case == "other modules" else {}
        verb = "verify" if case == "verify" else "check"
        less = {"preexec_fn": lambda: os.close(0)} if case == "a stream less" else {}
        variable = address(os.getpid(), place, served)
        done = job(folder, variable, verb, "config/small.yaml", env=more, **less)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert done.returncode == (1 if verb == "verify" else 0)


CALL = """
import os, socket, sys
if len(sys.argv) > 1:
    os.seteuid(int(sys.argv[1]))
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(".snakemake/minified-small.socket")
    job = (os.getcwdb(), 0o022, ["minified", "check", "config/small.yaml"], dict(os.environb))
    try:
        socket.send_fds(server, [ascii(job).encode()], [0, 1, 2])
        answer = server.recv(16)
    except OSError:
        answer = b""
print("answered", answer)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_the_server_does_no_job_for_another_user(folder: Path) -> None:
    with running(folder) as run:
        for path in (folder, folder / ".snakemake", run.socket):
            path.chmod(0o777)
        said = [
            subprocess.run(
                [sys.executable, "-c", CALL, *user], cwd=folder, capture_output=True, text=True
            ).stdout
            for user in ((), ("12345",))
        ]
    assert said == [CHECKED.decode() + "answered b'0'\n", "answered b''\n"]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("warm", ""),
        ("alone", ""),
        ("a stale address", "it does not answer (No such file or directory)"),
        ("a foreign address", "its address is not one of this folder"),
        ("another process", "another process listens at its address"),
        ("other modules", "the command has another interpreter, package or PYTHONPATH"),
        ("a stream less", "a standard stream of the command is closed"),
    ],
)
def test_a_job_of_a_run_says_in_its_last_line_why_it_was_not_done_warm(
    run: Run, folder: Path, case: str, reason: str
) -> None:
    variable: Run | str | None = {
        "alone": None,
        "a stale address": address(1, SOCKET.replace("small", "digits")),
        "a foreign address": address(1, "/elsewhere/minified-small.socket"),
        "another process": run.address.replace(f"|{run.process.pid}|", "|1|"),
    }.get(case, run)
    run.reach(folder)
    more = run.following
    if case == "other modules":
        more = more | {"PYTHONPATH": os.environ.get("PYTHONPATH", "") + os.pathsep + str(folder)}
    less = {"preexec_fn": lambda: os.close(0)} if case == "a stream less" else {}
    done = job(folder, variable, *CHECK, env=more, **less)
    (folder / "log").write_bytes(done.stdout)
    spent = Spent.read(folder / "log")
    assert spent is not None
    assert spent.imported == (case == "warm")
    assert spent.cold == reason


def test_the_command_loads_little() -> None:
    code = "import sys, minified.cli; print(len(sys.modules), 'contextlib' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(client.__file__).parent.parent.parent)},
    )
    count, more = printed.stdout.split()
    assert int(count) < 70
    assert more == "False"


TINY = """\
network: {name: mlp, widths: [6]}
replicates: 2
recipes:
  baseline: {learning_rate: 0.01, epochs: 1}
  fine_tune: {learning_rate: 0.01, epochs: 1}
grid:
  parameter: {criteria: [obd_sd], sparsities: [0.9], regimes: [fine_tune], scope: global}
damage: {units: 5}
"""


def made(folder: Path) -> dict[str, bytes]:
    """What a run made, but for what it noted of itself."""
    root = folder / "results" / "small"
    files = (file.relative_to(root) for file in root.rglob("*") if file.is_file())
    return {str(file): (root / file).read_bytes() for file in files if file.parts[0] != "logs"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (TINY, "results/small/figures/claims.svg"),
        pytest.param(STUDY, "results/small/published.txt", marks=pytest.mark.campaign),
    ],
    ids=["one figure", "all"],
)
def test_a_study_has_the_same_bytes_without_a_server_and_none_is_left(
    tmp_path: Path, text: str, wanted: str
) -> None:
    off, on = begin(tmp_path / "off", text), begin(tmp_path / "on", text)
    (temporary := tmp_path / "t").mkdir()
    runs = [
        snakemake(off, wanted, env={client.VARIABLE: "off"}),
        snakemake(on, wanted, env={"TMPDIR": str(temporary)}),
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr[-3000:]
    assert [run.stderr.count("warm interpreter") for run in runs] == [1, 0]
    assert made(off) == made(on)
    assert published(off) == published(on)
    assert {"baseline.safetensors", "tables/results.csv", "figures/claims.svg"} <= set(made(off))
    for folder, warm in ((off, False), (on, True)):
        logs = [Spent.read(log) for log in (folder / "results" / "small" / "logs").rglob("*.log")]
        assert all(spent is not None and bool(spent.imported) == warm for spent in logs)
    assert not list(temporary.glob("*minified*"))
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            assert (process / "cwd").readlink() != on


@pytest.mark.slow
def test_a_run_whose_server_ended_says_so_once_at_its_end(tmp_path: Path) -> None:
    folder, modules = begin(tmp_path / "run"), tmp_path / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(
        "import os, sys\nif 'server.serve' in ' '.join(sys.orig_argv):\n    os._exit(1)\n"
    )
    path = os.pathsep.join((str(modules), os.environ.get("PYTHONPATH", "")))
    ended = snakemake(folder, "--until", "prepare", env={"PYTHONPATH": path})
    assert ended.returncode == 0, ended.stderr[-3000:]
    (line,) = (line for line in ended.stderr.splitlines() if "warm interpreter" in line)
    assert line.startswith("minified: jobs that the warm interpreter did not do, ")
    assert line.endswith(": 1: it does not answer (Connection refused)")


@pytest.mark.parametrize(
    ("own", "all_of_them"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=1:glibc.malloc.hugetlb=0"),
    ],
)
def test_of_two_settings_of_the_c_library_the_users_own_counts(
    own: str | None, all_of_them: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if own is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    assert server.tunables() == all_of_them
