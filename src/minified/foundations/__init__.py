"""What all other modules build on: errors, files, seeds, arithmetic, matrix products.

These modules import nothing from the rest of `minified`.
"""
