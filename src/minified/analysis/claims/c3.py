"""C3: retraining from scratch against fine-tuning, at neuron level."""

from minified.analysis.claims import regimes

CLAIM = regimes.claim(
    "C3",
    "For neuron-level pruning, retraining from scratch does much better than fine-tuning",
    "neuron",
    "scratch",
    "fine_tune",
    size_word="much",
)
