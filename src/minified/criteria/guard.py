"""What surrounds a criterion while it runs.

`seeded` sets the global random generators for its duration. `call` runs a reader's own criterion so
that it cannot change what its caller goes on with, and an error in it is one line that names the
file.
"""

import copy
import os
import random
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minified.criteria.record import Criterion
from minified.foundations import seeds
from minified.foundations.errors import CriterionError, ScoreError, summary

# What a criterion can set for the whole process, besides the folder: how it is read and set again.
_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python from `seed`, and restore them after.

    Code that draws from them then gives the same for the same seed, whatever was drawn before. The
    generators on CUDA devices count as torch's.
    """
    state = torch.get_rng_state()
    first = torch.initial_seed()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    others = np.random.get_state(), random.getstate()
    torch.manual_seed(seeds.derive("torch", int(seed)))
    np.random.seed(seeds.derive("numpy", int(seed)) % 2**32)
    random.seed(seeds.derive("python", int(seed)))
    try:
        yield
    finally:
        if cuda is None:
            # None of its generators was in use: they begin as if nothing had been seeded here.
            torch.cuda.manual_seed_all(first)
        else:
            torch.cuda.set_rng_state_all(cuda)
        torch.set_rng_state(state)
        np.random.set_state(others[0])
        random.setstate(others[1])


def call(
    criterion: Criterion,
    level: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    settings: Mapping[str, Any],
) -> Any:
    """What a reader's own criterion returns for copies of `network` (in eval mode, without
    gradients) and of the examples, so that nothing it does to them reaches the caller.

    Raises: see `run`.
    """
    twin = copy.deepcopy(network).eval()
    twin.zero_grad(set_to_none=True)
    examples = inputs.detach().clone(), targets.detach().clone()
    return run(criterion, (level, twin, *examples, generator), settings)


def run(criterion: Criterion, arguments: Sequence[Any], settings: Mapping[str, Any]) -> Any:
    """Call a criterion's function; the folder and torch's settings are then as before.

    Raises:
        CriterionError: the criterion raised something, or asked Python to exit.
        ScoreError: its file has no such function.
    """
    folder, before = Path.cwd(), [read() for read, _ in _SETTINGS]
    try:
        return criterion.function()(*arguments, **settings)
    except KeyboardInterrupt as stop:
        stop.add_note(blame(criterion, stop))
        raise
    except BaseException as error:
        if type(error) is ScoreError and _line(criterion, error) is None:
            raise
        raise CriterionError(blame(criterion, error)) from error
    finally:
        os.chdir(folder)
        for value, (read, write) in zip(before, _SETTINGS, strict=True):
            if read() != value:
                write(value)


def blame(criterion: Criterion, error: BaseException) -> str:
    """`criterion snip: snip.py, line 12: TypeError: ...`, on one line: the line of the criterion's
    file in which `error` was raised, or which called what raised it.
    """
    line = _line(criterion, error)
    if line is None and isinstance(error, SyntaxError):
        line = error.lineno
    place = f"{criterion.file}, line {line}" if line else criterion.file
    return f"criterion {criterion.name}: {place}: {summary(error)}"


def _line(criterion: Criterion, error: BaseException) -> int | None:
    """The last line of the criterion's file in an error's traceback."""
    line = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == str(criterion.file):
            line = number
    return line
