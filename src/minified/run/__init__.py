"""What one run of a study needs, and the proof that it can be repeated.

For a run: `lock`, `clock` and `timings`, `failures`, `sources`. The proof: `provenance`, and
`verify` with `compare`. Before a run: `trial` of a reader's criterion, by its `properties`.
"""
