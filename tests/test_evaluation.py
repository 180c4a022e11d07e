"""Sizes, costs and accuracy against numbers worked out by hand."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minified import evaluation, networks
from minified.data import Split
from minified.evaluation import Bytes
from minified.foundations.errors import ArgumentError
from minified.networks import chains
from minified.networks.stacks import groups


def mask(shape: tuple[int, ...], kept: int) -> Tensor:
    """A mask of `shape` with `kept` weights left."""
    return (torch.arange(int(torch.tensor(shape).prod())) < kept).reshape(shape)


def convolutional() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),  # 8 x 8 positions, 27 weights
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3),  # 2 x 2 positions, 108 weights
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 10),  # 160 weights
    )


def test_lenet_300_100_has_266610_parameters() -> None:
    network = networks.build("mlp", (784,), 10)
    assert evaluation.parameters(network) == 266_610
    assert evaluation.parameters(network, {"0.weight": mask((300, 784), 200)}) == 31_610


def test_biases_and_normalisation_count_as_parameters() -> None:
    assert evaluation.parameters(convolutional()) == (27 + 3) + 6 + (108 + 4) + (160 + 10)


def test_flops_are_two_per_multiply_add() -> None:
    network = networks.build("mlp", (64,), 10, widths=[300, 100])
    dense = 2 * (64 * 300 + 300 * 100 + 100 * 10)
    assert evaluation.flops(network, (64,)) == (dense, dense)


def test_a_convolution_costs_its_weights_at_every_position() -> None:
    dense = 2 * (27 * 64 + 108 * 4 + 160)
    assert evaluation.flops(convolutional(), (1, 8, 8)) == (dense, dense)


def test_flops_times_density_count_each_layer_at_its_own_positions() -> None:
    masks = {"0.weight": mask((3, 1, 3, 3), 5), "7.weight": mask((10, 16), 0)}
    dense = 2 * (27 * 64 + 108 * 4 + 160)
    assert evaluation.flops(convolutional(), (1, 8, 8), masks) == (
        dense,
        2 * (5 * 64 + 108 * 4),
    )


def test_counting_flops_leaves_the_network_as_it_was() -> None:
    network = convolutional().train()
    statistics = network[1].running_mean.clone()
    evaluation.flops(network, (1, 8, 8))
    assert network.training
    assert torch.equal(network[1].running_mean, statistics)


def test_bytes_of_a_dense_network_are_four_per_parameter() -> None:
    network = convolutional()
    assert evaluation.stored_bytes(network) == Bytes(4 * evaluation.parameters(network))


def test_bytes_of_a_masked_network_are_the_smaller_of_bitmap_and_csr() -> None:
    network = networks.build("mlp", (300,), 3, widths=[5])
    biases = 4 * (5 + 3)
    stored = evaluation.stored_bytes(
        network, {"0.weight": mask((5, 300), 40), "2.weight": mask((3, 5), 15)}
    )
    assert stored.dense == biases + 4 * (1500 + 15)
    # ceil(1500 / 8) and ceil(15 / 8) bytes of bitmap.
    assert stored.bitmap == biases + (188 + 4 * 40) + (2 + 4 * 15)
    # 300 columns need two bytes an index, 5 columns one.
    assert stored.csr == biases + (40 * (4 + 2) + 4 * 6) + (15 * (4 + 1) + 4 * 4)
    assert stored.quantized is None
    assert stored.stored == min(stored.bitmap, stored.csr)


def test_a_layer_without_mask_is_stored_with_all_its_weights() -> None:
    network = networks.build("mlp", (6,), 3, widths=[5])
    whole = {"0.weight": mask((5, 6), 30), "2.weight": mask((3, 5), 15)}
    assert evaluation.stored_bytes(network, {}) == evaluation.stored_bytes(network, whole)


@pytest.mark.parametrize(("columns", "index_bytes"), [(256, 1), (257, 2), (65_536, 2), (65_537, 4)])
def test_column_indices_are_as_narrow_as_their_columns_allow(
    columns: int, index_bytes: int
) -> None:
    network = nn.Sequential(nn.Linear(columns, 1, bias=False))
    stored = evaluation.stored_bytes(network, {"0.weight": mask((1, columns), 9)})
    assert stored.csr == 9 * (4 + index_bytes) + 4 * 2


def test_columns_of_a_convolution_are_all_weights_of_an_output_channel() -> None:
    network = nn.Sequential(nn.Conv2d(29, 2, 3, bias=False))  # 261 columns
    stored = evaluation.stored_bytes(network, {"0.weight": mask((2, 29, 3, 3), 7)})
    assert stored.csr == 7 * (4 + 2) + 4 * 3


@pytest.mark.parametrize(
    ("bits", "packed"), [(8, 27 + 108 + 160), (3, 11 + 41 + 60), (2, 7 + 27 + 40)]
)
def test_quantized_bytes_are_packed_weights_and_five_per_channel(bits: int, packed: int) -> None:
    others = 4 * (3 + 6 + 4 + 10)
    stored = evaluation.stored_bytes(convolutional(), bits=bits)
    assert stored.quantized == stored.stored == packed + 5 * (3 + 4 + 10) + others
    assert stored.bitmap is stored.csr is None


def test_performance_is_the_fraction_right_and_the_mean_cross_entropy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 7)
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    )
    split = Split(
        torch.randn(50, 6, generator=generator), torch.randint(3, (50,), generator=generator)
    )
    network.eval()
    logits = network(split.inputs)
    network.train()
    found = evaluation.performance(network, split)
    assert found.accuracy == int((logits.argmax(1) == split.targets).sum()) / 50
    assert found.loss == pytest.approx(F.cross_entropy(logits, split.targets).item(), rel=1e-6)
    assert evaluation.accuracy(network, split) == found.accuracy
    assert evaluation.loss(network, split) == found.loss
    assert network.training, "evaluating changed the network's mode"


def several() -> list[nn.Module]:
    """Networks of which some can be measured side by side, and some only seem so."""
    capped = [nn.Sequential(nn.Linear(6, 9), nn.ReLU6(), nn.Linear(9, 3)) for _ in range(2)]
    vars(capped[1][1])["max_val"] = 0.1  # no module's text says so
    made: list[nn.Module] = [
        *(networks.build("mlp", (6,), 3, widths=[9, 5]) for _ in range(4)),
        *capped,
        networks.build("mlp", (6,), 3, widths=[4]),
        *(nn.Linear(6, 3) for _ in range(2)),
        *(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 3, bias=False)) for _ in range(2)),
        nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Linear(4, 3)),
    ]
    generator = torch.Generator().manual_seed(0)
    for network in made:
        for parameter in network.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
    weight = made[1].get_parameter("2.weight")
    weight.data = weight.data.t().contiguous().t()
    return made


@pytest.mark.parametrize(("batch", "room"), [(8192, 2**28), (7, 2**28), (7, 2000), (8192, 1)])
def test_networks_measured_together_have_the_performance_that_each_has_alone(
    batch: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(1)
    split = Split(
        torch.randn(50, 6, generator=generator), torch.randint(3, (50,), generator=generator)
    )
    made = several()
    monkeypatch.setattr(evaluation, "BATCH", batch)
    monkeypatch.setattr(chains, "BATCH_BYTES", room)
    alone = [evaluation.performance(network, split) for network in made]
    inputs = split.inputs.clone()
    assert evaluation.performances(iter(made), split) == alone  # type: ignore[arg-type]
    assert torch.equal(split.inputs, inputs)
    assert len({one.loss for one in alone}) == len(made)
    assert evaluation.performances([], split) == []


def test_only_equal_networks_run_side_by_side() -> None:
    assert groups(several()) == [[0, 2, 3], [1], [4], [5], [6], [7, 8], [9, 10], [11]]


def test_networks_run_side_by_side_while_their_outputs_have_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = chains.read(networks.build("mlp", (6,), 3, widths=[9, 5]))
    monkeypatch.setattr(chains, "BATCH_BYTES", 4 * 17 * 50 * 3)
    assert chain.together(torch.zeros(1, 6), 50) == 3
    assert chain.together(torch.zeros(1, 6), 51) == 2
    assert chain.together(torch.zeros(1, 6), 5000) == 1


@pytest.mark.parametrize("value", [None, networks.build("mlp", (6,), 3), {}, "net"])
def test_networks_to_be_measured_must_be_a_list(value: Any) -> None:
    with pytest.raises(ArgumentError, match="networks: must be a list, not"):
        evaluation.performances(value, Split(torch.ones(5, 6), torch.zeros(5, dtype=torch.int64)))


def test_of_networks_measured_together_the_one_without_a_finite_loss_is_named() -> None:
    alike = [networks.build("mlp", (6,), 3, widths=[9]) for _ in range(3)]
    with torch.no_grad():
        networks.prunable(alike[1])["2.weight"].fill_(float("inf"))
    split = Split(torch.ones(5, 6), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ArgumentError, match=r"2\.weight"):
        evaluation.performances(alike, split)


def test_a_forward_pass_takes_time() -> None:
    assert evaluation.latency(networks.build("mlp", (6,), 3), torch.zeros(2, 6), repeats=3) > 0


def test_a_network_that_is_no_chain_is_evaluated_as_it_is() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return 2 * self.layer(inputs)

    generator = torch.Generator().manual_seed(0)
    split = Split(torch.randn(20, 4, generator=generator), torch.arange(20) % 3)
    network = Doubled()
    expected = F.cross_entropy(network(split.inputs), split.targets)
    assert evaluation.loss(network, split) == pytest.approx(expected.item(), rel=1e-5)
