"""Arguments of the public functions, odd ones among them: the cases that docs/library.md lists."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learners import clusters, conv, dropout_mlp, mlp, recipe
from minified import data, evaluation, networks, pruning, quantization
from minified.criteria import score
from minified.criteria.derivatives import derivatives
from minified.data import Dataset, Split
from minified.data.dataset import stratified
from minified.foundations.rounds import Round
from minified.training import apply_masks, check_masks, fit, re_estimate

METHODS = (
    *("parameter-random", "parameter-magnitude", "parameter-obd", "neuron-obd_sd"),
    *("neuron-merging", "neuron-dropout_damage", "neuron-kfac", "neuron-activity"),
)
SHORT = recipe(epochs=1)
# Networks that train together, one that trains alone, and one that trains alone on images.
BUILT = {"stacked": mlp, "single": dropout_mlp, "images": conv}


def network_of(kind: str) -> Any:
    return BUILT[kind](0)


def split_of(kind: str) -> Split:
    return clusters((1, 4, 4) if kind == "images" else (6,))


# The functions, by what they take


def with_labels(network: nn.Module, split: Split) -> dict[str, Callable[[], Any]]:
    """Every function that uses inputs and labels."""
    inputs, targets = split.inputs, split.targets
    return {
        "performance": lambda: evaluation.performance(network, split),
        "accuracy": lambda: evaluation.accuracy(network, split),
        "loss": lambda: evaluation.loss(network, split),
        "re_estimate": lambda: re_estimate(network, split, 16),
        "parameter": lambda: derivatives(network, inputs, targets, "parameter"),
        "neuron": lambda: derivatives(network, inputs, targets, "neuron"),
        **{method: partial(score, method, network, inputs, targets, 0) for method in METHODS},
        # Last: where it diverges, the running statistics have changed.
        "fit": lambda: fit([network], split, SHORT),
    }


def with_inputs(network: nn.Module, split: Split) -> dict[str, Callable[[], Any]]:
    """Every function that uses inputs."""
    return {
        "merge_neurons": lambda: pruning.merge_neurons(network, split.inputs, 0.5),
        "latency": lambda: evaluation.latency(network, split.inputs, 1),
    } | with_labels(network, split)


def with_masks(network: nn.Module, masks: Any) -> dict[str, Callable[[], Any]]:
    return {
        "fit": lambda: fit([network], clusters(), SHORT, [masks]),
        "parameters": lambda: evaluation.parameters(network, masks),
        "flops": lambda: evaluation.flops(network, (6,), masks),
        "stored_bytes": lambda: evaluation.stored_bytes(network, masks),
        "apply_masks": lambda: apply_masks(network, masks),
        "check_masks": lambda: check_masks(network, masks),
    }


def with_bits(network: nn.Module, bits: Any) -> dict[str, Callable[[], Any]]:
    weight = next(network.parameters()).detach()
    return {
        "quantize": lambda: quantization.quantize(network, bits),
        "grid": lambda: quantization.grid(weight, bits),
        "rounded": lambda: quantization.rounded(weight, bits),
        "straight_through": lambda: quantization.straight_through(weight, bits),
        "fit": lambda: fit([network], clusters(), SHORT, bits=bits),
        "stored_bytes": lambda: evaluation.stored_bytes(network, bits=bits),
        "re_estimate": lambda: re_estimate(network, clusters(), 16, bits),
    }


SCORES = {"0": torch.rand(5, generator=torch.Generator().manual_seed(0)), "2": torch.ones(4)}


def with_sparsity(sparsity: Any) -> dict[str, Callable[[], Any]]:
    return {
        "parameter_masks": lambda: pruning.parameter_masks(SCORES, sparsity),
        "kept_neurons": lambda: pruning.kept_neurons(SCORES, sparsity),
        "merge_neurons": lambda: pruning.merge_neurons(mlp(0), clusters().inputs, sparsity),
    }


def with_scope(scope: Any) -> dict[str, Callable[[], Any]]:
    return {
        "parameter_masks": lambda: pruning.parameter_masks(SCORES, 0.5, scope),
        "kept_neurons": lambda: pruning.kept_neurons(SCORES, 0.5, scope),
        "merge_neurons": lambda: pruning.merge_neurons(mlp(0), clusters().inputs, 0.5, scope),
    }


def with_scores(scores: Any) -> dict[str, Callable[[], Any]]:
    return {
        "parameter_masks": lambda: pruning.parameter_masks(scores, 0.5),
        "kept_neurons": lambda: pruning.kept_neurons(scores, 0.5),
    }


def with_step(make: Any) -> dict[str, Callable[[], Any]]:
    return {
        "parameter_masks": lambda: pruning.parameter_masks(SCORES, 0.5, step=make()),
        "kept_neurons": lambda: pruning.kept_neurons(SCORES, 0.5, step=make()),
    }


def with_earlier_masks(masks: Any) -> dict[str, Callable[[], Any]]:
    split, shapes = clusters(), {"0.weight": (8, 6), "2.weight": (5, 8), "4.weight": (3, 5)}
    scores = {name: torch.ones(shape) for name, shape in shapes.items()}
    given = ("parameter-magnitude", mlp(0), split.inputs, split.targets, 0)
    return {
        "parameter_masks": lambda: pruning.parameter_masks(scores, 0.5, masks=masks),
        "score": lambda: score(*given, masks=masks),
    }


def with_widths(widths: Any) -> dict[str, Callable[[], Any]]:
    return {"kept_neurons": lambda: pruning.kept_neurons(SCORES, 0.5, widths=widths)}


def with_kept(indices: Any) -> dict[str, Callable[[], Any]]:
    return {"remove_neurons": lambda: pruning.remove_neurons(mlp(0), {"0": indices})}


def with_seed(seed: Any) -> dict[str, Callable[[], Any]]:
    split = clusters()
    return {
        "fit": lambda: fit([mlp(0), mlp(1)], split, SHORT, seeds=[3, seed]),
        "score": lambda: score("neuron-random", mlp(0), split.inputs, split.targets, seed),
        "initialise": lambda: networks.initialise(mlp(0), seed),
        "load": lambda: data.load("digits", seed=seed),
    }


def with_network(network: Any) -> dict[str, Callable[[], Any]]:
    """Every function that takes a network, on what a network of six inputs and 3 classes takes."""
    split = clusters()
    one = torch.ones(8, 6, dtype=torch.bool)
    return with_inputs(network, split) | {
        "quantize": lambda: quantization.quantize(network, 4),
        "remove_neurons": lambda: pruning.remove_neurons(network, {"0": [0, 1]}),
        "parameters": lambda: evaluation.parameters(network, {"0.weight": one}),
        "flops": lambda: evaluation.flops(network, (6,)),
        "stored_bytes": lambda: evaluation.stored_bytes(network),
        "apply_masks": lambda: apply_masks(network, {"0.weight": one}),
        "prunable": lambda: networks.prunable(network),
        "read": lambda: networks.read(network),
    }


def with_recipe(**changes: Any) -> dict[str, Callable[[], Any]]:
    plain = SimpleNamespace(**(dict(SHORT) | changes))
    return {"fit": lambda: fit([mlp(0)], clusters(), plain)}


def with_split(split: Any) -> dict[str, Callable[[], Any]]:
    return {
        "fit": lambda: fit([mlp(0)], split, SHORT),
        "performance": lambda: evaluation.performance(mlp(0), split),
        "re_estimate": lambda: re_estimate(mlp(0), split, 16),
    }


def with_shape(shape: Any) -> dict[str, Callable[[], Any]]:
    return {
        "build": lambda: networks.build("mlp", shape, 3),
        "flops": lambda: evaluation.flops(mlp(0), shape),
    }


def built(name: str = "mlp", classes: Any = 3, **options: Any) -> dict[str, Callable[[], Any]]:
    shape = (6,) if name == "mlp" else (1, 32, 32)
    return {"build": lambda: networks.build(name, shape, classes, **options)}


def fitted(many: Any = None, **changes: Any) -> dict[str, Callable[[], Any]]:
    several = [mlp(0), mlp(1)] if many is None else many
    return {"fit": lambda: fit(several, clusters(), SHORT, **changes)}


def rounding(weight: Any) -> dict[str, Callable[[], Any]]:
    return {
        "grid": lambda: quantization.grid(weight, 4),
        "rounded": lambda: quantization.rounded(weight, 4),
        "straight_through": lambda: quantization.straight_through(weight, 4),
    }


IMAGES = Split(torch.rand(9, 1, 2, 2), torch.arange(9) % 3)
DATASET = Dataset(IMAGES, IMAGES, IMAGES, 3)


def saved(folder: Path, dataset: Any) -> dict[str, Callable[[], Any]]:
    return {"save": lambda: data.save(dataset, folder / "data.safetensors", "mine")}


# The cases


class Named(Tensor):
    """As libraries derive from torch.Tensor for images, masks or boxes."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the page: what is given, and to which functions.

    `calls` makes the calls; `says` is in the message, by default the argument's name.
    """

    argument: str
    given: str
    outcome: str
    calls: Callable[..., Mapping[str, Callable[[], Any]]]
    says: str = ""

    @property
    def named(self) -> str:
        """What the message must have: a regular expression."""
        return self.says or self.argument.rpartition(": ")[2]

    def __str__(self) -> str:
        return f"{self.argument}: {self.given}"


def altered(tensor: Tensor, value: float) -> Tensor:
    """A copy with one number replaced."""
    changed = tensor.clone()
    changed.view(-1)[-1] = value
    return changed


def of_inputs(change: Callable[[Tensor], Any]) -> Callable[[str], Mapping[str, Any]]:
    def calls(kind: str) -> Mapping[str, Any]:
        split = split_of(kind)
        return with_inputs(network_of(kind), Split(change(split.inputs), split.targets))

    return calls


def of_targets(change: Callable[[Tensor], Any]) -> Callable[[str], Mapping[str, Any]]:
    def calls(kind: str) -> Mapping[str, Any]:
        split = split_of(kind)
        return with_labels(network_of(kind), Split(split.inputs, change(split.targets)))

    return calls


INPUTS: list[tuple[str, str, Callable[[Tensor], Any]]] = [
    ("of the network's dtype", "taken", lambda x: x),
    (
        "not contiguous",
        "taken",
        lambda x: x.flip(-1).clone().flip(-1).transpose(0, -1).contiguous().transpose(0, -1),
    ),
    ("expanded", "taken", lambda x: x[:1].expand(x.shape)),
    ("float64 for a float32 network", "refused", lambda x: x.double()),
    ("float16 or bfloat16", "refused", lambda x: x.bfloat16()),
    ("uint8 or another integer type", "refused", lambda x: x.byte()),
    ("bool", "refused", lambda x: x > 0),
    ("complex", "refused", lambda x: x.to(torch.complex64)),
    ("a NumPy array", "refused", lambda x: x.numpy()),
    ("a list", "refused", lambda x: x.tolist()),
    ("None", "refused", lambda x: None),
    ("sparse or nested", "refused", lambda x: x.to_sparse()),
    ("of a subclass of torch.Tensor", "refused", lambda x: x.as_subclass(Named)),
    ("on another device", "refused", lambda x: x.to("meta")),
    ("that require gradients", "refused", lambda x: x.clone().requires_grad_()),
    ("too few features or channels, too small images", "refused", lambda x: x[..., :-1]),
    ("too many features or channels, too large images", "refused", lambda x: torch.cat([x, x], 1)),
    ("of one dimension too many", "refused", lambda x: x.unsqueeze(1)),
    ("a single example without its batch", "refused", lambda x: x[0]),
    ("a single number", "refused", lambda x: x.flatten()[0]),
    ("none at all", "refused", lambda x: x[:0]),
    ("nan among them", "refused", lambda x: altered(x, float("nan"))),
    ("inf among them", "refused", lambda x: altered(x, -float("inf"))),
]
TARGETS: list[tuple[str, str, Callable[[Tensor], Any]]] = [
    ("int64 class indices", "taken", lambda y: y),
    ("labels of which some class is missing", "taken", lambda y: y.clamp(max=1)),
    ("-100", "refused", lambda y: altered(y, -100)),
    ("-1", "refused", lambda y: altered(y, -1)),
    ("as large as the number of classes", "refused", lambda y: altered(y, 3)),
    ("int32 or another integer type", "refused", lambda y: y.int()),
    ("uint8", "refused", lambda y: y.byte()),
    ("float", "refused", lambda y: y.float()),
    ("bool", "refused", lambda y: y > 0),
    ("one-hot", "refused", lambda y: F.one_hot(y)),
    ("probabilities", "refused", lambda y: F.one_hot(y).float()),
    ("of shape (N, 1)", "refused", lambda y: y[:, None]),
    ("a single label", "refused", lambda y: y[0]),
    ("fewer than inputs", "refused", lambda y: y[:-1]),
    ("more than inputs", "refused", lambda y: torch.cat([y, y])),
    ("none at all", "refused", lambda y: y[:0]),
    ("a list", "refused", lambda y: y.tolist()),
    ("a NumPy array", "refused", lambda y: y.numpy()),
    ("None", "refused", lambda y: None),
    ("on another device", "refused", lambda y: y.to("meta")),
]
ONES = torch.ones(8, 6, dtype=torch.bool)
MASKS: list[tuple[str, str, Any]] = [
    ("bool tensors by weight", "taken", {"0.weight": ONES, "2.weight": torch.ones(5, 8) > 0}),
    ("for some of the weights", "taken", {"2.weight": torch.ones(5, 8, dtype=torch.bool)}),
    ("none", "taken", {}),
    ("expanded bool tensors", "taken", {"0.weight": ONES[:1].expand(8, 6)}),
    ("float 0 and 1", "refused", {"0.weight": ONES.float()}),
    ("integers", "refused", {"0.weight": ONES.long()}),
    ("uint8", "refused", {"0.weight": ONES.byte()}),
    ("of another shape", "refused", {"0.weight": ONES.T}),
    ("of one dimension", "refused", {"0.weight": ONES[:, 0]}),
    ("for a bias", "refused", {"0.bias": ONES[:, 0]}),
    ("for a layer without weights", "refused", {"1.weight": ONES}),
    ("for a layer that the network does not have", "refused", {"9.weight": ONES}),
    ("for a layer by its name alone", "refused", {"0": ONES}),
    ("NumPy arrays", "refused", {"0.weight": ONES.numpy()}),
    ("lists", "refused", {"0.weight": ONES.tolist()}),
    ("None for a weight", "refused", {"0.weight": None}),
    ("on the meta device", "refused", {"0.weight": ONES.to("meta")}),
    ("a list in place of a dict", "refused", [ONES]),
]
BITS: list[tuple[str, str, Any]] = [
    ("1 to 8", "taken", 1),
    ("a NumPy integer", "taken", np.int8(8)),
    ("0", "refused", 0),
    ("negative", "refused", -1),
    ("9 or more", "refused", 9),
    ("a fraction", "refused", 2.5),
    ("a whole float", "refused", 4.0),
    ("nan", "refused", float("nan")),
    ("True", "refused", True),
    ("a text", "refused", "8"),
]
SPARSITIES: list[tuple[str, str, Any]] = [
    ("a number in [0, 1)", "taken", 0.5),
    ("0", "taken", 0),
    ("a NumPy number", "taken", np.float32(0.5)),
    ("1", "refused", 1.0),
    ("negative", "refused", -0.1),
    ("a percentage", "refused", 50),
    ("nan", "refused", float("nan")),
    ("inf", "refused", float("inf")),
    ("True or False", "refused", False),
    ("a text", "refused", "0.5"),
    ("None", "refused", None),
    ("a tensor", "refused", torch.tensor(0.5)),
]
SCORED: list[tuple[str, str, Any]] = [
    ("float tensors", "taken", SCORES),
    ("integers up to 2^53", "taken", {"0": torch.arange(5)}),
    ("inf and -inf", "taken", {"0": torch.tensor([1.0, float("inf"), -float("inf")])}),
    ("that require gradients", "taken", {"0": torch.rand(4).requires_grad_()}),
    ("nan", "refused", {"0": torch.tensor([1.0, float("nan")])}),
    ("integers beyond 2^53", "refused", {"0": torch.tensor([2**60, 2**60 + 1])}),
    ("complex", "refused", {"0": torch.ones(3, dtype=torch.complex64)}),
    ("bool, as masks are", "refused", {"0": torch.ones(3, dtype=torch.bool)}),
    ("without a number", "refused", {"0": torch.ones(0)}),
    ("lists", "refused", {"0": [1.0, 2.0]}),
    ("NumPy arrays", "refused", {"0": np.ones(3)}),
    ("on the meta device", "refused", {"0": torch.ones(3, device="meta")}),
    ("no layer", "refused", {}),
    ("a tensor in place of a dict", "refused", torch.ones(3)),
]
KEPT: list[tuple[str, str, Any]] = [
    ("a list of indices", "taken", [0, 2, 5]),
    ("a tensor of indices", "taken", torch.tensor([0, 2, 5])),
    ("a NumPy array of indices", "taken", np.array([0, 2, 5])),
    ("a range", "taken", range(3)),
    ("in another order", "taken", [5, 0, 2]),
    ("a bool mask", "refused", torch.ones(8, dtype=torch.bool)),
    ("a list of True and False", "refused", [True] * 8),
    ("floats", "refused", [0.0, 2.0]),
    ("twice the same", "refused", [0, 2, 2]),
    ("negative", "refused", [-1, 0]),
    ("too high", "refused", [0, 8]),
    ("none", "refused", []),
    ("a single index", "refused", 3),
    ("of two dimensions", "refused", torch.tensor([[0, 2]])),
    ("a set", "refused", {0, 2}),
    ("a text", "refused", "01"),
    ("None", "refused", None),
]
SEEDS: list[tuple[str, str, Any]] = [
    ("a whole number from 0 to 2^63 - 1", "taken", 2**63 - 1),
    ("a NumPy integer", "taken", np.int64(3)),
    ("negative", "refused", -1),
    ("2^63 or more", "refused", 2**63),
    ("a float", "refused", 1.0),
    ("True", "refused", True),
    ("None", "refused", None),
    ("a text", "refused", "1"),
    ("a tensor", "refused", torch.tensor(1)),
]


def half(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules).half()


def mixed() -> nn.Module:
    network = mlp(0)
    network[2].double()
    return network


def one_logit() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))


def with_a_number(value: float) -> nn.Module:
    network = mlp(0)
    with torch.no_grad():
        network[2].weight[0, 0] = value
    return network


def computing(*names: str) -> Callable[[Any], Mapping[str, Any]]:
    """The calls of `with_network` with these names."""
    return lambda network: {name: with_network(network)[name] for name in names}


ALL = computing(*with_network(mlp(0)))
ON_LABELS = computing(*with_labels(mlp(0), clusters()))
ON_INPUTS = computing(*with_inputs(mlp(0), clusters()), "quantize")


class Own(nn.Module):
    """A module of a reader's own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * self.layer(inputs)


MEASURING = computing("performance", "accuracy", "loss", "latency")
ON_CHAINS = computing(*(name for name in with_network(mlp(0)) if name not in MEASURING(mlp(0))))
NETWORKS: list[tuple[str, str, Callable[[Any], Mapping[str, Any]], Callable[[], Any], str]] = [
    ("a chain", "taken", ALL, lambda: mlp(0), ""),
    ("a chain in train mode", "taken", ALL, lambda: mlp(0).train(), ""),
    ("a module of one's own, measured", "taken", MEASURING, Own, ""),
    ("a module of one's own, otherwise", "refused", ON_CHAINS, Own, "Own"),
    ("not an nn.Module", "refused", ALL, lambda: torch.relu, "network: must be an nn.Module"),
    ("None", "refused", ALL, lambda: None, "network: must be an nn.Module"),
    ("float16 or bfloat16", "refused", ON_INPUTS, lambda: mlp(0).half(), "float16"),
    ("partly float64", "refused", computing("fit", *METHODS, "loss"), mixed, "2.weight"),
    ("one logit", "refused", ON_LABELS, one_logit, r"2 \(Linear\): gives one logit"),
    (
        *("nan or inf among its weights", "refused"),
        computing("quantize", "performance", "accuracy", "loss", "parameter-obd", "fit"),
        *(lambda: with_a_number(float("nan")), "2.weight|replicate 0"),
    ),
]
RECIPES: list[tuple[str, str, dict[str, Any]]] = [
    ("a minified.study.Recipe, or any object with its values", "taken", {}),
    ("NumPy numbers", "taken", {"learning_rate": np.float32(0.01), "epochs": np.int64(1)}),
    ("without one of the values", "refused", {"momentum": ...}),
    ("epochs: 0", "refused", {"epochs": 0}),
    ("epochs: a fraction", "refused", {"epochs": 1.5}),
    ("batch_size: 0", "refused", {"batch_size": 0}),
    ("batch_size: True", "refused", {"batch_size": True}),
    ("learning_rate: 0", "refused", {"learning_rate": 0.0}),
    ("learning_rate: nan or inf", "refused", {"learning_rate": float("nan")}),
    ("learning_rate: a text", "refused", {"learning_rate": "0.1"}),
    ("momentum: 1", "refused", {"momentum": 1.0}),
    ("weight_decay: negative", "refused", {"weight_decay": -0.1}),
    ("optimiser: unknown", "refused", {"optimiser": "adamw"}),
    ("schedule: unknown", "refused", {"schedule": "linear"}),
    ("warmup_epochs: as many as epochs", "refused", {"warmup_epochs": 1}),
    ("augmentation: unknown", "refused", {"augmentation": "flip"}),
    ("augmentation: crop_flip without images", "refused", {"augmentation": "crop_flip"}),
    ("batch_norm: unknown", "refused", {"batch_norm": "eval"}),
]


def of_recipe(changes: dict[str, Any]) -> Callable[[], Mapping[str, Any]]:
    def calls() -> Mapping[str, Any]:
        if ... in changes.values():
            plain = SimpleNamespace(**{k: v for k, v in dict(SHORT).items() if k not in changes})
            return {"fit": lambda: fit([mlp(0)], clusters(), plain)}
        return with_recipe(**changes)

    return calls


PAIR = (clusters().inputs, clusters().targets)
SPLITS: list[tuple[str, str, Any]] = [
    ("a minified.data.Split", "taken", clusters()),
    ("a pair of tensors", "refused", PAIR),
    ("a Dataset", "refused", DATASET),
    ("a TensorDataset", "refused", torch.utils.data.TensorDataset(*PAIR)),
    ("None", "refused", None),
]
SHAPES: list[tuple[str, str, Any]] = [
    ("a tuple or list of sizes", "taken", [6]),
    ("a torch.Size", "taken", torch.Size([6])),
    ("a number", "refused", 6),
    ("empty", "refused", ()),
    ("0 among them", "refused", (0,)),
    ("negative", "refused", (-6,)),
    ("floats", "refused", (6.0,)),
    ("a text", "refused", "6"),
    ("None", "refused", None),
]
CLASSES: list[tuple[str, str, Any]] = [
    ("at least 2", "taken", 2),
    ("1", "refused", 1),
    ("0", "refused", 0),
    ("a float", "refused", 3.0),
    ("True", "refused", True),
]
OPTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("lists of whole numbers from 1", "taken", {"widths": [4, 3]}),
    ("an empty list", "taken", {"widths": []}),
    ("0 among them", "refused", {"widths": [4, 0]}),
    ("floats", "refused", {"widths": [4.0]}),
    ("a number", "refused", {"widths": 4}),
    ("an unknown option", "refused", {"depth": 3}),
    ("VGG's channels without their blocks", "refused", {"name": "vgg", "channels": [8, 8]}),
    ("LeNet's channels in blocks", "refused", {"name": "lenet5", "channels": [[6, 16]]}),
]
LISTS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("networks", "a list", "taken", {}, ""),
    ("networks", "an nn.ModuleList", "taken", {"many": nn.ModuleList([mlp(0), mlp(1)])}, ""),
    ("networks", "one network in place of a list", "refused", {"many": mlp(0)}, ""),
    ("networks", "one network twice", "refused", {"many": [mlp(0)] * 2}, ""),
    ("seeds", "as many as networks", "taken", {"seeds": np.array([3, 4])}, ""),
    ("seeds", "twice the same", "taken", {"seeds": [3, 3]}, ""),
    ("seeds", "a number in place of a list", "refused", {"seeds": 3}, ""),
    ("seeds", "fewer or more than networks", "refused", {"seeds": [3]}, ""),
    ("masks", "one dict per network", "taken", {"masks": [{}, {"0.weight": ONES}]}, ""),
    ("masks", "a dict in place of a list", "refused", {"masks": {"0.weight": ONES}}, ""),
    ("masks", "fewer or more than networks", "refused", {"masks": [{}] * 3}, ""),
    ("masks", "None for a network", "refused", {"masks": [None, {}]}, ""),
    ("observe", "a function", "taken", {"observe": lambda epoch, networks: None}, ""),
    ("observe", "anything else", "refused", {"observe": 3}, ""),
]
WEIGHTS: list[tuple[str, str, Any]] = [
    ("float32 or float64 (out, in, ...)", "taken", torch.rand(3, 4)),
    ("of one dimension", "refused", torch.rand(3)),
    ("without a number", "refused", torch.rand(3, 0)),
    ("nan or inf among them", "refused", altered(torch.rand(3, 4), float("nan"))),
    ("another dtype", "refused", torch.ones(3, 4).long()),
    ("not a tensor", "refused", [[1.0, 2.0]]),
]
SCOPES: list[tuple[str, str, Any]] = [
    ("global or layer", "taken", "layer"),
    ("unknown", "refused", "network"),
    ("not a text", "refused", ["layer"]),
]


STEPS: list[tuple[str, str, Any]] = [
    ("a Round", "taken", lambda: Round(2, 3)),
    ("a number", "refused", lambda: 2),
    ("None", "refused", lambda: None),
    ("round 0", "refused", lambda: Round(0, 3)),
    ("a round after the last", "refused", lambda: Round(4, 3)),
    ("a fraction", "refused", lambda: Round(1.5, 3)),  # type: ignore[arg-type]
]
LEFT = {
    "0.weight": torch.rand(8, 6) < 0.5,
    "2.weight": torch.rand(5, 8) < 0.5,
    "4.weight": torch.rand(3, 5) < 0.5,
}
EARLIER_MASKS: list[tuple[str, str, Any]] = [
    ("bool tensors of all layers", "taken", LEFT),
    ("float 0 and 1", "refused", LEFT | {"2.weight": torch.ones(5, 8)}),
    ("of another shape", "refused", LEFT | {"2.weight": LEFT["4.weight"]}),
    ("without one of the layers", "refused", {"0.weight": LEFT["0.weight"]}),
    ("a list in place of a dict", "refused", [*LEFT.values()]),
    ("NumPy arrays", "refused", {name: mask.numpy() for name, mask in LEFT.items()}),
    ("lists of True and False", "refused", {name: mask.tolist() for name, mask in LEFT.items()}),
]
WIDTHS: list[tuple[str, str, Any]] = [
    ("whole numbers", "taken", {"0": 9, "2": 4}),
    ("NumPy integers", "taken", {"0": np.int64(9), "2": np.int64(4)}),
    ("fewer than are scored", "refused", {"0": 9, "2": 3}),
    ("a whole float", "refused", {"0": 9.0, "2": 4}),
    ("True", "refused", {"0": 9, "2": True}),
    ("None for a layer", "refused", {"0": None, "2": 4}),
    ("without one of the layers", "refused", {"0": 9}),
    ("a list in place of a dict", "refused", [9, 4]),
]


def neurons(scores: Any) -> Any:
    return pruning.kept_neurons(scores, 0.5)


def simple(
    argument: str, cases: list[tuple[str, str, Any]], calls: Callable[[Any], Mapping[str, Any]]
) -> list[Case]:
    return [
        Case(argument, given, outcome, lambda value=value: calls(value))
        for given, outcome, value in cases
    ]


def one(argument: str, given: str, outcome: str, call: Callable[[], Any], says: str = "") -> Case:
    """A case of one function."""
    return Case(argument, given, outcome, lambda: {argument: call}, says)


def scored(method: Any, **options: Any) -> Any:
    return score(method, mlp(0), *PAIR, 0, **options)


def second_order(level: Any) -> Any:
    return derivatives(mlp(1), *PAIR, level)


def kept(kept: Any) -> Any:
    return pruning.remove_neurons(mlp(0), kept)


def timed(repeats: Any) -> Any:
    return evaluation.latency(mlp(0), PAIR[0], repeats)


def loaded(name: Any = "digits", **changes: Any) -> Any:
    return data.load(name, **changes)


def shared_out(targets: Any = None, fractions: Any = (0.2,), generator: Any = None) -> Any:
    labels = torch.arange(50) % 3 if targets is None else targets
    return stratified(labels, fractions, torch.Generator() if generator is None else generator)


FIRST: list[tuple[str, str, Any]] = [
    ("of Split.first: more than there are", "taken", 10**6),
    ("of Split.first: negative", "refused", -1),
    ("of Split.first: a fraction", "refused", 0.5),
]
LABELS: list[tuple[str, str, Any]] = [
    ("(N,) int64", "taken", torch.arange(9) % 2),
    ("another dtype", "refused", torch.rand(9)),
    ("another shape", "refused", torch.ones(9, 1).long()),
    ("none at all", "refused", torch.arange(0)),
    ("a list", "refused", [0, 1]),
]
FRACTIONS: list[tuple[str, str, Any]] = [
    ("in [0, 1), together at most 1", "taken", [0.5, 0.5]),
    ("negative", "refused", (-0.1,)),
    ("nan", "refused", (float("nan"),)),
    ("more than 1 together", "refused", (0.6, 0.6)),
    ("a number", "refused", 0.2),
]
GENERATORS: list[tuple[str, str, Any]] = [
    ("a torch.Generator", "taken", torch.Generator()),
    ("a seed", "refused", 3),
]
OF_WEIGHTS = {"0": torch.rand(5, 4)}
NOT_DERIVATIVES = {"0": 1, "2": 2}
OTHERS = [
    one("method", "level-criterion", "taken", lambda: scored("neuron-obd")),
    one("method", "unknown", "refused", lambda: scored("parameter-obdd")),
    one("method", "not a text", "refused", lambda: scored(3)),
    one("level", "parameter or neuron", "taken", lambda: second_order("neuron")),
    one("level", "unknown", "refused", lambda: second_order("layer")),
    one(
        *("derivatives", "of the same network and level", "taken"),
        lambda: scored("parameter-obd", derivatives=second_order("parameter")),
    ),
    one(
        *("derivatives", "of another level or network", "refused"),
        lambda: scored("parameter-obd", derivatives=second_order("neuron")),
    ),
    one(
        *("derivatives", "anything else", "refused"),
        lambda: scored("neuron-obd", derivatives=NOT_DERIVATIVES),
    ),
    *simple("scope", SCOPES, with_scope),
    *(dataclasses.replace(c, says="step|round") for c in simple("step", STEPS, with_step)),
    *(
        dataclasses.replace(case, says="^masks: ")
        for case in simple("masks of earlier rounds", EARLIER_MASKS, with_earlier_masks)
    ),
    *(
        dataclasses.replace(case, says="^widths: ")
        for case in simple("widths of the first round", WIDTHS, with_widths)
    ),
    one("scores", "of weights, for neurons", "refused", lambda: neurons(OF_WEIGHTS), "0: "),
    one("kept", "anything but a dict", "refused", lambda: kept([0, 1])),
    one("kept", "a layer that is not hidden", "refused", lambda: kept({"4": [0]}), "4: not"),
    one(
        *("masks", "and bits, both at once", "refused"),
        lambda: evaluation.stored_bytes(mlp(0), {}, 4),
    ),
    one("repeats", "at least 1", "taken", lambda: timed(1)),
    one("repeats", "0, negative, a fraction", "refused", lambda: timed(0)),
    one("name of a data set", "unknown, not a text", "refused", lambda: loaded(["x"]), "data set"),
    one("root", "not a path", "refused", lambda: loaded(root=3)),
    one("validation, test", "in [0, 1)", "taken", lambda: loaded(validation=np.float64(0.3))),
    one(
        *("validation, test", "1 or more, negative, nan", "refused"),
        *(lambda: loaded(validation=1.5), "validation"),
    ),
    one(
        *("validation, test", "more than 1 together", "refused"),
        *(lambda: loaded(validation=0.6, test=0.6), "fractions"),
    ),
    one(
        *("training_examples", "a negative number, a fraction", "refused"),
        lambda: loaded(training_examples=-5),
    ),
    *simple("examples", FIRST, lambda examples: {"first": lambda: IMAGES.first(examples)}),
    *simple("stratified: targets", LABELS, lambda y: {"targets": lambda: shared_out(y)}),
    *simple(
        *("stratified: fractions", FRACTIONS),
        lambda fractions: {"fractions": lambda: shared_out(fractions=fractions)},
    ),
    *simple(
        *("stratified: generator", GENERATORS),
        lambda generator: {"generator": lambda: shared_out(generator=generator)},
    ),
]
OF_SAVE: list[tuple[str, str, Any]] = [
    ("a Dataset that read reads", "taken", DATASET),
    ("labels beyond its classes", "refused", dataclasses.replace(DATASET, classes=2)),
    ("inputs that are not images", "refused", dataclasses.replace(DATASET, test=clusters())),
    ("a Split", "refused", IMAGES),
    ("no classes", "refused", dataclasses.replace(DATASET, classes=0)),
]


EXAMPLES = [
    Case("inputs", given, outcome, of_inputs(change)) for given, outcome, change in INPUTS
] + [Case("targets", given, outcome, of_targets(change)) for given, outcome, change in TARGETS]
CASES = [
    *(
        Case("network", given, outcome, lambda calls=calls, make=make: calls(make()), says)
        for given, outcome, calls, make, says in NETWORKS
    ),
    *simple("split", SPLITS, with_split),
    *(
        dataclasses.replace(case, says="mask")
        for case in simple("masks", MASKS, lambda masks: with_masks(mlp(0), masks))
    ),
    *(
        Case(argument, given, outcome, lambda changes=changes: fitted(**changes), says)
        for argument, given, outcome, changes, says in LISTS
    ),
    *(
        Case("recipe", given, outcome, of_recipe(changes), "recipe")
        for given, outcome, changes in RECIPES
    ),
    *simple("seed", SEEDS, with_seed),
    *simple("bits", BITS, lambda bits: with_bits(mlp(0), bits)),
    *simple("weight", WEIGHTS, rounding),
    *(dataclasses.replace(case, says="0|scores") for case in simple("scores", SCORED, with_scores)),
    *simple("sparsity", SPARSITIES, with_sparsity),
    *(dataclasses.replace(case, says="0: kept") for case in simple("kept", KEPT, with_kept)),
    *simple("input_shape", SHAPES, with_shape),
    *simple("classes", CLASSES, lambda classes: built(classes=classes)),
    *(
        Case(
            "options of build",
            given,
            outcome,
            lambda o=options: built(**o),
            "widths|depth|channels",
        )
        for given, outcome, options in OPTIONS
    ),
    *OTHERS,
]
SAVED = [
    Case("dataset", given, outcome, lambda folder, value=value: saved(folder, value), "data")
    for given, outcome, value in OF_SAVE
]
