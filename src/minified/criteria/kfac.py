"""OBD of a whole neuron by Kronecker factors of the curvature: a second-order rival of gates.

Removing neuron j sets its incoming weights and its bias, w_j, to zero. By OBD that changes the loss
by w_j^T H_j w_j / 2, where H_j is the second derivative with respect to all of w_j. K-FAC (Martens
& Grosse 2015; for convolutions Grosse & Martens 2016, arXiv 1602.01407) approximates H_j by
G_jj A: A is the second moment of what the layer reads, and G_jj that of the derivatives at its
output. So pruned Wang et al. 2019 (arXiv 1905.05934, there C-OBD) and, while training, Ebrahimi &
Klabjan 2021 (arXiv 2111.08577); here everything is scored once.
"""

import torch
from torch import Tensor, nn

from minified.criteria import walk
from minified.networks import chains, kinds

RECORDS = {
    "kfac": {
        "levels": ["neuron"],
        "title": "OBD (Kronecker factors)",
        "short": "OBD (K-FAC)",
        "look": ["#003C30", "d"],
        "extension": True,
    },
}


@torch.inference_mode(False)
@torch.no_grad()
def kfac(
    level: str, network: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """G_jj / 2 x w_j^T A w_j for every hidden neuron j, {layer: (neurons,)} float64.

    G_jj = mean_n (1 / T) sum_t sum_c delta_c,j,t^2 is exact: delta_c is the gradient of s_c . f at
    the layer's output, T its number of positions (1 for Linear), and s_c a column of S (see
    `minified.criteria.derivatives`). A is the mean over examples of a a^T, for convolutions summed
    over positions; the input a ends in a 1 for the bias, if the layer has one. Hence w_j^T A w_j is
    the mean over examples of the neuron's squared output, summed over positions, which is how it is
    computed: A is never stored.

    Batch normalisation right behind the layer, before its activation, is folded into w_j and the
    bias (eval mode), and "output" is what comes out of it. Batch normalisation after the activation
    cannot be folded: it stays a part of the network above, as does everything else behind.

    Classes of the targets are not used. A neuron that never receives a gradient scores 0.
    """
    chain = chains.read(chains.frozen(network))
    places = {_output(chain, layer): layer for layer in chain.hidden}
    if not places:
        return {}
    moments = {
        layer.name: torch.zeros(2, layer.neurons, dtype=torch.float64, device=inputs.device)
        for layer in chain.hidden
    }
    for chunk in walk.chunks(chain, inputs, level):
        for layer, _, output, gradients in walk.back(chain, inputs[chunk], places, walk.columns):
            of_output, of_gradients = moments[layer.name]
            positions = output[0, 0].numel()
            of_output += _squares(output)
            of_gradients += _squares(gradients.flatten(0, 1)) / positions
    examples = len(inputs)
    return {
        name: (of_gradients / examples) * (of_output / examples) / 2
        for name, (of_output, of_gradients) in moments.items()
    }


def _output(chain: chains.Chain, layer: chains.Layer) -> int:
    """The step whose output is the layer's own, batch normalisation right behind it folded in."""
    place = layer.position
    for i in range(layer.position + 1, layer.gate + 1):
        module = chain.steps[i][1]
        if i in layer.norms:
            place = i
        elif kinds.of(module).role != "dropout" and not isinstance(module, nn.Identity):
            break
    return place


def _squares(values: Tensor) -> Tensor:
    """Each neuron's squares in float64, summed over examples and positions: (neurons,)."""
    values = values.double().square()
    return values.reshape(*values.shape[:2], -1).sum((0, 2))
