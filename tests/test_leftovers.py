"""What killed runs leave is removed by the next one, and nothing that is another's or in use."""

import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import begin, published, snakemake, snakemake_command
from minified.run import leftovers
from minified.run.leftovers import KEPT, MARK, PREFIX
from minified.study.paths import Paths


def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def comparison(temporary: Path, mark: str | None = None, name: str = "digits-abc") -> Path:
    """The folder of a killed comparison."""
    folder = temporary / f"{PREFIX}{name}"
    (folder / ".snakemake" / "metadata").mkdir(parents=True)
    (folder / "results" / "digits").mkdir(parents=True)
    (folder / "results" / "digits" / "baseline.csv").write_text("half")
    (folder / ".snakemake" / "minified-digits.lock").write_text(holder(dead()))
    (folder / MARK).write_text(holder(dead()) if mark is None else mark)
    return folder


def holder(process: int, node: str = "") -> str:
    return f"process {process} on {node or platform.node()}, run 1\n"


# Comparisons


@pytest.mark.parametrize("mark", [None, "", "nonsense on {node}, \n"])
def test_the_folder_of_a_dead_comparison_is_removed(mark: str | None, temporary: Path) -> None:
    text = None if mark is None else mark.format(node=platform.node())
    folder = comparison(temporary, text)
    other = comparison(temporary, text, "other-study-x")
    assert leftovers.comparisons() == [folder, other]
    assert list(temporary.iterdir()) == []
    assert leftovers.comparisons() == []


def unmarked(folder: Path) -> None:
    (folder / MARK).unlink()


def marked_by_a_folder(folder: Path) -> None:
    (folder / MARK).unlink()
    (folder / MARK).mkdir()


def marked_by_a_pipe(folder: Path) -> None:
    (folder / MARK).unlink()
    os.mkfifo(folder / MARK)


def marked_by_a_link(folder: Path) -> None:
    (folder / MARK).rename(folder / "elsewhere")
    (folder / MARK).symlink_to("elsewhere")


def of_another_machine(folder: Path) -> None:
    (folder / MARK).write_text(holder(dead(), "another-node"))


def named_by_a_user(folder: Path) -> None:
    (folder / KEPT).touch()


def of_another_name(folder: Path) -> None:
    folder.rename(folder.with_name("verify-digits-abc"))


def only_a_link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        unmarked,
        marked_by_a_folder,
        marked_by_a_pipe,
        marked_by_a_link,
        of_another_machine,
        named_by_a_user,
        of_another_name,
        only_a_link,
    ],
)
def test_a_folder_that_is_not_known_to_be_a_dead_comparison_stays(
    change: Callable[[Path], None], temporary: Path
) -> None:
    change(comparison(temporary))
    before = sorted(temporary.rglob("*"))
    assert leftovers.comparisons() == []
    assert sorted(temporary.rglob("*")) == before


@pytest.mark.parametrize("lock", [MARK, ".snakemake/minified-digits.lock"])
def test_a_folder_in_which_a_run_is_working_stays(lock: str, temporary: Path) -> None:
    folder = comparison(temporary)
    before = sorted(temporary.rglob("*"))
    with open(folder / lock, "a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert leftovers.comparisons() == []
        assert sorted(temporary.rglob("*")) == before
    assert leftovers.comparisons() == [folder]


def test_another_user_s_folder_stays(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = comparison(temporary)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    assert leftovers.comparisons() == []
    assert (folder / MARK).exists()


def test_what_a_folder_links_to_stays(temporary: Path, tmp_path: Path) -> None:
    folder = comparison(temporary)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    (folder / "results" / "link").symlink_to(tmp_path / "precious")
    (folder / "link").symlink_to(tmp_path / "precious")
    assert leftovers.comparisons() == [folder]
    assert (tmp_path / "precious" / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_removed_whole_keeps_its_mark(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = comparison(temporary)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        assert leftovers.comparisons() == []
        assert (folder / MARK).exists()
    assert leftovers.comparisons() == [folder]


# Runs


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """The lock of a study's run."""
    (tmp_path / ".snakemake").mkdir()
    return tmp_path / ".snakemake" / "minified-small.lock"


def test_the_next_run_removes_what_a_killed_one_left_where_it_worked(
    lock: Path, tmp_path: Path
) -> None:
    paths = Paths("small", tmp_path / "results")
    leftovers.sweep(lock, paths)
    left = [
        lock.with_suffix(".tmp") / "matplotlib-xyz" / "settings",
        lock.with_suffix(".tmp") / "tmpxyz.json",
        lock.with_suffix(".socket"),
        lock.with_name("matplotlib-xyz") / "settings",
        paths.root / "parameter-obd" / f".scores.{dead()}@{platform.node()}.partial.safetensors",
        paths.root / f".explore.{dead()}@{platform.node()}.partial" / "notebook",
    ]
    kept = [
        lock,
        lock.with_name("minified-other.tmp") / "tmpxyz.json",
        lock.with_name("minified-other.socket"),
        lock.with_name("log") / "1.log",
        paths.root / "data.safetensors",
        paths.root / f".rows.{os.getpid()}@{platform.node()}.partial.csv",
    ]
    for file in (*left, *kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    leftovers.sweep(lock, paths)
    assert [file for file in left if file.exists()] == []
    assert [file for file in kept if not file.exists()] == []
    assert list(lock.with_suffix(".tmp").iterdir()) == []
    assert not (lock.parent / "matplotlib-xyz").exists()


def test_what_a_killed_run_was_publishing_is_removed(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    half = Path("figures") / "small" / f".claims.{dead()}@{platform.node()}.partial.svg"
    half.parent.mkdir(parents=True)
    half.write_text("<svg")
    half.with_name("claims.svg").write_text("<svg/>")
    leftovers.sweep(lock, Paths("small"))
    assert [file.name for file in half.parent.iterdir()] == ["claims.svg"]


def test_the_settings_of_another_study_s_server_stay_while_it_runs(
    lock: Path, tmp_path: Path
) -> None:
    settings = lock.parent / "matplotlib-xyz"
    settings.mkdir()
    with open(lock.with_name("minified-other.lock"), "a+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        leftovers.sweep(lock, Paths("small", tmp_path))
        assert settings.exists()
    leftovers.sweep(lock, Paths("small", tmp_path))
    assert not settings.exists()


def test_the_folders_that_a_killed_run_had_elsewhere_are_removed_and_no_others(
    lock: Path, tmp_path: Path
) -> None:
    mine, gone, again, link = (tmp_path / name for name in ("mine", "gone", "again", "link"))
    for folder in (mine, gone, again, link):
        (folder / "deep").mkdir(parents=True)
    leftovers.remember(lock, [mine, gone, again, link])
    shutil.rmtree(gone)
    again.rename(tmp_path / "moved")
    again.mkdir()  # the same name, given to another folder
    link.rename(tmp_path / "target")
    link.symlink_to("target")
    leftovers.sweep(lock, Paths("small", tmp_path / "results"))
    assert not mine.exists()
    assert again.exists()
    assert (tmp_path / "moved" / "deep").exists()
    assert (tmp_path / "target" / "deep").exists()
    assert link.is_symlink()
    assert not lock.with_suffix(".folders").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"node": 1}', '{"node": "NODE", "folders": [1]}', '{"node": "NODE"}', "\0"],
)
def test_a_list_that_was_cut_off_removes_nothing_and_goes(
    text: str, lock: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    lock.with_suffix(".folders").write_text(text.replace("NODE", platform.node()))
    leftovers.sweep(lock, Paths("small", tmp_path / "results"))
    assert not lock.with_suffix(".folders").exists()
    assert (tmp_path / "mine").exists()


def test_a_list_of_another_machine_s_folders_removes_none_here(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    leftovers.remember(lock, [tmp_path / "mine"])
    file = lock.with_suffix(".folders")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"node": "another-node"}))
    leftovers.sweep(lock, Paths("small", tmp_path / "results"))
    assert (tmp_path / "mine").exists()


def test_only_jobs_of_a_run_keep_their_temporary_files_with_it(lock: Path, tmp_path: Path) -> None:
    code = (
        "import tempfile\nfrom minified.run import lock\nlock.follow()\n"
        "print(tempfile.gettempdir())"
    )
    (tmp_path / "system").mkdir()

    def folder(**environment: str) -> str:
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"TMPDIR": str(tmp_path / "system")} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return run.stdout.strip()

    here, away = holder(os.getpid()).strip(), holder(os.getpid(), "another-node").strip()
    with open(lock, "a+") as held:
        held.write(f"{here}\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        assert folder(MINIFIED_RUN=f"{here}|{lock}") == str(tmp_path / "system")
        leftovers.sweep(lock, Paths("small", tmp_path / "results"))
        assert folder(MINIFIED_RUN=f"{here}|{lock}") == str(lock.with_suffix(".tmp"))
        assert folder(MINIFIED_RUN=f"{away}|{lock}") == str(tmp_path / "system")
        assert folder() == str(tmp_path / "system")


@pytest.mark.slow
def test_a_run_after_a_killed_one_leaves_no_temporary_file(finished: Path, tmp_path: Path) -> None:
    folder = begin(tmp_path / "run")
    for name in ("t", "home"):
        (tmp_path / name).mkdir()
    environment = {"TMPDIR": str(tmp_path / "t"), "HOME": str(tmp_path / "home")}
    cache = tmp_path / "home" / ".cache" / "snakemake"

    def left() -> list[str]:
        # Snakemake keeps its own copies of the workflow's files in folders of random names.
        return [
            *(path.name for path in (tmp_path / "t").iterdir()),
            *(path.name for path in cache.rglob("snakemake-runtime-cache/*")),
            *(path.name for path in (folder / ".snakemake").glob("minified-*")),
        ]

    command = snakemake_command(folder)
    command["env"] |= environment
    killed = subprocess.Popen(**command, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 60
    while not (folder / "results" / "small" / "data.safetensors").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert len(left()) >= 4
    run = snakemake(folder, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]
    assert left() == ["minified-small.lock"]
    assert published(folder) == published(finished)
