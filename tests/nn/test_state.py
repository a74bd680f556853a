"""State dicts: what is in them, and loading that is all or nothing."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.deferred import puts_off
from gradcli.kernels.threads import get_num_threads, set_num_threads
from gradcli.nn.state import IncompatibleKeys, StateDictError


def model_with_statistics() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Linear(2, 3))


NAMES = [
    "0.weight",
    "1.weight",
    "1.bias",
    "1.running_mean",
    "1.running_var",
    "1.num_batches_tracked",
    "2.weight",
    "2.bias",
]


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.array.copy() for name, tensor in model.state_dict().items()}


def shifted(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(values + 1) for name, values in state.items()}


def assert_equal_states(state: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(state) == list(expected)
    for name, values in expected.items():
        assert state[name].dtype == values.dtype
        np.testing.assert_array_equal(state[name], values, err_msg=name)


def test_order_is_parameters_then_buffers_module_by_module():
    assert list(model_with_statistics().state_dict()) == NAMES


def test_values_are_detached_but_shared():
    model = model_with_statistics()
    state = model.state_dict()
    assert not state["2.weight"].requires_grad
    nn.init.zeros_(state["2.weight"])
    assert not model[2].weight.array.any()


def test_non_persistent_buffers_stay_out():
    module = nn.Module()
    module.register_buffer("kept", gradcli.ones(1))
    module.register_buffer("scratch", gradcli.ones(1), persistent=False)
    assert list(module.state_dict()) == ["kept"]
    assert [name for name, _ in module.named_buffers()] == ["kept", "scratch"]
    module.register_buffer("scratch", gradcli.ones(1))
    assert list(module.state_dict()) == ["kept", "scratch"]


@pytest.mark.parametrize("kind", ["tensors", "arrays"])
def test_loading_copies_into_the_tensors_that_are_there(kind):
    model = model_with_statistics()
    weight = model[0].weight
    memory = weight.array
    expected = shifted(arrays(model))
    given = {name: values.copy() if kind == "arrays" else gradcli.tensor(values) for name, values in expected.items()}
    keys = model.load_state_dict(given)
    assert repr(keys) == "<All keys matched successfully>"
    assert keys == ([], [])
    assert model[0].weight is weight
    assert weight.array is memory
    assert weight.requires_grad
    for values in given.values():  # what was given is not shared afterwards
        nn.init.zeros_(values if isinstance(values, gradcli.Tensor) else gradcli.from_numpy(values))
    assert_equal_states(arrays(model), expected)


def test_values_of_another_float_type_are_converted():
    model = nn.Linear(2, 1)
    model.load_state_dict({"weight": np.array([[0.1, 0.2]]), "bias": np.array([0.5], np.float16)})
    assert model.weight.dtype == gradcli.float32
    assert model.weight.array.tolist() == np.array([[0.1, 0.2]], np.float32).tolist()
    assert model.bias.tolist() == [0.5]


def test_memory_order_of_the_values_does_not_matter():
    model = nn.Conv2d(2, 3, 3)
    values = np.arange(54, dtype=np.float32).reshape(3, 2, 3, 3)
    model.load_state_dict({"weight": np.asfortranarray(values), "bias": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(model.weight.array, values)


def misfits(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One name missing, one unexpected, two of other shapes."""
    misfit = {name: values for name, values in state.items() if name != "0.weight"}
    return misfit | {
        "head.weight": np.zeros(1, np.float32),
        "2.weight": np.zeros((3, 5), np.float32),
        "2.bias": np.zeros(()),
    }


def test_everything_that_does_not_fit_is_listed_and_nothing_is_copied():
    model = model_with_statistics()
    before = arrays(model)
    with pytest.raises(StateDictError) as caught:
        model.load_state_dict(misfits(shifted(before)))
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.keys == IncompatibleKeys(["0.weight"], ["head.weight"])
    assert [entry.name for entry in caught.value.mismatched] == ["2.weight", "2.bias"]
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "0.weight". \n'
        '\tUnexpected key(s) in state_dict: "head.weight". \n'
        "\tsize mismatch for 2.weight: copying a param with shape torch.Size([3, 5]) from checkpoint, "
        "the shape in current model is torch.Size([3, 2]).\n"
        "\tsize mismatch for 2.bias: copying a param with shape torch.Size([]) from checkpoint, "
        "the shape in current model is torch.Size([3])."
    )
    assert_equal_states(arrays(model), before)


def test_not_strict_forgives_names_and_returns_them():
    model = model_with_statistics()
    before = arrays(model)
    given = shifted(before)
    del given["0.weight"]
    given["head.weight"] = np.zeros(1)
    keys = model.load_state_dict(given, strict=False)
    assert keys.missing_keys == ["0.weight"]
    assert keys.unexpected_keys == ["head.weight"]
    assert repr(keys) == "_IncompatibleKeys(missing_keys=['0.weight'], unexpected_keys=['head.weight'])"
    expected = shifted(before) | {"0.weight": before["0.weight"]}
    assert_equal_states(arrays(model), expected)


def test_not_strict_does_not_forgive_shapes():
    model = model_with_statistics()
    before = arrays(model)
    with pytest.raises(StateDictError) as caught:
        model.load_state_dict(misfits(shifted(before)), strict=False)
    assert "Missing" not in str(caught.value)
    assert "size mismatch for 2.weight" in str(caught.value)
    assert_equal_states(arrays(model), before)


def test_checkpoints_older_than_num_batches_tracked_load():
    model = model_with_statistics()
    model[1](gradcli.ones(2, 2, 1, 1))
    given = shifted(arrays(model))
    del given["1.num_batches_tracked"]
    assert model.load_state_dict(given) == ([], [])
    assert model[1].num_batches_tracked.item() == 1


@pytest.mark.parity
def test_errors_and_order_are_pytorchs():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 3))
    assert list(theirs.state_dict()) == NAMES
    misfit = misfits({name: tensor.numpy() for name, tensor in theirs.state_dict().items()})
    for strict in (True, False):
        with pytest.raises(RuntimeError) as expected:
            theirs.load_state_dict({name: torch.from_numpy(values) for name, values in misfit.items()}, strict=strict)
        with pytest.raises(RuntimeError) as caught:
            model_with_statistics().load_state_dict(misfit, strict=strict)
        assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_values_are_converted_piece_by_piece(threads: int, dtype: str) -> None:
    model = nn.Sequential(nn.Conv2d(190, 67, 3, bias=False), nn.Linear(70_001, 3), nn.Linear(3, 70_001))
    generator = np.random.default_rng(0)
    state = {name: generator.normal(size=tensor.shape).astype(dtype) for name, tensor in model.state_dict().items()}
    before = get_num_threads()
    set_num_threads(threads)
    try:
        model.load_state_dict(state)
    finally:
        set_num_threads(before)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.array, state[name].astype(np.float32))
    assert model[0].weight.array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_a_value_beyond_the_parameters_type_becomes_infinite_without_a_warning() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.load_state_dict({"weight": np.array([[1e300]])})
    assert model.weight.array.tolist() == [[np.inf]]


def test_what_was_put_off_is_computed_with_the_values_before_loading() -> None:
    conv, x = nn.Conv2d(3, 4, 3, bias=False), gradcli.randn(1, 3, 6, 6)
    expected = conv(x).detach().numpy().copy()

    @puts_off
    def load_between(x: gradcli.Tensor) -> gradcli.Tensor:
        out = conv(x)
        conv.load_state_dict({"weight": np.zeros((4, 3, 3, 3))})
        return out

    np.testing.assert_array_equal(load_between(x).detach().numpy(), expected)
