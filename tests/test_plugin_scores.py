"""What a reader's own criterion does and returns: taken rightly or refused in one line, and nothing
of it reaches the network, the examples or the random numbers of the caller.
"""

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from minified import pruning
from minified.criteria import CRITERIA, guard, score
from minified.criteria.record import Criterion, Option
from minified.foundations import files
from minified.foundations.errors import CriterionError, MinifiedError, ScoreError
from minified.jobs import prepare, train
from minified.jobs import score as score_job
from minified.study import Paths, load
from oracles import Problem, problem

HEAD = "def mine(level, network, inputs, targets, generator, **options):\n"
TOP = "import os, random, sys\nimport numpy as np\nimport torch\n"
SHAPES = {"0": (5,), "2": (4,)}


def scores_of(
    folder: Path, body: str, task: Problem | None = None, seed: int = 0, **fields: Any
) -> dict[str, Tensor]:
    """The scores of a criterion with this body, at neuron level."""
    file = folder / "mine.py"
    file.write_text(TOP + HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
    registry = CRITERIA | {"mine": Criterion("mine", file, ("neuron",), "mine", **fields)}
    here = task or problem("relu")
    return score("neuron-mine", here.network, here.inputs, here.targets, seed, registry=registry)


def single_line(error: MinifiedError) -> str:
    line = str(error)
    assert line.splitlines() == [line]
    return line


# Errors

RAISED = {
    "raise ValueError('first\\nsecond')": "ValueError: first",
    "raise ValueError('\\n\\n  third\\n')": "ValueError: third",
    "raise ValueError": "ValueError",
    "raise ValueError('x' * 10_000)": "ValueError: xxx",
    "sys.exit(0)": "SystemExit: 0",
    "sys.exit()": "SystemExit",
    "sys.exit('enough')": "SystemExit: enough",
    "exit(0)": "SystemExit: 0",
    "raise GeneratorExit": "GeneratorExit",
    "raise StopIteration(3)": "StopIteration: 3",
    "raise BaseException('odd')": "BaseException: odd",
    "raise ExceptionGroup('two', [ValueError(), KeyError()])": "ExceptionGroup: two (2 sub-exc",
    "raise BrokenPipeError(32, 'Broken pipe')": "BrokenPipeError: [Errno 32] Broken pipe",
    "raise EOFError": "EOFError",
    "1 / 0": "ZeroDivisionError: division by zero",
    "import nothing_there": "ModuleNotFoundError: No module named 'nothing_there'",
    "mine(level, network, inputs, targets, generator)": "RecursionError: maximum recursion depth",
    "from minified.foundations.errors import ScoreError; raise ScoreError('no')": "ScoreError: no",
    "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})": "Odd",
    "network[7]": "IndexError: index 7 is out of range",
    "torch.ones(2) @ torch.ones(3)": "RuntimeError: ",
}


@pytest.mark.parametrize("statement", RAISED)
def test_whatever_a_criterion_raises_is_one_line_with_its_file_line_type_and_message(
    tmp_path: Path, statement: str
) -> None:
    with pytest.raises(CriterionError) as caught:
        scores_of(tmp_path, f"x = 1\n{statement}")
    line = single_line(caught.value)
    assert line.startswith(f"criterion mine: {tmp_path / 'mine.py'}, line 6: {RAISED[statement]}")
    assert len(line) < 500
    assert caught.value.__cause__ is not None, "the traceback is of that error"


@pytest.mark.parametrize(
    ("top", "says"),
    [
        ("import nothing_there\n", "line 1: ModuleNotFoundError: No module named 'nothing_there'"),
        ("raise SystemExit(0)\n", "line 1: SystemExit: 0"),
        ("\n\nx = undefined\n", "line 3: NameError: name 'undefined'"),
        ("def mine(:\n", "line 1: SyntaxError: "),
        ("import os\ndef mine(): ...\n", "mine.py: TypeError: mine() takes 0 positional arguments"),
    ],
)
def test_an_error_in_the_import_or_the_call_of_a_criterion_is_one_line_too(
    tmp_path: Path, top: str, says: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(top)
    task = problem("relu")
    registry = CRITERIA | {"mine": Criterion("mine", file, ("neuron",), "mine")}
    with pytest.raises(CriterionError) as caught:
        score("neuron-mine", task.network, task.inputs, task.targets, 0, registry=registry)
    assert f"criterion mine: {file}" in single_line(caught.value)
    assert says in str(caught.value)


def test_an_interruption_is_passed_on_and_says_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        scores_of(tmp_path, "raise KeyboardInterrupt")
    (note,) = caught.value.__notes__
    assert note == f"criterion mine: {tmp_path / 'mine.py'}, line 5: KeyboardInterrupt"


# What it returns

BOTH = "return {name: f(size) for name, size in (('0', 5), ('2', 4))}"


def returned(folder: Path, value: str, **fields: Any) -> dict[str, Tensor]:
    """The scores of a criterion that returns `value` of `n`, the number of a layer's neurons."""
    return scores_of(folder, f"f = lambda n: {value}\n{BOTH}", **fields)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("torch.arange(n).float()", range),
        ("torch.arange(n).double()", range),
        ("torch.arange(n).half()", range),
        ("torch.arange(n).bfloat16()", range),
        ("torch.arange(n).to(torch.float8_e5m2)", range),
        ("torch.arange(n)", range),
        ("torch.arange(n).to(torch.uint8)", range),
        ("torch.arange(n) > 2", lambda n: [float(i > 2) for i in range(n)]),
        ("torch.tensor(2.0).expand(n)", lambda n: [2.0] * n),
        ("torch.arange(2 * n).float()[::2]", lambda n: [2.0 * i for i in range(n)]),
        ("torch.arange(n).float().flip(0)", lambda n: range(n - 1, -1, -1)),
        ("torch.nn.Parameter(torch.arange(n).float())", range),
        ("(torch.arange(n) * 1j).conj().imag", lambda n: [-float(i) for i in range(n)]),
        ("torch.arange(n).double().requires_grad_() * 2", lambda n: [2.0 * i for i in range(n)]),
        ("torch.full((n,), 2**53 - 1)", lambda n: [2.0**53 - 1] * n),
    ],
)
def test_numbers_of_every_real_type_and_layout_are_kept_and_can_be_saved(
    tmp_path: Path, value: str, expected: Callable[[int], Any]
) -> None:
    scores = returned(tmp_path, value)
    for name, (size,) in SHAPES.items():
        assert scores[name].tolist() == list(map(float, expected(size)))
        assert scores[name].dtype in (torch.float32, torch.float64)
        assert scores[name].is_contiguous()
        assert not scores[name].requires_grad
        assert type(scores[name]) is Tensor
    files.write_tensors(tmp_path / "scores.safetensors", scores)
    again, _ = files.read_tensors(tmp_path / "scores.safetensors", "np")
    for name, values in scores.items():
        assert again[name].tolist() == values.tolist()


def test_one_tensor_for_several_layers_can_be_saved(tmp_path: Path) -> None:
    body = "shared = torch.arange(5.0)\nreturn {'0': shared, '2': shared[:4]}"
    scores = scores_of(tmp_path, body)
    files.write_tensors(tmp_path / "scores.safetensors", scores)
    scores["0"][0] = 7.0
    assert scores["2"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_scores_made_under_inference_mode_can_be_used_like_any_other(tmp_path: Path) -> None:
    scores = scores_of(tmp_path, f"f = torch.zeros\nwith torch.inference_mode():\n    {BOTH}")
    assert not any(values.is_inference() for values in scores.values())


@pytest.mark.parametrize("values", ["-0.0, 0.0, -0.0, 0.0", "0.0, -0.0, 0.0, -0.0"])
def test_zeros_of_both_signs_are_equal_scores(tmp_path: Path, values: str) -> None:
    body = f"zeros = torch.tensor([{values}])\nreturn {{'0': torch.ones(5), '2': zeros}}"
    kept = pruning.kept_neurons(scores_of(tmp_path, body), 0.5)
    assert kept["2"].tolist() == [2, 3], "of equal scores the lowest index goes first"


@pytest.mark.filterwarnings("ignore")  # torch's, of types that it is about to drop
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("torch.ones(n) * 1j", "0 has complex scores, which have no order: return their .abs()"),
        ("torch.ones(n, dtype=torch.complex128)", "0 has complex scores"),
        ("torch.ones(n).to_sparse()", "0 must be a dense tensor, not torch.sparse_coo"),
        ("torch.nested.nested_tensor([torch.ones(n)])", "0 must be a dense tensor, not nested"),
        ("torch.ones(n, device='meta')", "0 is on the device meta"),
        ("torch.quantize_per_tensor(torch.ones(n), 1, 0, torch.qint8)", "0 has quantized scores"),
        ("np.ones(n)", "0 must be a torch.Tensor, not numpy.ndarray"),
        ("[1.0] * n", "0 must be a torch.Tensor, not list"),
        ("1.0", "0 must be a torch.Tensor, not float"),
        ("None", "0 must be a torch.Tensor, not NoneType"),
        ("torch.ones(n).as_subclass(type('Mine', (torch.Tensor,), {}))", "0 must be a torch.Ten"),
        ("torch.full((n,), 2**53)", "0 has integers of 2^53 or more"),
        ("torch.full((n,), -2**63)", "0 has integers of 2^53 or more"),
        ("torch.full((n,), torch.inf)", "0 has scores that are not finite numbers"),
        ("torch.full((n,), 1e5).half()", "0 has scores that are not finite numbers"),
        ("torch.full((n,), torch.nan).to(torch.float8_e5m2)", "not finite numbers"),
        ("torch.ones(n, 1)", r"0 has shape (5, 1), not (5,)"),
        ("torch.ones(())", r"0 has shape (), not (5,)"),
    ],
)
def test_what_cannot_be_ranked_is_refused_by_layer_in_one_line(
    tmp_path: Path, value: str, says: str
) -> None:
    with pytest.raises(ScoreError) as caught:
        returned(tmp_path, value)
    assert single_line(caught.value).startswith("neuron-mine: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("pass", "must return {layer: tensor of scores}, not NoneType"),
        ("return [torch.ones(5)]", "must return {layer: tensor of scores}, not list"),
        ("return torch.ones(5)", "must return {layer: tensor of scores}, not torch.Tensor"),
        ("yield torch.ones(5)", "must return {layer: tensor of scores}, not generator"),
        ("return {}", "scored [], but the units are ['0', '2']"),
        ("return {0: torch.ones(5), 'a\\nb': 1}", "scored ['0', 'a\\nb']"),
        ("return {None: 1, ('0', 1): 2}", "but the units are ['0', '2']"),
        ("return {f'{i}': 1 for i in range(10_000)}", "but the units are ['0', '2']"),
    ],
)
def test_what_is_not_one_tensor_per_layer_is_refused_in_one_line(
    tmp_path: Path, body: str, says: str
) -> None:
    with pytest.raises(ScoreError) as caught:
        scores_of(tmp_path, body)
    assert len(single_line(caught.value)) < 500
    assert says in str(caught.value)


# Random numbers

DRAWS = {
    "torch": "torch.rand(n, dtype=torch.float64)",
    "torch, in place": "torch.empty(n).normal_()",
    "torch, by a layer": "torch.nn.functional.dropout(torch.ones(n))",
    "NumPy": "torch.from_numpy(np.random.rand(n))",
    "NumPy, shuffled": "torch.from_numpy(np.random.permutation(n))",
    "Python": "torch.tensor([random.random() for _ in range(n)])",
    "Python, shuffled": "torch.tensor(random.sample(range(n), n))",
}


@pytest.mark.parametrize("draw", DRAWS)
def test_draws_from_a_global_generator_depend_on_the_seed_alone(tmp_path: Path, draw: str) -> None:
    found = []
    for before in range(3):
        torch.manual_seed(before)
        np.random.seed(before)
        random.seed(before)
        states = torch.get_rng_state(), tuple(np.random.get_state())[1], random.getstate()
        found.append(returned(tmp_path, DRAWS[draw]))
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(tuple(np.random.get_state())[1], states[1])
        assert random.getstate() == states[2]
    other = returned(tmp_path, DRAWS[draw], seed=1)
    for name in SHAPES:
        assert torch.equal(found[0][name], found[1][name])
        assert torch.equal(found[0][name], found[2][name])
    assert any(not torch.equal(found[0][name], other[name]) for name in SHAPES)


def test_draws_while_the_file_is_imported_depend_on_the_seed_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    lines = ["NOISE = torch.rand(5)", HEAD + "    return {'0': NOISE, '2': NOISE[:4]}"]
    file.write_text(TOP + "\n".join(lines))
    task = problem("relu")
    registry = CRITERIA | {"mine": Criterion("mine", file, ("neuron",), "mine")}
    found = []
    for _ in range(2):
        arguments = ("neuron-mine", task.network, task.inputs, task.targets, 0)
        found.append(score(*arguments, registry=registry)["0"])
        torch.rand(3)
    assert torch.equal(*found)


def test_the_global_and_the_given_generator_give_different_numbers(tmp_path: Path) -> None:
    both = "torch.stack([torch.rand(n), torch.rand(n, generator=generator)])"
    scores = returned(tmp_path, f"(lambda a: a[0] - a[1])({both})")
    assert scores["0"].abs().min() > 0


def test_generators_are_restored_after_an_error_as_well(tmp_path: Path) -> None:
    states = torch.get_rng_state(), random.getstate()
    with pytest.raises(CriterionError):
        scores_of(tmp_path, "torch.rand(3); random.random(); 1 / 0")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


@pytest.mark.parametrize("in_use", [True, False])
def test_the_generators_of_cuda_devices_are_seeded_and_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_use: bool
) -> None:
    """With devices made of lists, since the machine may have none."""
    states: list[Any] = ["a", "b"]

    def seed_all(seed: int) -> None:
        states[:] = [seed] * 2

    def restore(kept: list[Any]) -> None:
        states[:] = kept

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: in_use)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: list(states))
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", restore)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seed_all)
    seen = []
    for _ in range(2):
        with guard.seeded(3):
            seen.append(list(states))
        assert states == (["a", "b"] if in_use else [torch.initial_seed()] * 2)
    assert seen[0] == seen[1]
    assert seen[0] not in (["a", "b"], [torch.initial_seed()] * 2)


UNSEEDED = {
    "numpy.random.default_rng": "torch.from_numpy(np.random.default_rng().random(n))",
    "random.SystemRandom": "torch.tensor([random.SystemRandom().random() for _ in range(n)])",
    "random.Random": "torch.tensor([random.Random().random() for _ in range(n)])",
    "os.urandom": "torch.tensor(list(os.urandom(n)))",
    "the clock": "torch.full((n,), __import__('time').perf_counter(), dtype=torch.float64)",
    "an earlier call": "torch.full((n,), vars(sys).setdefault('c', iter(range(99))).__next__())",
}

STUDY = """\
network: {name: mlp, widths: [5, 4]}
replicates: 2
recipes: {baseline: &short {learning_rate: 0.01, epochs: 1}, fine_tune: *short}
grid:
  neuron: {criteria: [mine], sparsities: [0.5], regimes: [fine_tune], scope: layer}
criteria: {mine: {file: mine.py, levels: [neuron]}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose baselines are trained."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "mine.py").write_text(f"{HEAD}    ...\n")
    (folder / "small.yaml").write_text(STUDY)
    study, paths = load(folder / "small.yaml"), Paths("small", folder / "results")
    prepare.prepare(study, paths, None)
    train.train(study, paths)
    return folder


@pytest.mark.parametrize("draw", UNSEEDED)
def test_a_job_refuses_scores_that_it_cannot_repeat(trained: Path, draw: str) -> None:
    layers = "return {name: f(size) for name, size in (('1', 5), ('3', 4))}"
    body = f"    f = lambda n: {UNSEEDED[draw]}\n    {layers}\n"
    (trained / "mine.py").write_text(TOP + HEAD + body)
    study, paths = load(trained / "small.yaml"), Paths("small", trained / "results")
    with pytest.raises(ScoreError, match=r"mine\.py: gives other scores when it is run again"):
        score_job.score(study, paths, "neuron-mine")
    (trained / "mine.py").write_text(
        TOP + HEAD + f"    f = lambda n: {DRAWS['torch']}\n    {layers}\n"
    )
    score_job.score(study, paths, "neuron-mine")
    assert paths.scores("neuron-mine").is_file()
    paths.scores("neuron-mine").unlink()


# The network and the examples

CHANGES = {
    "weights": "network[0].weight.data.zero_()",
    "a new weight": "network[0].weight = torch.nn.Parameter(torch.zeros(5, 4))",
    "requires_grad": "network.requires_grad_(False)",
    "gradients": "network(inputs).sum().backward()",
    "the mode": "network.train()",
    "hooks": "network[0].register_forward_hook(lambda *_: torch.zeros(()))",
    "a weight's hooks": "network[0].weight.register_hook(lambda gradient: gradient * 0)",
    "layers": "network[1] = torch.nn.Tanh()",
    "a layer's kind": "network[1].__class__ = torch.nn.Tanh",
    "examples": "inputs.zero_()",
    "examples, by NumPy": "inputs.numpy()[:] = 0",
    "examples' gradients": "inputs.requires_grad_(True)",
    "targets": "targets.zero_()",
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_that_a_criterion_does_to_network_and_examples_reaches_the_caller(
    tmp_path: Path, change: str
) -> None:
    task = problem("relu")
    before, examples = copy.deepcopy(task.network), task.inputs.clone()
    logits, targets = task.network(task.inputs).detach(), task.targets.clone()
    scores_of(tmp_path, f"{CHANGES[change]}\nf = torch.ones\n{BOTH}", task)
    assert torch.equal(task.inputs, examples)
    assert not task.inputs.requires_grad
    assert torch.equal(task.targets, targets)
    assert repr(task.network) == repr(before)
    for one, old in zip(task.network.modules(), before.modules(), strict=True):
        assert one.training == old.training
    for parameter in task.network.parameters():
        assert parameter.requires_grad
        assert parameter.grad is None
        assert parameter._backward_hooks is None
    assert torch.equal(task.network(task.inputs), logits)


def test_a_criterion_sees_the_network_in_eval_mode_and_without_gradients(tmp_path: Path) -> None:
    task = problem("relu")
    task.network.train()
    task.network(task.inputs).sum().backward()
    seen = "float(network.training) + sum(p.grad is not None for p in network.parameters())"
    scores = scores_of(tmp_path, f"f = lambda n: torch.full((n,), {seen})\n{BOTH}", task)
    assert scores["0"].tolist() == [0.0] * 5
    assert task.network.training
    assert all(parameter.grad is not None for parameter in task.network.parameters())


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("os.chdir('/')", Path.cwd),
        ("torch.set_default_dtype(torch.float64)", torch.get_default_dtype),
        ("torch.set_grad_enabled(False)", torch.is_grad_enabled),
        ("torch.set_num_threads(2)", torch.get_num_threads),
        ("torch.use_deterministic_algorithms(True)", torch.get_deterministic_debug_mode),
    ],
)
@pytest.mark.parametrize("end", ["", "\n1 / 0"], ids=["returns", "raises"])
def test_the_folder_and_torch_s_settings_are_as_before(
    tmp_path: Path, statement: str, read: Callable[[], Any], end: str
) -> None:
    before = read()
    try:
        scores_of(tmp_path, f"{statement}{end}\nf = torch.ones\n{BOTH}")
    except CriterionError:
        assert end
    assert read() == before


# Options


def test_options_reach_the_function_as_keywords_and_with_their_declared_types(
    tmp_path: Path,
) -> None:
    value = "torch.tensor([options['power'], type(options['power']) is float] + [0] * (n - 2))"
    fields: dict[str, Any] = {"options": {"power": Option(1.5, above=0)}}
    assert returned(tmp_path, value, **fields)["0"][:2].tolist() == [1.5, 1.0]
    task = problem("relu")
    registry = CRITERIA | {
        "mine": Criterion("mine", tmp_path / "mine.py", ("neuron",), "mine", **fields)
    }
    arguments = ("neuron-mine", task.network, task.inputs, task.targets, 0)
    assert score(*arguments, registry=registry, power=2)["0"][:2].tolist() == [2.0, 1.0]


def test_a_network_that_cannot_be_scored_is_refused_before_the_criterion_runs(
    tmp_path: Path,
) -> None:
    task = problem("relu")
    odd = Problem(nn.Sequential(nn.LSTM(4, 4)), task.inputs, task.targets, {})
    with pytest.raises(MinifiedError, match=r"0 \(LSTM\): not supported"):
        scores_of(tmp_path, "os._exit(3)", odd)
