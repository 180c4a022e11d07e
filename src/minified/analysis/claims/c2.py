"""C2: fine-tuning against retraining from scratch, at parameter level."""

from minified.analysis.claims import regimes

CLAIM = regimes.claim(
    "C2",
    "Fine-tuning a parameter-pruned model does slightly better than retraining a similarly pruned"
    " one from scratch",
    "parameter",
    "fine_tune",
    "scratch",
    size_word="slightly",
)
