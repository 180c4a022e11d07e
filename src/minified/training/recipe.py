"""What training needs from a recipe; `minified.study.Recipe` provides it."""

from typing import Literal, Protocol


class Recipe(Protocol):
    """The hyper-parameters of one training run.

    `learning_rate`: the rate after warm-up, before the schedule lowers it.
    `augmentation`: `crop_flip` shifts each training image by up to 4 pixels and flips half of them.
    `batch_norm`: `train` keeps the running averages of training as the statistics; `re_estimate`
    computes them again from the training examples, with the final weights.
    """

    @property
    def optimiser(self) -> Literal["adam", "sgd"]: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def schedule(self) -> Literal["constant", "cosine"]: ...
    @property
    def warmup_epochs(self) -> int: ...
    @property
    def augmentation(self) -> Literal["none", "crop_flip"]: ...
    @property
    def batch_norm(self) -> Literal["train", "re_estimate"]: ...
