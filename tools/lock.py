"""Pin every package: requirements.lock and environment.yml from what pyproject.toml asks for.

    make lock

Versions only: no hashes and no addresses, so that any index or mirror serves. Packages that exist
for Linux alone (CUDA's libraries, which PyTorch's Linux builds need) say so.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SELF = "magnificent-minified-models"
LINUX_ONLY = re.compile(r"nvidia-.*|cuda-.*|triton")

HEADER = """\
# Every package of the environment, pinned. Written by `make lock` from pyproject.toml; a test keeps
# requirements.lock, environment.yml and pyproject.toml in agreement.
"""


def resolve() -> list[tuple[str, str]]:
    """Ask pip which versions the project and its extras need, without installing them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [
                *f"{sys.executable} -m pip install --quiet --dry-run --ignore-installed".split(),
                *("--report", str(report), f"{ROOT}[workflow,dev]"),
            ],
            check=True,
        )
        packages = json.loads(report.read_text())["install"]
    pins = [
        (re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower(), one["metadata"]["version"])
        for one in packages
    ]
    return sorted(pin for pin in pins if pin[0] != SELF)


def main() -> None:
    """Write both files."""
    lines = []
    for name, version in resolve():
        marker = ' ; sys_platform == "linux"' if LINUX_ONLY.fullmatch(name) else ""
        lines.append(f"{name}=={version}{marker}")
    (ROOT / "requirements.lock").write_text(HEADER + "".join(f"{line}\n" for line in lines))
    pinned = "".join(f"      - {line}\n" for line in lines)
    (ROOT / "environment.yml").write_text(
        HEADER
        + "#\n#   conda env create --file environment.yml && conda activate minified\n"
        + "#   python -m pip install --no-deps --editable .\n"
        + "name: minified\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n"
        + f"  - pip:\n{pinned}"
    )


if __name__ == "__main__":
    main()
