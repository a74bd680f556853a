"""index_put: values, gradients for what stays and for what is written, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, real, refusal_checks_of

import gradcli
from gradcli.ops.indexing import basic_view


def put(x, values, *key):
    result = x.copy()
    result[key] = values
    return result


def added(x, values, *key):
    result = x.copy()
    np.add.at(result, key, values)
    return result


CASES = [
    Case(
        "index_put",
        lambda torch, x, v: torch.index_put(x, (torch.tensor([0, 2]),), v),
        real(3, 4),
        real(2, 4),
        expected=lambda x, v: put(x, v, [0, 2]),
    ),
    Case(
        "index_put of two dims",
        lambda torch, x, v: x.index_put((torch.tensor([0, 2]), torch.tensor([[1], [3]])), v),
        real(3, 4),
        real(2, 1),
        expected=lambda x, v: put(x, v, [0, 2], [[1], [3]]),
    ),
    Case(
        "index_put accumulated",
        lambda torch, x, v: x.index_put([torch.tensor([2, 0, 2])], v, accumulate=True),
        real(3, 4),
        real(),
        expected=lambda x, v: added(x, v, [2, 0, 2]),
    ),
    Case(
        "index_put mask",
        lambda torch, x, v: x.index_put((torch.tensor([True, False, True]),), v),
        real(3, 4),
        real(4),
        expected=lambda x, v: put(x, v, [0, 2]),
    ),
]

REFUSALS = [
    Refusal(
        "beyond",
        lambda torch: torch.ones(2).index_put((torch.tensor([2]),), torch.tensor(1.0)),
        IndexError,
        "index 2 is out of bounds",
    ),
    Refusal(
        "too many",
        lambda torch: torch.ones(2).index_put((torch.tensor([0]), torch.tensor([0])), torch.tensor(1.0)),
        IndexError,
        "too many indices",
    ),
    Refusal(
        "values",
        lambda torch: torch.ones(2, 3).index_put((torch.tensor([0]),), torch.ones(2, 2)),
        RuntimeError,
        "shape mismatch",
    ),
    Refusal(
        "indices",
        lambda torch: torch.ones(2, 3).index_put((torch.tensor([0, 1]), torch.tensor([0, 1, 2])), torch.tensor(1.0)),
        IndexError,
        "broadcast",
    ),
    Refusal(
        "types",
        lambda torch: torch.ones(2).index_put((torch.tensor([0]),), torch.tensor(1.0, dtype=torch.float64)),
        RuntimeError,
        "dtypes match",
    ),
    Refusal("number", lambda torch: torch.ones(2).index_put((torch.tensor([0]),), 1.0), TypeError, "float"),
    Refusal(
        "one index", lambda torch: torch.ones(2).index_put(torch.tensor([0]), torch.tensor(1.0)), TypeError, "tuple"
    ),
    Refusal("list", lambda torch: torch.ones(2).index_put(([0],), torch.tensor(1.0)), TypeError, "list"),
    Refusal(
        "mask",
        lambda torch: torch.ones(2).index_put((torch.tensor([True]),), torch.tensor(1.0)),
        IndexError,
        "shape of the mask",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_index_put_in_place():
    x = gradcli.zeros(3)
    assert x.index_put_((gradcli.tensor([0, 0]),), gradcli.ones(2), accumulate=True) is x
    assert x.tolist() == [2, 0, 0]


@pytest.mark.parametrize("value", ["1", [1.0], None])
def test_only_tensors_arrays_and_numbers_can_be_assigned(value):
    with pytest.raises(TypeError, match=f"can't assign a {type(value).__name__} to a torch.FloatTensor"):
        gradcli.zeros(2)[0] = value


@pytest.mark.parametrize(
    ("key", "value", "node"),
    [
        (slice(None), 1.0, "FillBackward3"),
        (slice(None), gradcli.tensor(1.0), "FillBackward3"),
        (slice(None), gradcli.ones(1), "CopyBackwards"),
        ((0, 0), 1.0, "CopyBackwards"),
    ],
)
def test_one_value_for_several_elements_fills_them(key, value, node):
    x = gradcli.zeros(2, 2, requires_grad=True) * 1
    x[key] = value
    recorded = x.grad_fn.next_functions[1][0] if x.grad_fn.name() == "CopySlices" else x.grad_fn
    assert recorded.name() == node
    assert x[key].tolist() == np.ones((2, 2))[key].tolist()


def test_a_key_is_split_into_a_view_and_what_gathers_from_it():
    x = gradcli.zeros(3, 4)
    view, gather = basic_view(x, (slice(1, None), [0, 2]))
    assert view.shape == (2, 4)
    assert [part if isinstance(part, slice) else part.tolist() for part in gather] == [slice(None), [0, 2]]
    view, gather = basic_view(x, (1, 2))
    assert (view.shape, gather) == ((), None)
    assert np.shares_memory(view.array, x.array)
    assert basic_view(x, ...) == (x, None)
