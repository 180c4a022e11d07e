"""The notebook of a study: what is none, or fails, is one line, and the earlier copy stays."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import minified
from minified import study
from minified.analysis import notebook
from minified.foundations.errors import MinifiedError

TEXT = {"cell_type": "markdown", "metadata": {}, "source": "# A title"}


def code(source: str, *tags: str) -> dict[str, Any]:
    return {
        **{"cell_type": "code", "metadata": {"tags": [*tags]}, "source": source},
        **{"outputs": [], "execution_count": None},
    }


def written(*cells: Any, **changed: Any) -> str:
    whole = {"cells": [*cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(whole | changed)


PARAMETERS = code("tables = None", "parameters")
OLD = {
    "metadata": {"name": "old"},
    **{"nbformat": 3, "nbformat_minor": 0},
    "worksheets": [
        {
            "metadata": {},
            "cells": [
                {
                    **{"cell_type": "code", "input": "tables = None", "language": "python"},
                    **{"outputs": [], "collapsed": False, "prompt_number": 1},
                    "metadata": {"tags": ["parameters"]},
                }
            ],
        }
    ],
}


@pytest.fixture
def run(
    small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str | bytes | Path], dict[str, Any]]:
    """What executes a notebook, given as a file or as its content, on a study that has a copy."""
    monkeypatch.chdir(small_study.parent)
    os.mkfifo("pipe.ipynb")
    paths = study.Paths("small")
    paths.notebook.parent.mkdir(parents=True)
    paths.notebook.write_text("earlier")

    def execute(content: str | bytes | Path) -> dict[str, Any]:
        file = content if isinstance(content, Path) else Path("my {own}\n.ipynb")
        if not isinstance(content, Path):
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        notebook.notebook(study.load("small.yaml"), paths, file)
        return json.loads(paths.notebook.read_text())

    return execute


def refused(run: Callable[[str | bytes | Path], Any], content: str | bytes | Path) -> str:
    """What is wrong with a notebook, which leaves the copy as it was."""
    with pytest.raises(MinifiedError) as error:
        run(content)
    (copy,) = Path("results/small").iterdir()
    assert copy.read_text() == "earlier"
    file = content if isinstance(content, Path) else "my {own}\n.ipynb"
    name, problem = str(error.value)[: len(f"{file}: ")], str(error.value)[len(f"{file}: ") :]
    assert name == f"{file}: "
    assert "\n" not in problem
    assert len(problem) < 400
    return problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is no notebook (is not JSON)"),
        ("# A text\n" * 1000, "is no notebook (is not JSON)"),
        (b"\x89PNG\r\n\x00\xff", "is no notebook (is not JSON)"),
        ("[" * 100_000, "is no notebook (is not JSON)"),
        ("[1, 2]", "has no key nbformat"),
        ("null", "has no key nbformat"),
        ('{"a": 1}', "has no key nbformat"),
        (written(PARAMETERS, nbformat=5), "Unsupported nbformat version 5"),
        (written(PARAMETERS, nbformat="4"), "Unsupported nbformat version 4"),
        (written(PARAMETERS, cells=None), "is no notebook of version 4"),
        (written(PARAMETERS, metadata=3), "is no notebook of version 4"),
        (written(PARAMETERS, {"cell_type": "film"}), "is no notebook of version 4"),
        (written(PARAMETERS, metadata={"language_info": {"name": "R"}}), "is written in R"),
        (written(TEXT, code("tables = None")), "has no cell with the tag `parameters`"),
        (written(), "has no cell with the tag `parameters`"),
        (Path("none.ipynb"), "cannot be read (No such file or directory)"),
        (Path("/dev/zero"), "must be a file, not a folder, device or pipe"),
        (Path("pipe.ipynb"), "must be a file, not a folder, device or pipe"),
        (Path("results"), "must be a file, not a folder, device or pipe"),
        (Path("small.yaml/x"), "cannot be read (Not a directory)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_notebook_is_one_line(
    run: Callable[[str | bytes | Path], Any], content: str | bytes | Path, problem: str
) -> None:
    assert problem in refused(run, content)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([TEXT, PARAMETERS, code("1 +")], "cell 3: SyntaxError: invalid syntax"),
        ([PARAMETERS, TEXT, code("raise OSError('one\\ntwo\\n')")], "cell 3: OSError: one"),
        ([code("raise ValueError('x' * 5000)"), PARAMETERS], "cell 1: ValueError: xxx"),
        ([PARAMETERS, code("raise KeyboardInterrupt")], "cell 2: KeyboardInterrupt"),
        ([PARAMETERS, code("import os\nos._exit(0)")], "cell 2: cannot be executed (DeadKernel"),
        ([PARAMETERS, code("import sys\nsys.exit('no')")], "cell 2: SystemExit: no"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_cell_that_fails_is_one_line_that_counts_the_cells_of_the_file(
    run: Callable[[str | bytes | Path], Any], cells: list[Any], problem: str
) -> None:
    assert refused(run, written(*cells)).startswith(problem)


@pytest.mark.parametrize("content", [written(TEXT, PARAMETERS, code("print(tables)")), OLD])
def test_a_notebook_learns_where_the_tables_are_and_forgets_where_it_ran(
    run: Callable[[str], dict[str, Any]], content: Any
) -> None:
    copy = run(content if isinstance(content, str) else json.dumps(content))
    assert "papermill" not in copy["metadata"]
    told = "".join("".join(cell["source"]) for cell in copy["cells"])
    assert f'"{Path("results/small/tables").absolute()}"' in told


def test_the_command_prints_one_line_and_nothing_of_the_kernel_s(small_study: Path) -> None:
    file = small_study.parent / "mine.ipynb"
    for cell, problem in (("import os\nos._exit(0)", "cell 2: "), ("", "no cell with the tag")):
        file.write_text(written(*([PARAMETERS] if cell else []), code(cell)))
        ended = minified(small_study.parent, "notebook", "small.yaml", "--notebook", "mine.ipynb")
        assert ended.returncode == 1
        (line,) = ended.stderr.splitlines()
        assert line.startswith("minified: mine.ipynb: ")
        assert problem in line
