"""What the error of gradcheck says: the entry where the Jacobians differ most, and both of them."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_gradients import cube, leaf, real, scaled, slope, wrong_product

import gradcli
from gradcli.autograd import Function, Tensor
from gradcli.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck


def test_the_error_shows_both_jacobians_and_their_worst_entry():
    with pytest.raises(GradcheckError) as caught:
        gradcheck(
            lambda n, a, b: (a.detach(), wrong_product(gradcli)(a, b)), (2, leaf(gradcli), leaf(gradcli, 1, 1, 4))
        )
    assert str(caught.value).splitlines() == [
        "Jacobian mismatch for output 1 with respect to input 2,",
        "most at element [2] of output 1 and element [2] of input 2: numerical 2, analytical 4, absolute difference 2, "
        "allowed 0.00201 (entry [2, 2] below; 1 of 9 entries differ)",
        "numerical:tensor([[ 0.5000,  0.0000,  0.0000],",
        "        [ 0.0000, -1.2500,  0.0000],",
        "        [ 0.0000,  0.0000,  2.0000]], dtype=torch.float64)",
        "analytical:tensor([[ 0.5000,  0.0000,  0.0000],",
        "        [-0.0000, -1.2500, -0.0000],",
        "        [ 0.0000,  0.0000,  4.0000]], dtype=torch.float64)",
    ]


def test_the_worst_entry_is_the_one_furthest_beyond_what_is_allowed():
    factors = np.array([[1e6 * (1 + 9e-4), 1.0], [1.5, 3.0]])  # a large difference that rtol allows, and two others

    def gradient(torch, grad):
        return grad * Tensor(factors * 2)

    true = Tensor(np.array([[1e6, 1.0], [1.0, 1.0]]))
    with pytest.raises(GradcheckError, match=r"element \[1, 1\] of output 0 and element \[1, 1\] of input 0") as caught:
        gradcheck(lambda x: scaled(gradcli, gradient)(x) * 1.0 + (x * (true - 1) * 2).detach(), real(2, 2))
    assert "2 of 16 entries differ" in str(caught.value)


def test_nan_is_worse_than_any_number():
    with pytest.raises(GradcheckError, match=r"element \[1\] of input 0: numerical 0, analytical nan"):
        gradcheck(scaled(gradcli, lambda torch, grad: grad * Tensor(np.array([9.0, np.nan, 2.0]))), leaf(gradcli))


def test_scalars_have_no_element_and_large_jacobians_are_summarised():
    function = scaled(gradcli, slope(1))
    with pytest.raises(GradcheckError, match="most at output 0 and input 0: numerical 2, analytical 3"):
        gradcheck(function, real())
    with pytest.raises(GradcheckError) as caught:
        gradcheck(function, real(40))
    assert "..." in str(caught.value)
    assert len(str(caught.value)) < 2500


def test_the_error_of_fast_mode_finds_the_entry():
    with pytest.raises(GradcheckError) as caught:
        gradcheck(wrong_product(gradcli), (leaf(gradcli), leaf(gradcli, 1, 1, 4)), fast_mode=True)
    lines = str(caught.value).splitlines()
    assert lines[0] == "Jacobian mismatch for output 0 with respect to input 1,"
    assert lines[1].startswith("most at element [2] of output 0 and element [2] of input 1: numerical 2, analytical 4")
    assert lines[-1].startswith("Found in fast mode, along one random direction: numerical")


def test_the_error_of_fast_mode_says_that_slow_mode_might_pass():
    """An error that the tolerance of each entry allows, but that the sums don't: half the entries cancel."""
    signs = np.where(np.arange(40) % 2, 1.0, -1.0)
    function = scaled(gradcli, lambda torch, grad: grad * 2 * Tensor(1 + 9e-4 * signs))
    turned = Tensor(signs)
    assert gradcheck(lambda x: (function(x) * turned).sum(), real(40))
    with pytest.raises(GradcheckError, match="fast_mode=False might pass") as caught:
        gradcheck(lambda x: (function(x) * turned).sum(), real(40), fast_mode=True)
    assert "numerical:tensor(" in str(caught.value)


def test_the_error_of_a_second_gradient_names_the_gradient_and_the_weights():
    with pytest.raises(GradcheckError, match="mismatch for the gradient of input 1 with respect to input 1,"):
        gradgradcheck(lambda n, x: cube(gradcli)(x), (2, leaf(gradcli)))

    class WrongInWeights(Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad):
            return scaled(gradcli, slope(1))(grad)

    with pytest.raises(
        GradcheckError, match=r"mismatch for the gradient of input 0 with respect to grad_outputs\[0\],"
    ):
        gradgradcheck(WrongInWeights.apply, leaf(gradcli))


def with_replaced_gradient(replace):
    """The sum of exp(x), and `replace` of the gradient on its way to x."""

    def function(x):
        result = x.exp()
        result.grad_fn.register_hook(lambda inputs, outputs: tuple(map(replace, inputs)))
        return result.sum()

    return function


def test_gradients_of_another_type_or_size():
    single = with_replaced_gradient(lambda gradient: gradient.float())
    with pytest.raises(
        GradcheckError, match=r"Gradient has dtype mismatch: torch.float32 for input 0 of torch.float64"
    ):
        gradcheck(single, leaf(gradcli), check_grad_dtypes=True)
    with pytest.raises(GradcheckError, match="grad is incorrect type"):
        gradcheck(single, leaf(gradcli))
    shorter = with_replaced_gradient(lambda gradient: gradient[:2])
    with pytest.raises(GradcheckError, match=r"incorrect size: \[2\] for input 0 of size \[3\]"):
        gradcheck(shorter, leaf(gradcli))


def test_outputs_that_change_with_the_input():
    types = iter([gradcli.float64, gradcli.float32, gradcli.float64])
    with pytest.raises(
        AssertionError, match=r"input 0 is perturbed on index \(0,\) .* of float32 instead of .* float64"
    ):
        gradcheck(lambda x: x.to(next(types)), leaf(gradcli))
    with pytest.raises(AssertionError, match="output 1 became none"):
        gradcheck(lambda x: (x, x)[: 1 + int(x[0].item() == 0.5)], leaf(gradcli))
