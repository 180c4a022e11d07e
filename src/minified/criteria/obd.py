"""Optimal Brain Damage and four readings of its variation "OBD-SD", from exact derivatives.

LeCun, Denker, Solla 1989: removing weight w changes the loss E by about -g w + h w^2 / 2. A neuron
is treated in the same way, through a gate m = 1 on its output (cf. Mozer & Smolensky 1988). The
five criteria are five ways to use g, the means over examples of h and of g's square, and h's
standard deviation, which `minified.criteria.derivatives` computes in one pass over the data.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from minified.criteria.derivatives import Derivatives, Shared
from minified.criteria.derivatives import derivatives as differentiate
from minified.foundations.errors import ScoreError
from minified.networks import chains

RECORDS = {
    "obd": {
        "levels": ["parameter", "neuron"],
        "title": "OBD",
        "look": ["#D55E00", "s"],
        "derivatives": True,
    },
    "obd_sd": {
        "levels": ["parameter", "neuron"],
        "title": "OBD-SD (standard deviation)",
        "short": "OBD-SD (st. dev.)",
        "look": ["#E69F00", "^"],
        "derivatives": True,
        "reading": "standard deviation",
    },
    "obd_signed": {
        "levels": ["parameter", "neuron"],
        "title": "OBD-SD (signed damage)",
        "short": "OBD-SD (signed)",
        "look": ["#009E73", "D"],
        "derivatives": True,
        "reading": "signed damage",
    },
    "obd_absolute": {
        "levels": ["parameter", "neuron"],
        "title": "OBD-SD (absolute damage)",
        "short": "OBD-SD (absolute)",
        "look": ["#56B4E9", "v"],
        "derivatives": True,
        "reading": "absolute damage",
    },
    "obd_squared": {
        "levels": ["parameter", "neuron"],
        "title": "OBD-SD (squared derivative)",
        "short": "OBD-SD (squared)",
        "look": ["#7209B7", "p"],
        "derivatives": True,
        "reading": "squared derivative",
    },
}


def obd(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """h w^2 / 2 (LeCun, Denker, Solla 1989); for a gate h / 2."""
    units = _units(level, network, inputs, targets, derivatives)
    return {name: d.curvature * u**2 / 2 for name, u, d in units}


def obd_sd(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """sd_n(h_n w^2 / 2): "SD" read as standard deviation over examples (our reading)."""
    units = _units(level, network, inputs, targets, derivatives)
    return {name: d.deviation * u**2 / 2 for name, u, d in units}


def obd_signed(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """-g w + h w^2 / 2: "SD" read as signed damage, the whole second-order term (our reading)."""
    units = _units(level, network, inputs, targets, derivatives)
    return {name: -d.gradient * u + d.curvature * u**2 / 2 for name, u, d in units}


def obd_absolute(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """abs(-g w + h w^2 / 2): the size of the signed damage (our reading)."""
    signed = obd_signed(level, network, inputs, targets, generator, derivatives)
    return {name: scores.abs() for name, scores in signed.items()}


def obd_squared(
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    derivatives: Shared | None = None,
) -> dict[str, Tensor]:
    """mean_n(g_n^2) w^2 / 2; for a gate mean_n(g_n^2) / 2: "SD" read as squared derivative.

    Our reading: the empirical Fisher information takes the place of h (Theis et al. 2018, arXiv
    1801.05787; Molchanov et al. 2019, arXiv 1906.10771). g_n is example n's own derivative.
    """
    units = _units(level, network, inputs, targets, derivatives)
    return {name: d.squared * u**2 / 2 for name, u, d in units}


def _units(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, shared: Shared | None
) -> Iterator[tuple[str, Tensor, Derivatives]]:
    """Each layer's name, the value of its units (weights; 1 for gates) and their derivatives."""
    weights = chains.prunable(network)
    if shared is None:
        shared = differentiate(network, inputs, targets, level)
    shapes = chains.unit_shapes(network, level)
    if not isinstance(shared, Mapping) or not all(
        isinstance(one, Derivatives) for one in shared.values()
    ):
        raise ScoreError("derivatives: must be what criteria.derivatives.derivatives returned")
    found = {name: tuple(one.gradient.shape) for name, one in shared.items()}
    for name in (*shapes, *found):
        if found.get(name) != shapes.get(name):
            raise ScoreError(
                f"derivatives: those of {name} have shape {found.get(name)}, and the network's"
                f" units there {shapes.get(name)}"
            )
    for name, derivatives in shared.items():
        value = weights[name].detach().double() if level == "parameter" else torch.tensor(1.0)
        yield name, value.to(derivatives.curvature), derivatives
