"""The keys of `network`: one set per architecture, each with its own options."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from minified.study.refusals import Strict

Width = Annotated[int, Field(ge=1, le=65_536)]
Widths = Annotated[list[Width], Field(min_length=1, max_length=64)]


class Mlp(Strict):
    """A multilayer perceptron; `widths` are the hidden layers' neurons from input to output."""

    name: Literal["mlp"] = "mlp"
    widths: Widths


class Lenet5(Strict):
    """LeNet-5: `channels` of the convolutions, then `widths` of the hidden Linear layers."""

    name: Literal["lenet5"]
    channels: Widths = Field([6, 16])
    widths: Annotated[list[Width], Field(max_length=64)] = Field([120, 84])


class Vgg(Strict):
    """VGG with batch normalisation: `channels` of the convolutions, block by block with pooling
    after each, then `widths` of the hidden Linear layers.
    """

    name: Literal["vgg"]
    channels: Annotated[list[Widths], Field(min_length=1, max_length=16)] = Field(
        [[64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3]
    )
    widths: Annotated[list[Width], Field(max_length=64)] = Field([])


def _name(given: Any) -> str:
    name = given.get("name", "mlp") if isinstance(given, dict) else getattr(given, "name", "mlp")
    return name if isinstance(name, str) else ""


NetworkOptions = Annotated[
    Annotated[Mlp, Tag("mlp")] | Annotated[Lenet5, Tag("lenet5")] | Annotated[Vgg, Tag("vgg")],
    Discriminator(_name),
]
