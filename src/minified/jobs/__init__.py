"""The jobs: one file per stage, each with a function `STAGE(study, paths, ...)`.

Every job opens one object from study and paths, which holds what jobs share: a `context.Context`
(data, networks, seeds), or a `fitting.FittingContext` for the jobs that train and write rows.
"""
