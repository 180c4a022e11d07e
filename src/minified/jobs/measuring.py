"""What the jobs that write rows have besides: measuring networks, and making rows of them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from minified import evaluation
from minified.data.dataset import SPLITS
from minified.jobs.fitting import FittingContext
from minified.networks import chains
from minified.study.rows import Row


class MeasuringContext(FittingContext):
    """A `FittingContext` that also measures its networks and makes rows of them."""

    @cached_property
    def dense_parameters(self) -> int:
        """Parameters of the study's dense network."""
        return evaluation.parameters(self.build())

    def measures(self, networks: Sequence[nn.Module], suffix: str = "") -> list[dict[str, float]]:
        """Accuracy and loss of each network on all three splits, as columns of its row.

        `suffix`: `_before` for those that are measured before they are trained.
        """
        rows: list[dict[str, float]] = [{} for _ in networks]
        for split in SPLITS:
            of_each = evaluation.performances(networks, getattr(self.data, split))
            for columns, performance in zip(rows, of_each, strict=True):
                columns[f"accuracy_{split}{suffix}"] = performance.accuracy
                columns[f"loss_{split}{suffix}"] = performance.loss
        return rows

    def row(
        self,
        network: nn.Module,
        *,
        before: Mapping[str, float],
        after: Mapping[str, float],
        epochs: int,
        masks: Mapping[str, Tensor] | None = None,
        bits: int | None = None,
        earlier: Sequence[nn.Module] = (),
        **columns: Any,
    ) -> Row:
        """The row of one finished run; `columns` say which job, regime and replicate it was.

        `before`, `after`: its `measures` before and after training.
        `earlier`: networks as large as those that were trained before, for as many `epochs` each.
        """
        dense, effective = evaluation.flops(network, self.data.input_shape, masks)
        sizes = evaluation.stored_bytes(network, masks, bits)
        collapsed = [
            name.removesuffix(".weight") for name, mask in (masks or {}).items() if not mask.any()
        ]
        measured: dict[str, Any] = {**after, **before}
        return Row(
            study=self.study.name,
            data=self.study.data.name,
            network=self.study.network.name,
            specification=self.study.specification,
            bits=bits,
            **columns,
            **measured,
            parameters_total=self.dense_parameters,
            parameters_kept=evaluation.parameters(network, masks),
            neurons_kept=" ".join(
                f"{layer.name}:{layer.neurons}" for layer in chains.read(network).hidden
            ),
            collapsed_layers=" ".join(collapsed) or None,
            flops_dense=dense,
            flops=effective,
            bytes_dense=sizes.dense,
            bytes_bitmap=sizes.bitmap,
            bytes_csr=sizes.csr,
            bytes_quantized=sizes.quantized,
            bytes_stored=sizes.stored,
            epochs=epochs * (1 + len(earlier)),
            training_flops=evaluation.TRAINING_FLOPS_PER_FORWARD
            * (dense + sum(evaluation.flops(one, self.data.input_shape)[0] for one in earlier))
            * len(self.data.training)
            * epochs,
        )
