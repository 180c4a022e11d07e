"""The jobs: one file per stage, each with a function `STAGE(study, paths, ...)`.

Every job opens one object from study and paths, which holds what jobs share: a `context.Context`
(data, networks, seeds), a `fitting.FittingContext` for the jobs that train, or a
`measuring.MeasuringContext` for those that write rows.
"""
