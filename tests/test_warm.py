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
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import SMALL, STUDY, begin, published, snakemake
from minified import warm, warm_server
from minified.running import Spent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="servers are for Linux")

COMMAND = [sys.executable, "-c", "from minified.warm import main; main()"]
CHECKED = b"config/small.yaml: 8 jobs x 3 replicates\n"
RUN = """
import os, sys
from minified import warm_server
warm_server.start(1, "portable")
print(os.environ["MINIFIED_WARM"].replace("\\n", " "), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True, scope="module")
def _interruptible() -> Iterator[None]:
    """Tests that a shell started in the background inherit that interruptions are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def children(process: int) -> set[int]:
    return {int(p) for p in Path(f"/proc/{process}/task/{process}/children").read_text().split()}


def working(server: int, folder: Path) -> set[int]:
    """The server's jobs in `folder`; libraries may start processes of their own as they load."""
    found = set()
    for process in children(server):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}/cwd").readlink() == folder:
                found.add(process)
    return found


def told(process: int, key: str) -> str:
    """What the system says of a process, `gone` if there is none."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return line.split()[1]
    return "gone"


def gone(process: int) -> bool:
    return told(process, "State") in ("gone", "Z", "X")


def eventually(true: Callable[[], Any]) -> Any:
    until = time.monotonic() + 30
    while not (found := true()):
        assert time.monotonic() < until, "does not happen"
        time.sleep(0.01)
    return found


@dataclass
class Run:
    """A process that has a server, as the workflow's process has."""

    process: "subprocess.Popen[str]"
    variable: str
    server: int

    @property
    def folder(self) -> Path:
        return Path(self.variable.partition("|")[0]).parent


@contextlib.contextmanager
def running(**environment: str) -> Iterator[Run]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    try:
        variable = process.stdout.readline().rstrip("\n")
        yield Run(process, variable, eventually(lambda: children(process.pid)).pop())
    finally:
        process.communicate()


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """A run whose server outlives the test."""
    with running() as one:
        yield one
        assert not gone(one.server)


def job(
    folder: Path, run: Run | str | None, *arguments: str | bytes, **how: Any
) -> "subprocess.CompletedProcess[bytes]":
    """A verb in `folder`, by the server of `run` or on its own."""
    environment: dict[str, str] = how.pop("env", {})
    variable = run.variable if isinstance(run, Run) else run or ""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | {warm.VARIABLE: variable, "COLUMNS": "100"} | environment,
        capture_output="stdout" not in how,
        timeout=120,
        **how,
    )


class Waiting:
    """A job of `run` that cannot end before someone reads what it says."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * 4096)
        os.set_blocking(writer, True)
        before = working(run.server, folder)
        self.command = subprocess.Popen(
            [*COMMAND, "check", "config/small.yaml"],
            stdout=writer,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=os.environ | {warm.VARIABLE: run.variable},
        )
        os.close(writer)
        self.process = eventually(lambda: working(run.server, folder) - before).pop()
        eventually(lambda: int(told(self.command.pid, "SigCgt"), 16) >> (signal.SIGTSTP - 1) & 1)

    def said(self) -> bytes:
        """Read, so that it can end; what it said."""
        with os.fdopen(self._reader, "rb") as file:
            return file.read().lstrip(b".")

    def ended(self) -> int:
        """Its command's exit status."""
        return self.command.wait(timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return begin(tmp_path, SMALL)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config/small.yaml"),
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
def test_a_verb_says_and_returns_the_same(
    run: Run, folder: Path, arguments: tuple[str | bytes, ...]
) -> None:
    (folder / "config" / "bad.yaml").write_text(SMALL.replace("0.75", "1.75"))
    alone, warmed = job(folder, None, *arguments), job(folder, run, *arguments)
    assert (warmed.returncode, warmed.stdout, warmed.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )
    good = arguments[-1:] in (("config/small.yaml",), ("--help",)) and arguments[0] != "train"
    assert (warmed.returncode == 0) == good


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
    assert read.stdout == b"stdin.yaml: 8 jobs x 3 replicates\n"


ENDS = {
    "a status": "sys.exit(7)",
    "words": "sys.exit('told')",
    "an error": "raise ValueError('unforeseen')",
    "a function for the end": "atexit.register(print, 'bye'); sys.exit()",
    "an interruption": "import signal; os.kill(os.getpid(), signal.SIGINT)",
    "a thread": "threading.Timer(0.3, print, ['late']).start(); sys.exit()",
}


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


def write_criterion(folder: Path, line: str) -> None:
    (folder / "config" / "own.py").write_text(
        "import atexit, os, sys, threading\nimport torch\n\n"
        f"def own(level, network, inputs, targets, generator):\n    {line}\n"
    )


SCORE = ("score", "config/small.yaml", "--method", "parameter-own")


@pytest.mark.parametrize("end", ENDS)
def test_a_job_ends_as_it_would_on_its_own(run: Run, trained: Path, end: str) -> None:
    write_criterion(trained, ENDS[end])
    alone, warmed = (job(trained, kind, *SCORE) for kind in (None, run))
    assert warmed.returncode == alone.returncode
    assert warmed.stdout == alone.stdout
    assert warmed.stderr.splitlines()[-1:] == alone.stderr.splitlines()[-1:]


def test_a_job_with_other_pins_than_the_servers_gets_an_interpreter_of_its_own(
    run: Run, trained: Path
) -> None:
    said = "print('minified.warm_server' in sys.modules, torch.get_num_threads()); sys.exit()"
    write_criterion(trained, said)
    study = trained / "config" / "small.yaml"
    before = study.read_text()
    assert job(trained, run, *SCORE).stdout == b"True 1\n"
    try:
        study.write_text(before + "threads: 2\n")
        assert job(trained, run, *SCORE).stdout == b"False 2\n"
    finally:
        study.write_text(before)


def test_a_source_file_edited_during_a_run_is_seen_by_the_next_job(
    folder: Path, tmp_path: Path
) -> None:
    package = shutil.copytree(Path(warm.__file__).parent, tmp_path / "package" / "minified")
    path = {"PYTHONPATH": str(package.parent)}
    with running(**path) as one:
        assert job(folder, one, "check", "config/small.yaml", env=path).stdout == CHECKED
        source = package / "cli.py"
        source.write_text(source.read_text().replace("jobs x", "edited jobs x"))
        found = job(folder, one, "check", "config/small.yaml", env=path)
        assert found.stdout == CHECKED.replace(b"jobs x", b"edited jobs x")


def test_where_no_temporary_folder_can_be_made_there_is_no_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    monkeypatch.delenv(warm.VARIABLE, raising=False)
    warm_server.start(1, "portable")
    assert warm.VARIABLE not in os.environ


def test_jobs_share_no_random_numbers(run: Run, trained: Path) -> None:
    draws = "random.random(), np.random.random(), next(tempfile._get_candidate_names())"
    write_criterion(trained, f"import random, tempfile, numpy as np; print({draws}); sys.exit()")
    drawn = [job(trained, run, *SCORE).stdout.split() for _ in range(2)]
    assert all(first != second for first, second in zip(*drawn, strict=True))


def test_a_pipe_ends_with_the_job_that_writes_to_it(run: Run, folder: Path) -> None:
    with Waiting(run, folder).command as other:
        assert job(folder, run, "check", "config/small.yaml").stdout == CHECKED
        other.kill()


def test_many_jobs_at_once_are_all_done(run: Run, folder: Path) -> None:
    commands = [
        subprocess.Popen(
            [*COMMAND, "check", f"config/small{i}.yaml"],
            stdout=subprocess.PIPE,
            cwd=folder,
            env=os.environ | {warm.VARIABLE: run.variable},
        )
        for i in range(24)
        if (folder / "config" / f"small{i}.yaml").write_text(SMALL)
    ]
    for i, command in enumerate(commands):
        assert command.communicate()[0] == CHECKED.replace(b"small", b"small%d" % i)
        assert command.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_killed_job_ends_its_command_alike_and_harms_no_other(
    run: Run, folder: Path, number: signal.Signals
) -> None:
    killed, other = Waiting(run, folder), Waiting(run, folder)
    os.kill(killed.process, number)
    assert killed.ended() == -number
    assert other.command.poll() is None
    assert other.said() == CHECKED
    assert other.ended() == 0
    killed.said()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signalled_command_takes_its_job_along(
    run: Run, folder: Path, number: signal.Signals
) -> None:
    one = Waiting(run, folder)
    one.command.send_signal(number)
    # Python makes something else of an interruption, depending on how far it has come.
    assert one.ended() in (-number, *((1, 120, 130) if number == signal.SIGINT else ()))
    eventually(lambda: gone(one.process))
    one.said()


def test_a_stopped_command_stops_its_job_until_it_goes_on(run: Run, folder: Path) -> None:
    one = Waiting(run, folder)
    one.command.send_signal(signal.SIGTSTP)
    eventually(lambda: told(one.process, "State") == told(one.command.pid, "State") == "T")
    one.command.send_signal(signal.SIGCONT)
    eventually(lambda: told(one.process, "State") != "T")
    assert one.said() == CHECKED
    assert one.ended() == 0


def test_a_killed_servers_jobs_die_and_their_commands_do_them(folder: Path) -> None:
    with running() as run:
        jobs = [Waiting(run, folder) for _ in range(2)]
        os.kill(run.server, signal.SIGKILL)
        for one in jobs:
            eventually(lambda one=one: gone(one.process))  # type: ignore[misc]
            assert one.said() == CHECKED
            assert one.ended() == 0
        assert job(folder, run, "check", "config/small.yaml").stdout == CHECKED


def test_a_signal_that_a_killed_server_did_not_pass_on_still_ends_the_command(
    folder: Path,
) -> None:
    with running() as run:
        one = Waiting(run, folder)
        os.kill(run.server, signal.SIGSTOP)
        one.command.terminate()
        os.kill(run.server, signal.SIGKILL)
        assert one.ended() == -signal.SIGTERM
        one.said()


@pytest.mark.parametrize("how", ["kill", "end"])
def test_a_server_and_its_jobs_end_with_their_run_and_leave_nothing(folder: Path, how: str) -> None:
    with running() as run:
        one = Waiting(run, folder)
        assert run.folder.stat().st_mode & 0o777 == 0o700
        if how == "kill":
            run.process.kill()
        else:
            run.process.communicate()
        eventually(lambda: gone(run.server) and gone(one.process))
        eventually(lambda: not run.folder.exists())
        one.said()


def test_a_server_that_is_still_importing_ends_with_its_run(folder: Path) -> None:
    with running() as run:
        run.process.kill()
        assert job(folder, run, "check", "config/small.yaml").stdout == CHECKED
        eventually(lambda: gone(run.server) and not run.folder.exists())


@pytest.mark.parametrize("variable", ["off", "nonsense", "|", "{tmp}/none|{identity}"])
def test_without_a_server_that_answers_a_job_starts_on_its_own(folder: Path, variable: str) -> None:
    named = variable.format(tmp=folder, identity=warm.identity())
    assert job(folder, named, "check", "config/small.yaml").stdout == CHECKED


def test_a_server_that_gives_no_answer_is_done_without(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()
        command = subprocess.Popen(
            [*COMMAND, "check", "config/small.yaml"],
            stdout=subprocess.PIPE,
            cwd=folder,
            env=os.environ | {warm.VARIABLE: f"{folder}/s|{warm.identity()}"},
        )
        listener.accept()[0].close()
    assert command.communicate()[0] == CHECKED


@pytest.mark.parametrize(
    "case", ["another interpreter", "other modules", "verify", "a stream less"]
)
def test_a_job_that_is_not_the_servers_does_not_even_call_it(folder: Path, case: str) -> None:
    """The socket is one where nobody ever answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()
        kind = warm.identity() + ("x" if case == "another interpreter" else "")
        environment = {"PYTHONPATH": str(folder)} if case == "other modules" else {}
        verb = "verify" if case == "verify" else "check"
        less = {"preexec_fn": lambda: os.close(0)} if case == "a stream less" else {}
        done = job(folder, f"{folder}/s|{kind}", verb, "config/small.yaml", env=environment, **less)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert done.returncode == (1 if verb == "verify" else 0)


def test_what_the_command_loads_is_little() -> None:
    code = "import sys, minified.warm; print(len(sys.modules), 'contextlib' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(warm.__file__).parent.parent)},
    )
    count, more = said.stdout.split()
    assert int(count) < 70
    assert more == "False"


@pytest.mark.slow
def test_a_study_has_the_same_bytes_without_a_server_and_none_is_left(
    finished: Path, tmp_path: Path
) -> None:
    off, on = begin(tmp_path / "off", STUDY), begin(tmp_path / "on", STUDY)
    (place := tmp_path / "t").mkdir()
    runs = [
        snakemake(off, env={warm.VARIABLE: "off", "TMPDIR": str(place)}),
        snakemake(on, "--until", "prepare_data", env={"TMPDIR": str(place)}),
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr[-3000:]
    assert published(off) == published(finished)
    logs = [Spent.read(log) for log in (off / "results" / "small" / "logs").rglob("*.log")]
    assert all(spent is not None and not spent.imported for spent in logs)
    assert not list(place.glob("minified-warm-*"))
    commands = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline")]
    assert not any(str(place).encode() in command for command in commands)
