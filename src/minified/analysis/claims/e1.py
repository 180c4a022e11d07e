"""E1, our extension: the Lottery Ticket proper."""

from minified.analysis.claims import regimes

CLAIM = regimes.claim(
    "E1",
    "Our extension: rewinding to the initial weights beats fresh ones (Lottery Ticket)",
    "parameter",
    "rewind",
    "scratch",
)
