"""Crops and flips against every shift of every image, and training with them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from minified import networks
from minified.data import Split
from minified.foundations import seeds
from minified.quantization import quantize
from minified.study import Recipe
from minified.training import fit, re_estimate
from minified.training.augmentation import PADDING, crop_flip

SHAPE = (3, 6, 5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int) -> Tensor:
    return torch.rand(count, *SHAPE, generator=generator(9)) + 1.0


def variants(image: np.ndarray) -> dict[tuple[int, int, bool], bytes]:
    """An image moved down and across by every number of pixels, and flipped before or not."""
    _, height, width = image.shape
    found = {}
    for flipped in (False, True):
        source = image[:, :, ::-1] if flipped else image
        for down in range(-PADDING, PADDING + 1):
            for across in range(-PADDING, PADDING + 1):
                moved = np.zeros_like(image)
                for y in range(height):
                    for x in range(width):
                        if 0 <= y - down < height and 0 <= x - across < width:
                            moved[:, y, x] = source[:, y - down, x - across]
                found[down, across, flipped] = moved.tobytes()
    return found


def test_every_image_is_moved_and_flipped_as_a_whole_and_all_ways_are_as_likely() -> None:
    count, rounds = 30, 40
    whole = images(count)
    ways: dict[tuple[int, int, bool], int] = {}
    known = [{v: k for k, v in variants(image.numpy()).items()} for image in whole]
    draws = generator(1)
    for _ in range(rounds):
        for image, names in zip(crop_flip(whole, draws), known, strict=True):
            way = names[image.numpy().tobytes()]
            ways[way] = ways.get(way, 0) + 1
    total = count * rounds
    assert len(ways) > 0.99 * 2 * (2 * PADDING + 1) ** 2 * (1 - np.exp(-total / 162))
    for axis in (0, 1):
        for step in range(-PADDING, PADDING + 1):
            seen = sum(n for way, n in ways.items() if way[axis] == step)
            assert seen == pytest.approx(total / 9, abs=5 * (total / 9) ** 0.5)
    assert sum(n for way, n in ways.items() if way[2]) == pytest.approx(total / 2, abs=90)


def test_images_stay_as_they_are_and_what_becomes_of_them_follows_from_the_generator() -> None:
    whole = images(8)
    before = whole.clone()
    once = crop_flip(whole, generator(1))
    assert torch.equal(whole, before)
    assert torch.equal(crop_flip(whole, generator(1)), once)
    assert not torch.equal(crop_flip(whole, generator(2)), once)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(N, channels, height, width\), not \(4, 6\)"):
        crop_flip(torch.zeros(4, 6), generator())


def network(seed: int, kind: str) -> nn.Module:
    options: dict[str, Any] = {"widths": [8]} | ({"channels": [[4], [6]]} if kind == "vgg" else {})
    return networks.initialise(networks.build(kind, (2, 8, 8), 3, **options), seed)


def split() -> Split:
    targets = torch.arange(40) % 3
    centres = torch.randn(3, 2, 8, 8, generator=generator(3))
    return Split(centres[targets] + torch.randn(40, 2, 8, 8, generator=generator(4)), targets)


def recipe(**options: Any) -> Recipe:
    return Recipe(learning_rate=0.01, epochs=2, batch_size=16, **options)


def bits(one: nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in one.state_dict().values())


@pytest.mark.parametrize("kind", ["mlp", "vgg"])
def test_augmented_training_follows_from_the_seed_and_not_from_the_company(kind: str) -> None:
    together = [network(seed, kind) for seed in range(3)]
    fit(together, split(), recipe(augmentation="crop_flip"), seeds=[5, 6, 7])
    alone = network(1, kind)
    fit([alone], split(), recipe(augmentation="crop_flip"), seeds=[6])
    for one, other in zip(alone.parameters(), together[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    plain = network(1, kind)
    fit([plain], split(), recipe(), seeds=[6])
    assert bits(plain) != bits(alone)


def test_augmented_training_reads_the_images_that_the_seed_s_generator_gives() -> None:
    """One epoch in one batch: the gradient is that of the varied images, in any order."""
    data = split()
    found = network(0, "mlp")
    start = [p.detach().clone() for p in found.parameters()]
    sgd = recipe(augmentation="crop_flip", optimiser="sgd", momentum=0.0, schedule="constant")
    fit([found], data, sgd.model_copy(update={"epochs": 1, "batch_size": 40}), seeds=[6])

    order = torch.randperm(40, generator=generator(6))
    varied = crop_flip(data.inputs[order], generator(seeds.derive(6, "augmentation")))
    again = network(0, "mlp")
    loss = nn.functional.cross_entropy(again(varied), data.targets[order])
    gradients = torch.autograd.grad(loss, list(again.parameters()))
    for before, gradient, after in zip(start, gradients, found.parameters(), strict=True):
        torch.testing.assert_close(after.detach(), before - 0.01 * gradient, rtol=0, atol=1e-6)


# Batch normalisation after training


def statistics(one: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [
        (m.get_buffer("running_mean").clone(), m.get_buffer("running_var").clone())
        for m in one.modules()
        if isinstance(m, nn.BatchNorm2d)
    ]


def test_re_estimated_statistics_are_those_of_the_training_images_with_the_final_weights() -> None:
    data = split()
    trained, running = network(0, "vgg"), network(0, "vgg")
    # One batch of all examples, so that their mean over batches is their value.
    one_batch = recipe(batch_norm="re_estimate").model_copy(update={"batch_size": 40})
    fit([trained], data, one_batch, seeds=[1])
    fit([running], data, one_batch.model_copy(update={"batch_norm": "train"}), seeds=[1])
    for one, other in zip(trained.parameters(), running.parameters(), strict=True):
        assert torch.equal(one, other)  # the weights know nothing of it
    assert not trained.training

    activation = data.inputs
    found = iter(statistics(trained))
    for module in trained.children():
        if isinstance(module, nn.BatchNorm2d):
            mean, variance = next(found)
            torch.testing.assert_close(mean, activation.mean((0, 2, 3)))
            torch.testing.assert_close(variance, activation.var((0, 2, 3), correction=1))
            mean, variance = activation.mean((0, 2, 3)), activation.var((0, 2, 3), correction=0)
            shape = (1, -1, 1, 1)
            activation = (activation - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
            activation = activation * module.weight.view(shape) + module.bias.view(shape)
        else:
            activation = module(activation)
    assert not torch.equal(statistics(trained)[0][0], statistics(running)[0][0])
    # What trains next has its own momentum back.
    assert all(m.momentum == 0.1 for m in trained.modules() if isinstance(m, nn.BatchNorm2d))


def test_several_batches_are_of_one_size_and_count_alike() -> None:
    data = split()
    trained = network(0, "vgg")
    fit([trained], data, recipe(batch_norm="re_estimate"), seeds=[1])
    first = trained.get_submodule("0")
    # Three batches, where 16 of 40 would leave a last one of 8.
    each = [first(batch).mean((0, 2, 3)) for batch in data.inputs.split([14, 13, 13])]
    torch.testing.assert_close(statistics(trained)[0][0], torch.stack(each).mean(0))


@pytest.mark.parametrize("bits", [2, 4])
def test_statistics_of_a_network_that_learns_to_be_rounded_are_those_of_the_rounded_one(
    bits: int,
) -> None:
    data = split()
    trained = network(0, "vgg")
    fit([trained], data, recipe(batch_norm="re_estimate"), seeds=[1], bits=bits)
    rounded = quantize(trained, bits)
    re_estimate(rounded, data, 16)
    for one, other in zip(statistics(rounded), statistics(trained), strict=True):
        torch.testing.assert_close(other, one)
    full = network(0, "vgg")
    full.load_state_dict(trained.state_dict())
    re_estimate(full, data, 16)
    assert not torch.allclose(statistics(full)[1][1], statistics(trained)[1][1])


def test_a_network_without_normalisation_stays_as_it_is() -> None:
    one = network(0, "mlp")
    before = bits(one)
    re_estimate(one, split(), 16)
    assert bits(one) == before


def test_a_single_example_that_normalisation_cannot_train_on_is_refused_by_layer() -> None:
    one = nn.Sequential(nn.Flatten(), nn.Linear(128, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"^2 \(BatchNorm1d\): 40 examples in batches of 13 leave"):
        fit([one], split(), recipe().model_copy(update={"batch_size": 13}))
    fit([one], split(), recipe().model_copy(update={"batch_size": 12}))
