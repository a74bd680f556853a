"""What tells tensors from numbers, and refuses what an operation can't take."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli.ops.arguments import (
    is_number,
    require_index,
    require_kind,
    require_tensor_elements,
    require_tensors,
    require_within,
    values_of,
)


@pytest.mark.parametrize(
    ("value", "expected"), [(1, True), (1.5, True), (True, True), (np.ones(()), False), ("1", False)]
)
def test_numbers_are_those_of_python(value, expected):
    assert is_number(value) == expected


def test_the_values_of_a_tensor_are_its_array_and_an_array_is_its_own():
    array = np.ones(2)
    assert values_of(gradcli.from_numpy(array)) is array
    assert values_of(array) is array


def test_tensors_and_arrays_pass_and_numbers_are_named():
    require_tensors("add", input=gradcli.ones(2), other=np.ones(2))
    with pytest.raises(TypeError, match=r"add\(\): argument 'other' must be Tensor, not int"):
        require_tensors("add", input=np.ones(2), other=1)


def test_the_first_element_that_is_no_tensor_is_named():
    require_tensor_elements([gradcli.ones(2), np.ones(2)], 0)
    with pytest.raises(TypeError, match="expected Tensor as element 1 in argument 0, but got float"):
        require_tensor_elements([np.ones(2), 1.0, 2], 0)


def test_require_kind_names_the_operation_and_the_type():
    require_kind("pow", np.ones(2))
    with pytest.raises(NotImplementedError, match='"pow" not implemented for bool tensors'):
        require_kind("pow", np.ones(2, bool), "iuf")


def test_an_index_has_integers_of_32_or_64_bits():
    require_index("gather", np.array([0], np.int32))
    with pytest.raises(RuntimeError, match=r"gather\(\): Expected dtype int32/int64 for index, but got int8"):
        require_index("gather", np.array([0], np.int8))


def test_positions_lie_within_the_dim():
    require_within(np.array([0, 2]), 0, 3)
    require_within(np.array([], np.int64), 0, 0)
    for wrong in (3, -1):
        with pytest.raises(RuntimeError, match=f"index {wrong} is out of bounds for dimension 1 with size 3"):
            require_within(np.array([0, wrong]), 1, 3)
