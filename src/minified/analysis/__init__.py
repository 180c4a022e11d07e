"""From rows to verdicts: all rows in one table, the claims tested on it, figures and tables.

`catalogue` lists all figures and tables. Each stage is one module (or folder) with a function of
the same name: `aggregate`, `claims`, `correlate`, `figures`, `tables`, `notebook`,
`publish`.
"""
