"""A study's text: YAML 1.2 within bounds, or refused at once, whatever it would build."""

from pathlib import Path

import pytest

from conftest import SMALL
from studies import load, outcome, refusal

pytestmark = pytest.mark.usefixtures("never_hangs")


def test_numbers_are_read_as_yaml_1_2_has_them(tmp_path: Path) -> None:
    # YAML 1.1 reads 1e-3 as a word and `no` as false.
    loaded = load(tmp_path, SMALL.replace("learning_rate: 0.01", "learning_rate: 1e-3"))
    assert loaded.recipes.baseline.learning_rate == 1e-3


def test_keys_that_are_merged_count_unless_the_recipe_has_its_own(tmp_path: Path) -> None:
    merged = "{<<: [*short, {epochs: 7, momentum: 0.5}], batch_size: 8}"
    loaded = load(tmp_path, SMALL.replace("fine_tune: *short", f"fine_tune: {merged}"))
    recipe = loaded.recipe("fine_tune")
    assert (recipe.learning_rate, recipe.epochs) == (0.01, 4)
    assert (recipe.momentum, recipe.batch_size) == (0.5, 8)


@pytest.mark.parametrize(
    ("recipe", "start"),
    [
        ("{<<: *short, <<: *short}", "recipes.fine_tune.<<: {'batch_size': 32,"),
        (
            "{<<: *short, epochs: 5, epochs: 6}",
            "recipes.fine_tune.epochs: 6: a key may be given only once",
        ),
        (
            "{<<: {epochs: 5, epochs: 6}}",
            "recipes.fine_tune.<<.epochs: 6: a key may be given only once",
        ),
        ("{<<: 5}", "recipes.fine_tune.<<: 5: must be keys and values to merge"),
        ("{<<: [*short, 5]}", "recipes.fine_tune.<<: [{"),
        ("{<<: {zzz: 5}}", "recipes.fine_tune.zzz: 5: unknown key"),
    ],
)
def test_what_cannot_be_merged_is_refused(tmp_path: Path, recipe: str, start: str) -> None:
    line = refusal(tmp_path, SMALL.replace("fine_tune: *short", f"fine_tune: {recipe}"))
    assert line.startswith(start)


def laughs(levels: int, pattern: str) -> str:
    """Aliases of aliases: a few hundred bytes that spell out 9 ** levels values."""
    lines = ["l0: &l0 {x: 1}"]
    for level in range(1, levels + 1):
        aliases = ",".join([f"*l{level - 1}"] * 9)
        lines.append(f"l{level}: &l{level} {pattern.format(aliases)}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (laughs(7, "[{}]"), "at most 50,000 values"),
        (laughs(7, "{{<<: [{}]}}"), "at most 50,000 values"),
        (laughs(7, "[{}]") + "replicates: *l7\n", "at most 50,000 values"),
        (laughs(3, "[{}]"), "l0: {'x': 1}: unknown key"),
        ("a: &a [*a]\n", "a[0][0][0]: line 1: must be nested at most 16 deep"),
        ("a: &a {a: *a}\n", "a.a.a.a: line 1: must be nested at most 16 deep"),
        ("&a\n? *a\n: 1\n", "a key must be a word"),
        ("".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 999)), "undefined alias 'x0'"),
        ("x0: &x0 1\n" + "".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 999)), "16 deep"),
        ("[" * 100_000, "at most 16 deep"),
        ("{a: " * 50_000, "at most 16 deep"),
        ("- " * 100_000, "at most 16 deep"),
        ("? " * 100_000, "at most 16 deep"),
        ("#" * 300_000, "at most 262,144 bytes"),
        ("a" * 200_000, "at most 1,000 characters"),
        ("a" * 900 + ": 1\n", "unknown key"),
        ("x: [" + ",".join("9" * 2_000) + "]", "unknown key"),
        ("a: 1\n---\nb: 1\n", "line 2, expected a single document"),
        ("a: 1\n\tb: 1\n", "line 2"),
        ("a: 1\0\n", r"line 1: the character '\x00' is not allowed"),
        ("a: 1\n# \x1b[2J\n", r"line 2: the character '\x1b' is not allowed"),
        ("a: 1\n# \ud800\n", "UTF-8 text, but line 2 is not"),
        (SMALL.encode("utf-16"), "UTF-8 text"),
        (SMALL.encode("utf-16-le"), r"the character '\x00' is not allowed"),
        (SMALL.encode() + b"# \xe9\n", "UTF-8 text, but line 24 is not"),
        ("%YAML 1.1\n---\n" + SMALL, "%YAML: must be 1.2"),
        ("%YAML 1.3\n---\n" + SMALL, "not valid YAML"),
        ("%YAML 7\n---\n" + SMALL, "not valid YAML"),
        ('a: "\\U00110000"\n', "not valid YAML"),
        ("!!python/object/apply:os.system [true]", "!!python/object/apply:os.system"),
        (r'"\e\n\u2028": 1', r"'\x1b\n\u2028': 1: unknown key"),
        (r'"a.b: c": 1', "'a.b: c': 1: unknown key"),
        ("", "must hold keys and values"),
        ("- a\n- b\n", "['a', 'b']: a study must hold keys and values"),
        ("a: *b", "undefined alias 'b'"),
        ("a: *" + "b" * 100_000, "undefined alias 'bbb"),
        ("a: !!int ''", "a: '': must be a valid int"),
        ("a: !!float b", "a: 'b': must be a valid float"),
        ("a: !!bool b", "a: 'b': must be a valid bool"),
        ("a: !!set {b, c}", "a: !!set (line 1): must be a number"),
        ('criteria: {"\\ud800": {}}', r"criteria: '\ud800': must be a valid str"),
        ("a: [1\nb: 2\n", "not valid YAML: line 2"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_hostile_or_broken_text_is_refused_at_once(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    assert words in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + SMALL,
        SMALL.replace("\n", "\r\n"),
        "---\n" + SMALL + "...\n",
        "%YAML 1.2\n---\n" + SMALL,
        SMALL.replace("scratch: *short", "scratch: &short {learning_rate: 1, epochs: 1}"),
    ],
    ids=["byte order mark", "carriage returns", "document marks", "version", "anchor used again"],
)
@pytest.mark.filterwarnings("error")
def test_what_yaml_allows_and_editors_write_is_read(folder: Path, text: str) -> None:
    assert outcome(folder, text) == ""
