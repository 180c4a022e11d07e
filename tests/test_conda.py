"""`--sdm conda`: the environment is made of environment.yml, and the jobs' `minified` is its own.

A stand-in for conda records what Snakemake asks of it: the channels themselves are not needed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY, begin, snakemake

CONDA = """#!/bin/sh
echo "conda $*" >> "$CALLS"
case "$*" in
    "info --json") echo '{"conda_prefix": "'"$BASE"'", "platform": "linux-64"}' ;;
    --version) echo "conda 25.1.0" ;;
    "config --get channel_priority --json") echo '{"get": {"channel_priority": "strict"}}' ;;
    *create*)
        for word; do
            [ "$before" = --prefix ] && prefix=$word
            [ "$before" = --file ] && cp "$word" "$BASE/made-of.yml"
            before=$word
        done
        mkdir -p "$prefix/bin"
        cp "$BASE/python" "$prefix/bin/python"
        ;;
esac
"""
# `pip install` leaves the command that the project declares.
PYTHON = """#!/bin/sh
echo "python $*" >> "$CALLS"
here=$(dirname "$0")
printf '#!/bin/sh\\necho "minified $1" >> "$CALLS"\\nexec "%s" -c "%s" "$@"\\n' \\
    "$REAL" "from minified.cli import main; main()" > "$here/minified"
chmod +x "$here/minified"
"""


@pytest.mark.slow
def test_the_jobs_call_the_command_of_the_environment(tmp_path: Path) -> None:
    base, calls = tmp_path / "base", tmp_path / "calls"
    (base / "bin").mkdir(parents=True)
    for file, text in (
        (base / "bin" / "conda", CONDA),
        (base / "python", PYTHON),
        (base / "bin" / "activate", 'export PATH="$1/bin:$PATH"\n'),
    ):
        file.write_text(text)
        file.chmod(0o755)
    path = f"{base}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    known = {"CALLS": str(calls), "BASE": str(base), "REAL": sys.executable, "PATH": path}
    folder = begin(tmp_path / "study")
    run = snakemake(folder, "results/small/data.safetensors", "--sdm", "conda", env=known)
    assert run.returncode == 0, run.stderr[-3000:]
    asked = calls.read_text().splitlines()
    assert any(line.startswith("conda env create") for line in asked), asked
    made_of = (base / "made-of.yml").read_bytes()
    assert made_of == (REPOSITORY / "environment.yml").read_bytes()
    installed = next(line for line in asked if line.startswith("python -m pip install"))
    assert installed.endswith(f"--no-deps --editable {REPOSITORY}")
    assert asked[-1] == "minified prepare"


def test_the_script_that_snakemake_runs_after_making_it_is_a_shell_s() -> None:
    script = REPOSITORY / "environment.post-deploy.sh"
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
