"""Seeds by name: every random draw of a study is seeded by (study seed, purpose, replicate).

A seed is derived by hashing its whole name, so adding a method, a purpose or a replicate changes
no other seed. An example is `derive(2306, "scratch", 3)`.
"""

import hashlib
import json


def derive(*name: int | str) -> int:
    """Return the seed (0 <= seed < 2**63) for `name`; different names give independent seeds."""
    text = json.dumps(name, ensure_ascii=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
