"""Magnificent Minified Models: how small can a trained network get, by which method, at what cost.

Pruning is *score -> allocate -> mask*: `minified.criteria.score` scores the units of a network,
`minified.pruning` decides which of them to remove and removes them, and `minified.training.fit`
retrains the smaller network. Importing this package is cheap: only modules that compute with torch
import it.
"""

__version__ = "0.1.0"
