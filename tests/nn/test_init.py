"""Initial values: bounds and variances, gains, fans, and what is drawn when values are not wanted."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.deferred import puts_off
from gradcli.nn import init


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (init.zeros_, [0, 0]),
        (init.ones_, [1, 1]),
        (lambda tensor: init.constant_(tensor, 0.25), [0.25, 0.25]),
    ],
)
def test_constants_are_filled_in_place_without_a_graph(fill, expected):
    parameter = nn.Parameter(gradcli.full((2,), 9.0))
    assert fill(parameter) is parameter
    assert parameter.tolist() == expected
    assert parameter.is_leaf
    assert parameter.requires_grad


def test_uniform_and_normal_fill_in_place():
    parameter = nn.Parameter(gradcli.zeros(100, 200))
    gradcli.manual_seed(0)
    assert init.uniform_(parameter, -1, 3) is parameter
    assert -1 <= parameter.array.min() < -0.99
    assert 2.99 < parameter.array.max() < 3
    assert init.normal_(parameter, 5, 0.5) is parameter
    assert parameter.array.mean() == pytest.approx(5, abs=4 * 0.5 / 20_000**0.5)
    assert parameter.array.std() == pytest.approx(0.5, rel=0.03)


def test_a_generator_of_ones_own_leaves_the_default_one_alone():
    state = gradcli.default_generator.get_state()
    first = init.normal_(gradcli.zeros(20), generator=gradcli.Generator(5))
    second = init.normal_(gradcli.zeros(20), generator=gradcli.Generator(5))
    assert first.tolist() == second.tolist()
    np.testing.assert_array_equal(gradcli.default_generator.get_state(), state)


@pytest.mark.parametrize(
    ("nonlinearity", "slope", "gain"),
    [
        ("linear", None, 1),
        ("conv2d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 0.5, math.sqrt(1.6)),
        ("leaky_relu", math.sqrt(5), math.sqrt(1 / 3)),
    ],
)
def test_gains(nonlinearity, slope, gain):
    assert init.calculate_gain(nonlinearity, slope) == pytest.approx(gain)


@pytest.mark.parametrize(
    ("shape", "expected"), [((3, 2), (2, 3)), ((8, 4, 3, 5), (60, 120)), ((8, 4, 1, 1), (4, 8)), ((8, 0), (0, 8))]
)
def test_fans(shape, expected):
    assert init.fans(gradcli.zeros(shape)) == expected


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 40 * 9), ("fan_out", 60 * 9)])
def test_kaiming_variance(mode, fan):
    gradcli.manual_seed(0)
    std = math.sqrt(2 / fan)
    normal = init.kaiming_normal_(gradcli.zeros(60, 40, 3, 3), mode=mode, nonlinearity="relu").numpy()
    assert normal.std() == pytest.approx(std, rel=0.02)
    uniform = init.kaiming_uniform_(gradcli.zeros(60, 40, 3, 3), mode=mode, nonlinearity="relu").numpy()
    assert np.abs(uniform).max() == pytest.approx(math.sqrt(3) * std, rel=1e-3)
    assert uniform.std() == pytest.approx(std, rel=0.02)


def test_xavier_variance():
    gradcli.manual_seed(0)
    std = 1.5 * math.sqrt(2 / (100 * 9))
    normal = init.xavier_normal_(gradcli.zeros(60, 40, 3, 3), gain=1.5).numpy()
    assert normal.std() == pytest.approx(std, rel=0.02)
    uniform = init.xavier_uniform_(gradcli.zeros(60, 40, 3, 3), gain=1.5).numpy()
    assert np.abs(uniform).max() == pytest.approx(math.sqrt(3) * std, rel=1e-3)
    assert uniform.std() == pytest.approx(std, rel=0.02)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"])
def test_values_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    gradcli.manual_seed(3)
    torch.manual_seed(3)
    drawn = getattr(init, name)(gradcli.empty(30, 4, 3, 3)).numpy()
    np.testing.assert_array_equal(drawn, getattr(torch.nn.init, name)(torch.empty(30, 4, 3, 3)).numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.calculate_gain("gelu"), "Unsupported nonlinearity gelu"),
        (
            lambda: init.kaiming_normal_(gradcli.zeros(2, 2), mode="fan_avg"),
            "Mode fan_avg not supported, please use one of ['fan_in', 'fan_out']",
        ),
        (
            lambda: init.kaiming_uniform_(gradcli.zeros(2)),
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
        ),
    ],
)
def test_settings_that_make_no_sense(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(7, 2))


def test_discarded_values_move_the_generator_all_the_same():
    gradcli.manual_seed(0)
    layers()
    following = gradcli.rand(3).tolist()
    gradcli.manual_seed(0)
    with init.values_discarded():
        layers()
        init.normal_(gradcli.zeros(21))
    gradcli.manual_seed(0)
    with init.values_discarded():
        layers()
    assert gradcli.rand(3).tolist() == following


def test_no_values_leave_the_generator_alone_whatever_is_asked_inside():
    state = gradcli.default_generator.get_state()
    with init.no_values():
        layers()
        with init.values_discarded():
            layers()
        init.normal_(gradcli.zeros(40))
    np.testing.assert_array_equal(gradcli.default_generator.get_state(), state)
    assert init.ones_(gradcli.zeros(1)).tolist() == [1]


@pytest.mark.parametrize("context", [init.values_discarded, init.no_values])
def test_values_are_drawn_again_afterwards_even_after_an_error(context):
    with pytest.raises(KeyError), context():
        raise KeyError
    assert init.uniform_(gradcli.zeros(8), 1, 2).array.min() >= 1


@pytest.mark.parametrize("fill", [init.zeros_, init.uniform_, init.normal_])
def test_what_was_put_off_is_computed_with_the_values_before(fill):
    conv, x = nn.Conv2d(3, 4, 3, bias=False), gradcli.randn(1, 3, 6, 6)
    expected = conv(x).detach().numpy().copy()

    @puts_off
    def fill_between(x):
        out = conv(x)
        fill(conv.weight)
        return out

    np.testing.assert_array_equal(fill_between(x).detach().numpy(), expected)
