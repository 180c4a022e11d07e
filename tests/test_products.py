"""Matrix products against torch's own, and what their bits may depend on."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minified.foundations import products

sizes = st.integers(min_value=1, max_value=40)


@settings(deadline=None)
@given(copies=sizes, n=sizes, k=sizes, m=sizes, flipped=st.booleans(), seed=st.integers(0, 99))
def test_products_are_those_of_torch(
    copies: int, n: int, k: int, m: int, flipped: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(copies, n, k, generator=generator, dtype=torch.float64)
    b = torch.randn(copies, m, k, generator=generator, dtype=torch.float64).mT
    if flipped:
        a, b = b.mT.contiguous(), a.mT
    out = torch.full((copies, a.shape[1], b.shape[2]), torch.nan, dtype=torch.float64)
    assert products.matmul(a, b, out=out) is out
    assert torch.equal(out, products.matmul(a, b))
    torch.testing.assert_close(out, torch.bmm(a, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_matrix_s_bits_do_not_depend_on_the_others_of_its_stack(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(7, 33, 57, generator=generator, dtype=dtype)
    b = torch.randn(7, 10, 57, generator=generator, dtype=dtype).mT
    together = products.matmul(a, b)
    for i in range(7):
        assert torch.equal(together[i], products.matmul(a[i], b[i]))
        assert torch.equal(together[i : i + 1], products.matmul(a[i : i + 1], b[i : i + 1]))


@pytest.mark.parametrize("with_bias", [True, False])
def test_a_linear_layer_s_gradients_are_those_of_finite_differences(with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    inputs, weight, bias = draw(4, 3), draw(5, 3), draw(5) if with_bias else None
    arguments: Any = (inputs, weight, bias)
    assert torch.autograd.gradcheck(products.linear, arguments)
    expected = torch.nn.functional.linear(inputs, weight, bias)
    torch.testing.assert_close(products.linear(inputs, weight, bias), expected)


def test_unequal_dtypes_are_refused_and_rarer_ones_multiplied() -> None:
    one = torch.ones(3, 3)
    with pytest.raises(RuntimeError, match="same dtype"):
        products.matmul(one, one.double())
    assert torch.equal(products.matmul(one.bfloat16(), one.bfloat16()), 3 * one.bfloat16())


def test_overflow_is_a_warning_unless_the_caller_looks_for_it_itself() -> None:
    huge = torch.full((40, 40), 1e30)
    with pytest.warns(RuntimeWarning, match="overflow"):
        products.matmul(huge, huge)
    with products.unchecked():
        assert bool(products.matmul(huge, huge).isinf().all())
