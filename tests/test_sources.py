"""Which source files shape a result: all that its job uses, and no more."""

from pathlib import Path

import pytest

from minified.analysis.catalogue import FIGURES
from minified.cli.stages import STAGES
from minified.criteria import CRITERIA
from minified.data import CATALOGUE
from minified.run import sources

JOBS = (
    "prepare",
    "train",
    "evaluate",
    "derivatives",
    "score",
    "scratch",
    "iterate",
    "retrain",
    "quantize",
    "damage",
)


def below(files: tuple[str, ...]) -> set[str]:
    """Files of the package, as seen from its folder."""
    package = f"{sources.relative(sources.PACKAGE)}/"
    return {file.removeprefix(package) for file in files if file.startswith(package)}


def used(module: str) -> set[str]:
    return below(sources.closure(module))


def used_by(folder: Path, text: str) -> set[str]:
    """What a reader's own file uses of the package."""
    file = folder / "mine.py"
    file.write_text(text)
    files = sources.of_file(file)
    assert sources.relative(file) in files
    return below(files)


@pytest.mark.parametrize(
    ("text", "needed", "needless"),
    [
        ("from minified.networks import build", "networks/builder.py", "networks/chains.py"),
        ("from minified.networks import read", "networks/chains.py", "networks/builder.py"),
        ("from minified.networks import chains", "networks/chains.py", "networks/builder.py"),
        ("import minified.networks.chains", "networks/chains.py", "networks/builder.py"),
        (
            "from minified import networks\nnetworks.build('mlp', (4,), 2)",
            "networks/builder.py",
            "networks/chains.py",
        ),
        (
            "from minified import networks\nnetworks.chains.read(None)",
            "networks/chains.py",
            "networks/builder.py",
        ),
        (
            "from minified import training\ndef f(n):\n    return training.apply_masks(n, {})",
            "training/masks.py",
            "training/loop.py",
        ),
        (
            "from minified import training as t\nt.apply_masks(None, {})",
            "training/masks.py",
            "training/loop.py",
        ),
        (
            "import minified.training\nminified.training.apply_masks(None, {})",
            "training/masks.py",
            "training/loop.py",
        ),
        ("from minified import training\ntraining.fit", "training/loop.py", "run/sources.py"),
        ("from minified import pruning", "criteria/record.py", "criteria/merging.py"),
    ],
)
def test_a_name_that_comes_through_a_face_counts_as_the_file_behind_it(
    tmp_path: Path, text: str, needed: str, needless: str
) -> None:
    files = used_by(tmp_path, text)
    assert needed in files
    assert needless not in files
    assert not any(file.endswith("__init__.py") for file in files)


def test_a_face_of_which_nothing_is_used_costs_nothing(tmp_path: Path) -> None:
    assert used_by(tmp_path, "from minified import training, networks, data") == set()


def test_all_that_the_files_behind_a_name_import_counts_too(tmp_path: Path) -> None:
    files = used_by(tmp_path, "from minified.training import fit")
    assert files >= {f"training/{name}.py" for name in ("loop", "models", "optimiser", "masks")}
    assert files >= {"networks/kinds.py", "quantization.py", "foundations/products.py"}


def test_a_module_that_lists_its_folder_counts_the_files_that_it_finds(tmp_path: Path) -> None:
    for name in ("part_1.py", "part_2.py", "other.py"):
        (tmp_path / name).write_text("from minified.networks import build\n")
    (tmp_path / "whole.py").write_text('MEMBERS = "part_*.py"\n')
    files = sources.of_file(tmp_path / "whole.py")
    ours = {Path(file).name for file in files if Path(file).resolve().parent == tmp_path.resolve()}
    assert ours == {"whole.py", "part_1.py", "part_2.py"}
    assert "networks/builder.py" in below(files)
    claims = {file.name for file in (sources.PACKAGE / "analysis" / "claims").glob("[a-z][0-9].py")}
    assert len(claims) == 6
    assert {f"analysis/claims/{name}" for name in claims} <= used(
        "minified.analysis.claims.verdicts"
    )


def test_a_module_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"minified\.jobs\.nothing: no module"):
        sources.closure("minified.jobs.nothing")


# The jobs of a study


@pytest.mark.parametrize("verb", JOBS)
def test_no_job_depends_on_the_file_of_a_criterion_that_it_does_not_use(verb: str) -> None:
    """An edited criterion reruns its own jobs: no other job has its file among its inputs."""
    files = used(STAGES[verb].module)
    assert f"jobs/{verb}.py" in files
    for criterion in CRITERIA.values():
        assert f"criteria/{criterion.file.name}" not in files, criterion.name


def test_a_criterion_s_files_are_its_own_and_what_it_computes_with() -> None:
    obd = below(sources.of_file(CRITERIA["obd"].file))
    assert {"criteria/obd.py", "criteria/derivatives.py", "criteria/backward.py"} <= obd
    assert "networks/chains.py" in obd
    assert not {"criteria/merging.py", "criteria/magnitude.py", "criteria/random.py"} & obd
    kfac = below(sources.of_file(CRITERIA["kfac"].file))
    assert {"criteria/walk.py", "criteria/backward.py"} <= kfac & obd
    assert not {"criteria/obd.py", "criteria/derivatives.py"} & kfac
    merging = below(sources.of_file(CRITERIA["merging"].file))
    assert not {"criteria/obd.py", "criteria/derivatives.py"} & merging


@pytest.mark.parametrize("verb", ["prepare", "derivatives", "score"])
def test_an_edit_in_training_or_evaluation_makes_no_score_stale(verb: str) -> None:
    files = used(STAGES[verb].module)
    for criterion in CRITERIA.values():
        files |= below(sources.of_file(criterion.file))
    assert not {file for file in files if file.startswith("training/")}
    assert not {"evaluation.py", "quantization.py", "jobs/fitting.py"} & files


@pytest.mark.parametrize("verb", ["train", "scratch", "iterate"])
def test_an_edit_in_evaluation_trains_no_shared_network_again(verb: str) -> None:
    """What scores and further trainings are made from must not become stale, either."""
    assert not {"evaluation.py", "jobs/measuring.py"} & used(STAGES[verb].module)


@pytest.mark.parametrize("verb", [verb for verb in JOBS if verb != "prepare"])
def test_only_preparing_depends_on_how_a_data_set_is_read(verb: str) -> None:
    readers = {f"data/{entry.file.name}" for entry in CATALOGUE.values()}
    assert not readers & used(STAGES[verb].module)


@pytest.mark.parametrize("name", FIGURES)
def test_an_edited_figure_is_the_only_one_that_is_drawn_again(name: str) -> None:
    file = f"analysis/figures/{name}.py"
    assert file in used(f"minified.analysis.figures.{name}")
    for other in FIGURES:
        assert other == name or file not in used(f"minified.analysis.figures.{other}")
    for verb, stage in STAGES.items():
        assert file not in used(stage.module), verb


def test_an_edited_claim_is_tested_again_and_trains_nothing() -> None:
    claims = {f for f in used(STAGES["claims"].module) if f.startswith("analysis/claims/")}
    assert "analysis/claims/c1.py" in claims
    for verb in (*JOBS, "aggregate", "correlate"):
        assert not claims & used(STAGES[verb].module), verb
