"""Specifications: how a study varies what the abstract leaves silent, and what they share."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from conftest import FUNCTION, SMALL
from minified.criteria.record import CRITERIA
from minified.run import tasks
from minified.study import Paths, Study, shared
from minified.study.specifications import MOST
from studies import PLUGIN, load, refusal

pytestmark = pytest.mark.usefixtures("never_hangs")

VARIED = (
    SMALL
    + """\
specifications:
  axes:
    budget:
      short: {recipes.fine_tune.epochs: 2}
      usual: {}
    scratch:
      long: {recipes.scratch.epochs: 8}
      usual: {}
    scope:
      global: {}
      layer: {grid.parameter.scope: layer}
  variants:
    decay: {recipes.baseline.weight_decay: 0.1}
    few: {data.saliency_examples: 50}
"""
)


def with_specifications(text: str) -> str:
    return SMALL + "specifications: " + text + "\n"


def jobs(study: Study) -> set[str]:
    """The names of all jobs of a study that lead to rows."""
    paths = Paths(study.name)
    todo = list(tasks.task(study, paths, "specifications").read)
    todo += tasks.task(study, paths, "aggregate").read
    found: dict[str, tasks.Task] = {}
    while todo:
        task = tasks.producer(study, paths, todo.pop())
        if task and task.name not in found:
            found[task.name] = task
            todo += task.read
    return set(found)


# What a study says


def test_axes_are_combined_and_variants_stand_beside_them(tmp_path: Path) -> None:
    study = load(tmp_path, VARIED)
    product = itertools.product(("short", "usual"), ("long", "usual"), ("global", "layer"))
    assert list(study.specified) == [*map("-".join, product), "decay", "few"]
    assert study.specified["short-usual-layer"].choices == {
        "budget": "short",
        "scratch": "usual",
        "scope": "layer",
    }
    assert study.specified["decay"].choices == {}


def test_a_specification_is_the_study_but_for_what_it_changes(tmp_path: Path) -> None:
    study = load(tmp_path, VARIED)
    changed = study.under("short-long-layer")
    assert changed.recipe("fine_tune").epochs == 2
    assert changed.recipe("scratch").epochs == 8
    assert changed.pruning("parameter").scope == "layer"
    plain, base = changed.plain, study.under("usual-usual-global").plain
    plain["recipes"]["fine_tune"]["epochs"] = base["recipes"]["fine_tune"]["epochs"]
    plain["recipes"]["scratch"]["epochs"] = base["recipes"]["scratch"]["epochs"]
    plain["grid"]["parameter"]["scope"] = base["grid"]["parameter"]["scope"]
    assert plain == base


def test_settings_that_no_combination_has_are_a_specification_of_their_own(tmp_path: Path) -> None:
    without = VARIED.replace("      usual: {}\n", "", 1)
    assert next(iter(load(tmp_path, without).specified)) == "base"
    assert "base" not in load(tmp_path, VARIED).specified


def test_the_later_of_two_axes_that_change_a_setting_counts(tmp_path: Path) -> None:
    text = """{axes: {
        epochs: {a: {recipes.fine_tune.epochs: 2, recipes.fine_tune.learning_rate: 0.1}},
        rate: {own: {}, tenth: {recipes.fine_tune.learning_rate: 0.001}}}}"""
    study = load(tmp_path, with_specifications(text))
    assert study.under("a-own").recipe("fine_tune").learning_rate == 0.1
    assert study.under("a-tenth").recipe("fine_tune").learning_rate == 0.001
    assert study.under("a-tenth").recipe("fine_tune").epochs == 2


def test_a_level_may_have_something_in_a_recipe_differently(tmp_path: Path) -> None:
    text = SMALL.replace(
        "    scope: layer\n", "    scope: layer\n    recipes: {fine_tune: {learning_rate: 0.5}}\n"
    )
    study = load(tmp_path, text)
    assert study.recipe("fine_tune", "neuron").learning_rate == 0.5
    assert study.recipe("fine_tune", "neuron").epochs == 4
    assert study.recipe("fine_tune", "parameter").learning_rate == 0.01
    assert study.recipe("scratch", "neuron").learning_rate == 0.01


def test_a_criterion_may_be_ranked_otherwise_than_its_level(tmp_path: Path) -> None:
    criteria = SMALL.replace("criteria: [merging]", "criteria: [merging, obd]")
    text = criteria.replace("scope: layer", "scope: global\n    scopes: {merging: layer}")
    study = load(tmp_path, text)
    assert study.pruning("neuron").scope_of("merging") == "layer"
    assert study.pruning("neuron").scope_of("obd") == "global"
    assert study.shares_scratch("neuron-merging", "scratch")
    assert not study.shares_scratch("neuron-obd", "scratch")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{variants: {a: {recipes.fine_tune.epoch: 2}}}", ("variants.a", "epoch", "unknown key")),
        ("{variants: {a: {recipe.fine_tune.epochs: 2}}}", ("recipe.fine_tune.epochs", "allowed")),
        ("{variants: {a: {grid.neurons.scope: layer}}}", ("grid.neurons.scope", "allowed")),
        ("{variants: {a: {recipes.fine_tune.epochs: 0}}}", ("variants.a", "epochs", "0", "1")),
        ("{variants: {a: {recipes.scratch: null}}}", ("variants.a", "recipes.scratch", "required")),
        ("{variants: {a: {seed: 7}}}", ("variants.a.seed", "no specification may change this")),
        ("{variants: {a: {claims.confidence: 0.9}}}", ("variants.a.claims.confidence",)),
        ("{variants: {a: {}}}", ("variants.a", "at least one setting")),
        ("{variants: {base: {data.saliency_examples: 9}}}", ("variants.base",)),
        ("{variants: {A b: {data.saliency_examples: 9}}}", ("variants", "a-z")),
        (
            "{variants: {a: {data.saliency_examples: 9}, b: {data.saliency_examples: 9}}}",
            ("specifications: b", "the same study as a"),
        ),
        (
            "{variants: {a: {data.saliency_examples: 9}, a: {data.saliency_examples: 8}}}",
            ("variants.a", "given only once"),
        ),
        (
            "{variants: {a: {data.saliency_examples: 10000}}}",
            ("specifications: a", "the same study as base"),
        ),
        ("{axes: {x: {}}}", ("axes.x", "at least one option")),
        ("{axes: {x: {a: {}, b: {}}}}", ("specifications: b", "the same study as a")),
        (
            "{axes: {x: {a: {}, b: {recipes.fine_tune.epochs: 2}}}, variants: {b: {options.x: 1}}}",
            ("variants.b", "no combination"),
        ),
        (
            "{axes: {x: {a: {}, b: {recipes.fine_tune.epochs: 0}}, y: {c: {}}}}",
            ("axes.x.b", "recipes.fine_tune.epochs"),
        ),
        (
            "{axes: {x: {a: {}, b: {grid.parameter.recipes.rewind.epochs: 3}}}}",
            ("axes.x.b", "rewind", "not in this grid"),
        ),
        ("{axes: {x: {a: {}, b: {grid.neuron.scope: global}}}}", ("axes.x.b", "merging")),
        (
            "{axes: {x: {base: {recipes.fine_tune.epochs: 2}, other: {}}}}",
            ("specifications.axes.x.base", "the name of the study's settings"),
        ),
        (
            "{axes: {x: {base: {recipes.fine_tune.epochs: 2}, o: {recipes.fine_tune.epochs: 3}}}}",
            ("specifications.axes.x.base",),
        ),
        (
            "{variants: {a: {grid.parameter.scopes: {magnitude: layer, obd_sd: layer}},"
            " b: {grid.parameter.scopes: {obd_sd: layer, magnitude: layer}}}}",
            ("specifications: b", "the same study as a"),
        ),
        # What no job reads, and another spelling of what is so anyway.
        *(
            (f"{{variants: {{a: {{{changes}}}}}}}", ("specifications: a", "the same study as base"))
            for changes in (
                "recipes.rewind: {learning_rate: 0.1, epochs: 9}",
                "options.dropout_damage.passes: 7",
                "grid.parameter.scopes.magnitude: global",
                "grid.neuron.recipes.scratch.epochs: 4",
                "regimes.longer: {start: fresh, recipe: {learning_rate: 0.1, epochs: 9}}",
            )
        ),
        ("{axes: 5}", ("specifications.axes",)),
        ("[a]", ("specifications",)),
        ("{axis: {}}", ("specifications.axis", "unknown key")),
    ],
)
def test_what_no_specification_can_be_is_refused_by_its_key(
    tmp_path: Path, text: str, said: tuple[str, ...]
) -> None:
    line = refusal(tmp_path, with_specifications(text))
    for words in said:
        assert words in line


def test_a_product_beyond_the_bound_is_refused_before_it_is_made(tmp_path: Path) -> None:
    options = ", ".join(f"o{i}: {{recipes.fine_tune.epochs: {i + 1}}}" for i in range(40))
    axes = ", ".join(f"a{i}: {{{options}}}" for i in range(6))
    line = refusal(tmp_path, with_specifications(f"{{axes: {{{axes}}}}}"))
    assert f"at most {MOST:,} specifications" in line
    assert f"{40**6:,}" in line


def test_an_option_named_base_may_be_the_study_s_own_settings(tmp_path: Path) -> None:
    study = load(
        tmp_path, with_specifications("{axes: {x: {base: {}, b: {recipes.scratch.epochs: 1}}}}")
    )
    assert study.under("base") is study


def test_settings_that_a_combination_spells_otherwise_are_no_specification_of_their_own(
    tmp_path: Path,
) -> None:
    text = "{axes: {x: {a: {grid.neuron.scopes.merging: layer}, b: {recipes.scratch.epochs: 1}}}}"
    assert list(load(tmp_path, with_specifications(text)).specified) == ["a", "b"]


def test_options_at_their_defaults_are_no_difference(tmp_path: Path) -> None:
    text = SMALL.replace("[merging]", "[merging, dropout_damage]")
    default = CRITERIA["dropout_damage"].options["probability"].default
    text += "specifications: {variants: {a: {options.dropout_damage.probability: %s}}}\n"
    load(tmp_path, text % (default / 2))
    assert "the same study as base" in refusal(tmp_path, text % default)


def test_too_many_variants_are_not_said_to_be_axes(tmp_path: Path) -> None:
    variants = ", ".join(f"v{i}: {{recipes.fine_tune.epochs: {i + 9}}}" for i in range(MOST + 1))
    line = refusal(tmp_path, with_specifications(f"{{variants: {{{variants}}}}}"))
    assert line.startswith("specifications: ")


def test_names_of_combinations_fit_into_a_folder_s_name(tmp_path: Path) -> None:
    axes = ", ".join(f"a{i}: {{{'o' * 30}{i}: {{}}}}" for i in range(9))
    line = refusal(tmp_path, with_specifications(f"{{axes: {{{axes}}}}}"))
    assert "specifications.axes" in line
    assert "at most" in line


def test_an_option_of_one_s_own_criterion_is_refused_by_the_variant_s_key(tmp_path: Path) -> None:
    (tmp_path / "snip.py").write_text(FUNCTION)
    text = with_specifications("{variants: {a: {options.snip.x: 2}}}") + PLUGIN
    assert "specifications.variants.a: " in refusal(tmp_path, text)


# What they share


def test_where_the_raw_data_are_changes_nothing_of_what_is_shared(tmp_path: Path) -> None:
    study = load(tmp_path, VARIED)
    task = tasks.task(study, Paths("mine"), "prepare", specification="few", root=tmp_path)
    assert task.specification == "base"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # few, decay in place of decay, few
        (VARIED[VARIED.index("    decay") :], "".join(VARIED.splitlines(keepends=True)[:-3:-1])),
        ("criteria: [magnitude, obd_sd]", "criteria: [obd_sd, magnitude]"),
    ],
)
def test_the_tables_are_made_again_where_only_their_order_changes(
    tmp_path: Path, before: str, after: str
) -> None:
    assert before in VARIED
    paths = Paths("mine")
    old = tasks.task(load(tmp_path, VARIED), paths, "specifications")
    new = tasks.task(load(tmp_path, VARIED.replace(before, after)), paths, "specifications")
    assert set(old.read) == set(new.read)
    assert json.dumps(old.settings, sort_keys=True) != json.dumps(new.settings, sort_keys=True)


def test_what_two_specifications_share_is_computed_once(tmp_path: Path) -> None:
    study = load(tmp_path, VARIED)
    by_stage = Counter(
        name.split("/")[2] if name.startswith("specifications/") else name.split("/")[0]
        for name in jobs(study)
    )
    # 3 methods, one sparsity each: merging, magnitude, obd_sd.
    assert by_stage["prepare"] == 1
    assert by_stage["train"] == 2  # decay has baselines of its own
    assert by_stage["evaluate"] == 2
    assert by_stage["score"] == 2 * 3 + 2  # decay; few, except magnitude, which sees no examples
    # fine_tune: 2 methods x 2 budgets x 2 scopes + merging x 2 budgets + decay x 3 + few x 2
    # scratch: the same
    assert by_stage["retrain"] == 2 * (2 * 2 * 2 + 2 + 3 + 2)
    # the widths do not depend on baselines or examples
    assert by_stage["scratch"] == 2
    assert by_stage["quantize"] == 2 * 2  # decay


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        # 2 methods x 2 scopes, and merging
        ("short: {recipes.fine_tune.epochs: 2}", "short: {recipes.fine_tune.epochs: 3}", 0),
        ("      usual: {}\n", "      more: {recipes.fine_tune.epochs: 6}\n      usual: {}\n", 5),
        ("    few: {data.s", "    other: {recipes.fine_tune.batch_size: 16}\n    few: {data.s", 3),
        ("    few: {data.s", "    other: {recipes.rewind.epochs: 9}\n    few: {data.s", None),
        ("    few: {data.s", "    other: {options.merging: null}\n    few: {data.s", None),
    ],
)
def test_an_edited_axis_adds_only_the_jobs_that_nothing_had(
    tmp_path: Path, before: str, after: str, new: int | None
) -> None:
    old = jobs(load(tmp_path, VARIED))
    text = VARIED.replace(before, after, 1)
    assert text != VARIED
    if new is None:
        refusal(tmp_path, text)
        return
    assert len(jobs(load(tmp_path, text)) - old) == new


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        # Merging works within layers, however that is said.
        ("{grid.neuron.scope: layer}", "{grid.neuron.scopes: {merging: layer}}", True),
        ("{grid.parameter.scope: layer}", "{grid.parameter.scopes: {magnitude: layer}}", True),
        (
            "{recipes.fine_tune.epochs: 3}",
            "{grid.parameter.recipes: {fine_tune: {epochs: 3}}}",
            True,
        ),
        ("{recipes.fine_tune.epochs: 3}", "{grid.neuron.recipes: {fine_tune: {epochs: 3}}}", False),
    ],
)
def test_jobs_of_equal_settings_are_shared_however_these_are_spelled(
    tmp_path: Path, one: str, other: str, alike: bool
) -> None:
    decay = "recipes.baseline.weight_decay: 0.1"
    short = f"{{{decay}, recipes.scratch.epochs: 6, {one[1:]}"
    long = f"{{{decay}, recipes.scratch.epochs: 7, {other[1:]}"
    text = with_specifications(f"{{variants: {{one: {short}, other: {long}}}}}")
    study = load(tmp_path, text)
    method = "neuron-merging" if "merging" in other else "parameter-magnitude"
    sparsity = repr(study.pruning(method.partition("-")[0]).sparsities[0])
    owners = {
        tasks.task(
            study,
            Paths(study.name),
            "retrain",
            specification=name,
            method=method,
            sparsity=sparsity,
            regime="fine_tune",
        ).specification
        for name in ("one", "other")
    }
    assert (len(owners) == 1) == alike


def test_every_specification_has_all_jobs_of_the_grid(tmp_path: Path) -> None:
    study = load(tmp_path, VARIED)
    _, paths = tasks.opened(study, Paths(study.name), "specifications")
    rows = shared.rows(study, paths)
    for name in study.specified:
        own = [made[name] for made in rows.values() if name in made]
        assert Counter(own) == Counter([None, *study.under(name).jobs()])


def test_a_study_without_specifications_keeps_its_files_where_they_were(tmp_path: Path) -> None:
    study = load(tmp_path, SMALL)
    assert study.specified == {}
    task = tasks.task(
        study, Paths("mine"), "retrain", method="parameter-obd_sd", sparsity="0.9", regime="scratch"
    )
    assert task.name == "retrain/parameter-obd_sd/0.9/scratch"
    assert Path("results/mine/parameter-obd_sd/0.9/scratch.csv") in task.outputs


def test_a_file_of_a_specification_is_made_again_by_a_command_that_names_it(tmp_path: Path) -> None:
    study = load(tmp_path, VARIED)
    paths = Paths("mine")
    task = tasks.task(
        *(study, paths, "retrain"),
        specification="short-long-layer",
        method="parameter-obd_sd",
        sparsity="0.9",
        regime="fine_tune",
    )
    # Shared with the first one that has this budget and this scope.
    assert task.specification == "short-long-layer"
    assert paths.command(task.outputs[0], "mine") == (
        "minified retrain mine --method parameter-obd_sd --sparsity 0.9 --regime fine_tune"
        " --specification short-long-layer"
    )
    assert tasks.producer(study, paths, task.outputs[0]) == task
