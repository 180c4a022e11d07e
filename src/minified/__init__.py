"""Magnificent Minified Models: how small can a trained network get, by which method, at what cost.

The seam is *score -> allocate -> mask*: `minified.criteria.score` rates the units of a network,
`minified.pruning` decides which go and removes them, `minified.training.fit` retrains what is left.
Importing this package is cheap: torch is imported only by the modules that compute with it.
"""

__version__ = "0.1.0"
