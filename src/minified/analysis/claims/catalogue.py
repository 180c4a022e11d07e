"""All claims, by id. Each is a file in this folder, named by the claim's id, with its `CLAIM`."""

import importlib
from pathlib import Path

from minified.analysis.claims.record import Claim

MEMBERS = "[a-z][0-9]*.py"
"""The files that hold a claim (`minified.run.sources` reads this, too)."""


def _read_all() -> dict[str, Claim]:
    claims = {}
    for file in sorted(Path(__file__).parent.glob(MEMBERS)):
        claim: Claim = importlib.import_module(f"minified.analysis.claims.{file.stem}").CLAIM
        claims[claim.id] = claim
    return claims


CLAIMS = _read_all()
