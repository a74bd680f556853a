"""gradcheck and gradgradcheck: right gradients pass, wrong ones are caught at the right entry, by PyTorch's rules."""

from __future__ import annotations

import importlib
import inspect
import warnings

import numpy as np
import pytest
from wrong_gradients import cube, leaf, pair, real, scaled, slope, unsteady, wrong_product

import gradcli
from gradcli.autograd import Tensor
from gradcli.autograd.gradcheck import gradcheck, gradgradcheck

# --- what comes of them: the same in PyTorch --------------------------------------------------------------------------


def failing(first):
    raise RuntimeError("no second gradient")


def cut(x):
    """One element more where the first one is larger."""
    return x[: 2 + int(x[0].item() > 0.5)]


OUTCOMES = {
    "right": (lambda t, c: c.gradcheck(lambda x: x.sin(), leaf(t)), True),
    "list of inputs": (lambda t, c: c.gradcheck(lambda a, b: a * b, [leaf(t), leaf(t, 1, 2, 3)]), True),
    "input that is no tensor": (lambda t, c: c.gradcheck(lambda x, n: x**n, (leaf(t), 3)), True),
    "same input twice": (lambda t, c: c.gradcheck(lambda a, b: a * b, (leaf(t),) * 2), True),
    "unused input": (lambda t, c: c.gradcheck(lambda a, b: a * 2, (leaf(t), leaf(t))), True),
    "closure": (lambda t, c: (lambda x: c.gradcheck(lambda _: x * x, x))(leaf(t)), True),
    "input itself": (lambda t, c: c.gradcheck(lambda x: x, leaf(t)), True),
    "in place on a clone": (lambda t, c: c.gradcheck(lambda x: x.clone().mul_(3).exp_(), leaf(t)), True),
    "several outputs": (lambda t, c: c.gradcheck(lambda x: (x.exp(), x.detach(), x.sum()), leaf(t)), True),
    "integer output": (lambda t, c: c.gradcheck(lambda x: x.max(0), leaf(t)), True),
    "zero size": (
        lambda t, c: c.gradcheck(lambda x: x.exp(), t.zeros(0, 2, dtype=t.float64, requires_grad=True)),
        True,
    ),
    "no output with gradient": (lambda t, c: c.gradcheck(lambda x: t.ones(2, dtype=t.float64), leaf(t)), True),
    "wrong": (lambda t, c: c.gradcheck(wrong_product(t), (leaf(t), leaf(t))), "GradcheckError"),
    "wrong, fast": (lambda t, c: c.gradcheck(wrong_product(t), (leaf(t), leaf(t)), fast_mode=True), "GradcheckError"),
    "wrong, told": (lambda t, c: c.gradcheck(wrong_product(t), (leaf(t), leaf(t)), raise_exception=False), False),
    "wrong only twice: once": (lambda t, c: c.gradcheck(cube(t), leaf(t)), True),
    "wrong only twice": (lambda t, c: c.gradgradcheck(cube(t), leaf(t)), "GradcheckError"),
    "wrong only twice, fast": (lambda t, c: c.gradgradcheck(cube(t), leaf(t), fast_mode=True), "GradcheckError"),
    "wrong only twice, told": (lambda t, c: c.gradgradcheck(cube(t), leaf(t), raise_exception=False), False),
    "detached": (lambda t, c: c.gradcheck(lambda x: x.detach() * 2, leaf(t)), "GradcheckError"),
    "detached, fast": (lambda t, c: c.gradcheck(lambda x: x.detach() * 2, leaf(t), fast_mode=True), "GradcheckError"),
    "unsteady": (lambda t, c: c.gradcheck(unsteady(t, 1e-9), leaf(t)), "GradcheckError"),
    "unsteady, fast": (lambda t, c: c.gradcheck(unsteady(t, 1e-9), leaf(t), fast_mode=True), "GradcheckError"),
    "unsteady, allowed": (lambda t, c: c.gradcheck(unsteady(t, 1e-9), leaf(t), nondet_tol=1e-7), True),
    "gradient not multiplied": (
        lambda t, c: c.gradcheck(scaled(t, lambda t, g: 2 * t.ones_like(g)), leaf(t, 1.0)),
        "GradcheckError",
    ),
    "undefined fails": (lambda t, c: c.gradcheck(pair(t, failing), leaf(t)), "GradcheckError"),
    "undefined isn't zero": (lambda t, c: c.gradcheck(pair(t, lambda g: g + 1), leaf(t)), "GradcheckError"),
    "undefined isn't checked": (
        lambda t, c: c.gradcheck(pair(t, lambda g: g + 1), leaf(t), check_undefined_grad=False),
        True,
    ),
    "atol": (lambda t, c: c.gradcheck(scaled(t, slope(1e-4)), leaf(t), rtol=0), "GradcheckError"),
    "larger atol": (lambda t, c: c.gradcheck(scaled(t, slope(1e-4)), leaf(t), rtol=0, atol=1e-3), True),
    "rtol": (lambda t, c: c.gradcheck(scaled(t, slope(1e-2)), leaf(t)), "GradcheckError"),
    "larger rtol": (lambda t, c: c.gradcheck(scaled(t, slope(1e-2)), leaf(t), rtol=0.1), True),
    "step over a kink": (lambda t, c: c.gradcheck(t.abs, leaf(t, 1e-4, 1.0), eps=1e-3), "GradcheckError"),
    "step before a kink": (lambda t, c: c.gradcheck(t.abs, leaf(t, 1e-4, 1.0), eps=1e-6), True),
    "NaN": (lambda t, c: c.gradcheck(t.sqrt, leaf(t, 0.0, 1.0)), "GradcheckError"),
    "no input requires gradients": (lambda t, c: c.gradcheck(lambda x: x, leaf(t).detach()), "ValueError"),
    "no input requires gradients twice": (lambda t, c: c.gradgradcheck(t.sin, leaf(t).detach()), "ValueError"),
    "ValueError isn't a result": (
        lambda t, c: c.gradcheck(lambda x: x, leaf(t).detach(), raise_exception=False),
        "ValueError",
    ),
    "shared elements": (
        lambda t, c: c.gradcheck(t.sin, leaf(t, 1.0).detach().expand(3).requires_grad_()),
        "RuntimeError",
    ),
    "changing shape": (lambda t, c: c.gradcheck(cut, leaf(t)), "AssertionError"),
    "neither mode": (lambda t, c: c.gradcheck(t.sin, leaf(t), check_backward_ad=False), "AssertionError"),
    "neither order": (lambda t, c: c.gradgradcheck(t.sin, leaf(t), check_rev_over_rev=False), "AssertionError"),
    "weights given": (lambda t, c: c.gradgradcheck(t.sin, leaf(t), leaf(t, 1, 2, 3)), True),
    "weights of which one is fixed": (
        lambda t, c: c.gradgradcheck(lambda x: (x.sin(), x.exp()), leaf(t), (leaf(t), leaf(t).detach())),
        True,
    ),
    "weights of another shape": (lambda t, c: c.gradgradcheck(t.sin, leaf(t), leaf(t, 1.0)), "RuntimeError"),
    "strided weights": (lambda t, c: c.gradgradcheck(t.sin, leaf(t), gen_non_contig_grad_outputs=True), True),
}


def outcome(call, torch, checks):
    try:
        return call(torch, checks)
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(name):
    call, expected = OUTCOMES[name]
    assert outcome(call, gradcli, importlib.import_module("gradcli.autograd.gradcheck")) == expected


@pytest.mark.parity
@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    call, expected = OUTCOMES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that the check of undefined gradients is new
        assert outcome(call, torch, importlib.import_module("torch.autograd.gradcheck")) == expected


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["check_batched_grad", "check_batched_forward_grad", "check_forward_ad", "masked"])
def test_options_that_mean_nothing_here(option):
    assert gradcheck(gradcli.sin, leaf(gradcli), **{option: False})
    with pytest.raises(NotImplementedError, match=f"^{option}=True is not supported: [^\n]*$"):
        gradcheck(gradcli.sin, leaf(gradcli), **{option: True})


@pytest.mark.parametrize("option", ["check_batched_grad", "check_fwd_over_rev", "masked"])
def test_options_that_mean_nothing_here_for_second_gradients(option):
    assert gradgradcheck(gradcli.sin, leaf(gradcli), **{option: False})
    with pytest.raises(NotImplementedError, match=f"^{option}=True is not supported: [^\n]*$"):
        gradgradcheck(gradcli.sin, leaf(gradcli), **{option: True})


@pytest.mark.parity
@pytest.mark.parametrize("name", ["gradcheck", "gradgradcheck"])
def test_arguments_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
        for function in ({"gradcheck": gradcheck, "gradgradcheck": gradgradcheck}[name], getattr(torch.autograd, name))
    )
    assert ours == theirs


def test_single_precision_is_warned_of_where_it_is_called():
    with pytest.warns(UserWarning, match="input 1 requires gradient and is not a double precision") as caught:
        assert gradcheck(lambda a, b: a + b, (leaf(gradcli), gradcli.ones(3, requires_grad=True)), eps=1e-2, atol=1e-2)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="requires gradient") as caught:
        gradgradcheck(lambda a: a * a, gradcli.ones(3, requires_grad=True), eps=1e-2, atol=1e-2)
    assert {warning.filename for warning in caught} == {__file__}


def test_memory_that_is_shared_or_read_only():
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(4.0), 2)
    for array in (windows, np.broadcast_to(np.ones(1), 3)):
        with pytest.raises(RuntimeError, match=r"^input 1 has elements that share memory"):
            gradcheck(lambda n, x: x.exp(), (1, Tensor(array, requires_grad=True)))
    array = np.ones(3)
    array.flags.writeable = False
    with pytest.raises(RuntimeError, match=r"^input 0 is read-only memory"):
        gradcheck(gradcli.exp, Tensor(array, requires_grad=True))


def test_what_is_no_tensor():
    with pytest.raises(TypeError, match="func must return a Tensor or a tuple of them, but output 1 is 'text'"):
        gradcheck(lambda x: (x, "text"), leaf(gradcli))
    with pytest.raises(TypeError, match="grad_outputs must be a Tensor"):
        gradgradcheck(gradcli.sin, leaf(gradcli), (None,))
    with pytest.raises(RuntimeError, match="got 1 tensors and 2 gradients"):
        gradgradcheck(gradcli.sin, leaf(gradcli), (leaf(gradcli), leaf(gradcli)))


# --- what is left afterwards ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])
def test_inputs_and_generator_are_as_before(fast_mode):
    x, weights = real(5), real(5, seed=1)
    values, version, state = x.array.copy(), x._version, gradcli.get_rng_state().array.copy()
    gradcheck(gradcli.sin, x, fast_mode=fast_mode)
    gradgradcheck(gradcli.sin, x, weights, fast_mode=fast_mode)

    def interrupted(x):
        if (x.array != values).any():
            raise KeyboardInterrupt
        return x.exp()

    with pytest.raises(KeyboardInterrupt):
        gradcheck(interrupted, x, fast_mode=fast_mode)
    np.testing.assert_array_equal(x.array, values)
    np.testing.assert_array_equal(gradcli.get_rng_state().array, state)
    assert x.grad is None
    assert x._version == version


def generated_weights(torch, gradgradcheck, seed, **options):
    """What gradgradcheck takes for the gradient of an output of shape (2, 3)."""
    seen = []

    def gradient(torch, grad):
        seen.append(grad.detach())
        return 2 * grad

    torch.manual_seed(seed)
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(scaled(torch, gradient), x, **options)
    return seen[0]


@pytest.mark.parametrize("strided", [False, True])
def test_generated_weights_are_random_and_may_be_strided(strided):
    first, again, other = (
        generated_weights(gradcli, gradgradcheck, seed, gen_non_contig_grad_outputs=strided).array for seed in (1, 1, 2)
    )
    assert first.flags.c_contiguous is not strided
    assert np.abs(first).max() <= 1
    assert len(np.unique(first)) == 6
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parity
@pytest.mark.parametrize("strided", [False, True])
def test_generated_weights_are_pytorchs(strided):
    torch = pytest.importorskip("torch")
    ours = generated_weights(gradcli, gradgradcheck, 3, gen_non_contig_grad_outputs=strided)
    theirs = generated_weights(torch, torch.autograd.gradgradcheck, 3, gen_non_contig_grad_outputs=strided)
    np.testing.assert_array_equal(ours.array, theirs.numpy())
