"""The command line itself: its help, and the arguments and options that several verbs have."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="minified",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""How small can a trained network get, by which method, and at what cost?

    The verbs are the stages of a study, in this order; `snakemake --cores N` calls them for the
    whole grid, and each can be called by hand:

    **check** the configuration, **prepare** the data, **train** and **evaluate** the dense
    baselines, compute the **derivatives** that OBD reads, **score** parameters or neurons by a
    criterion, remove the lowest and **retrain** what is left (in several rounds, if the study has
    them: **iterate**; fresh networks of equal widths are trained once, by **scratch**), or
    **quantize** instead; measure single removals (**damage**); **aggregate** all rows; test the
    **claims**, under all **specifications** if the study has any; compare what criteria select
    (**selections**); **correlate** scores with measured damage; draw the **figures** and write the
    **tables**; execute the **notebook**; record the **provenance**; **publish** it all in
    figures/STUDY. **verify** does it again elsewhere and compares. **timings** says what the jobs
    took, and **status** how far a run is. **try** runs a criterion of your own on small networks,
    before a study is spent on it.

    STUDY is a name (`digits` is config/digits.yaml) or the path of a study file.
    """,
)

Study = Annotated[
    str, typer.Argument(help="Name (`digits`) or path of the study.", metavar="STUDY")
]
Results = Annotated[
    Path, typer.Option("--results", help="Where results are kept, one folder per study.")
]
Level = Annotated[str, typer.Option(help="What is removed: parameter or neuron.")]
Method = Annotated[str, typer.Option(help="LEVEL-CRITERION, e.g. parameter-obd or neuron-merging.")]
Sparsity = Annotated[float, typer.Option(help="Fraction of the level's units to remove.")]
Regime = Annotated[str, typer.Option(help="How what is left is retrained, e.g. fine_tune.")]
RESULTS = Path("results")
Specification = Annotated[
    str | None,
    typer.Option(help="One of the study's specifications; by default its settings as they stand."),
]
Block = Annotated[
    str | None,
    typer.Option(
        help="Only these replicates (`0-3`), of a study that does them in blocks; without it, what"
        " the blocks have made is put together."
    ),
]
