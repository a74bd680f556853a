"""Tensors from storages: every stride pattern and dtype, and every number that does not fit refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.checkpoints import load_checkpoint
from gradcli.checkpoints.dtypes import array_from_bytes, item_size
from gradcli.checkpoints.torch_pickle import StorageRecord, TensorRecord
from gradcli.checkpoints.torch_tensors import arrays_from_records
from gradcli.errors import WeightsError
from tests.checkpoints.torch_pickler import TorchCall, TorchName

NUMBERS = np.arange(24, dtype=np.float32)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (4, 6), (6, 1)),
        (0, (6, 4), (1, 6)),  # transposed
        (1, (4, 3), (6, 1)),  # column slice
        (6, (2, 6), (6, 1)),  # row slice
        (5, (), ()),  # 0-d inside a storage
        (0, (3, 6), (0, 1)),  # expanded
        (2, (4, 4), (1, 1)),  # overlapping
        (23, (1, 1), (2**62, 7)),  # strides of dimensions of size 1 mean nothing
        (0, (2, 4, 1, 3), (12, 1, 99, 4)),  # channels last
        (7, (0, 3), (3, 1)),
        (24, (0,), (1,)),
    ],
)
def test_any_strided_window_is_read(
    torch_zip: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    storage = torch_zip.Storage("FloatStorage", "0", NUMBERS)
    path = torch_zip.write({"w": torch_zip.tensor(storage, offset, shape, strides)}, [storage])
    loaded = load_checkpoint(path).tensors["w"]
    expected = np.empty(shape, np.float32)
    for index in np.ndindex(shape):
        expected[index] = NUMBERS[offset + sum(i * s for i, s in zip(index, strides, strict=True))]
    assert loaded.flags.c_contiguous
    assert loaded.flags.writeable
    assert loaded.shape == shape
    np.testing.assert_array_equal(loaded, expected)


def test_tensors_that_shared_a_storage_share_no_memory(torch_zip: Any) -> None:
    storage = torch_zip.Storage("FloatStorage", "shared", NUMBERS)
    content = {
        "whole": torch_zip.tensor(storage, 0, (24,), (1,)),
        "again": torch_zip.tensor(storage, 0, (24,), (1,)),
        "part": torch_zip.tensor(storage, 4, (2, 2), (2, 1)),
        "last": torch_zip.tensor(storage, 0, (24,), (1,)),
    }
    tensors = load_checkpoint(torch_zip.write(content, [storage])).tensors
    assert list(tensors) == ["whole", "again", "part", "last"]
    for name in tensors:
        for other in tensors:
            assert name == other or not np.shares_memory(tensors[name], tensors[other])
    np.testing.assert_array_equal(tensors["part"], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(tensors["last"], NUMBERS)


@pytest.mark.parametrize(
    ("type_name", "dtype"),
    [
        ("FloatStorage", "float32"),
        ("DoubleStorage", "float64"),
        ("HalfStorage", "float16"),
        ("LongStorage", "int64"),
        ("IntStorage", "int32"),
        ("ShortStorage", "int16"),
        ("CharStorage", "int8"),
        ("ByteStorage", "uint8"),
        ("BoolStorage", "bool"),
    ],
)
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_storage_type_in_both_byte_orders(torch_zip: Any, type_name: str, dtype: str, byteorder: str) -> None:
    values = np.array([[0, 1, 2], [3, 100, 1]]).astype(dtype)
    stored = values.astype(values.dtype.newbyteorder("<" if byteorder == "little" else ">"))
    path = torch_zip.write({"w": torch_zip.whole(stored, type_name)}, byteorder=byteorder.encode())
    checkpoint = load_checkpoint(path)
    loaded = checkpoint.tensors["w"]
    assert (loaded.dtype, loaded.dtype.isnative) == (values.dtype, True)
    np.testing.assert_array_equal(loaded, values)
    assert checkpoint.dtypes == {"w": dtype}


def test_bfloat16_is_widened_exactly(torch_zip: Any) -> None:
    words = np.array([0x3F80, 0xC000, 0x4049, 0x7FC1], np.uint16)
    storage = torch_zip.Storage("BFloat16Storage", "0", words)
    path = torch_zip.write({"w": torch_zip.tensor(storage, 0, (2, 2), (1, 2))}, [storage])
    checkpoint = load_checkpoint(path)
    expected = words.astype(np.uint32).reshape(2, 2).T << 16
    np.testing.assert_array_equal(checkpoint.tensors["w"].view(np.uint32), expected)
    assert checkpoint.dtypes == {"w": "bfloat16"}


def test_parameters_are_their_tensors(torch_zip: Any) -> None:
    hooks = TorchCall(TorchName("collections", "OrderedDict"), ())
    parameter = TorchCall(TorchName("torch._utils", "_rebuild_parameter"), (torch_zip.whole(NUMBERS), True, hooks))
    np.testing.assert_array_equal(load_checkpoint(torch_zip.write({"w": parameter})).tensors["w"], NUMBERS)


def untyped(torch_zip: Any, values: np.ndarray, dtype: str, shape: tuple[int, ...], offset: int = 0) -> Any:
    storage = torch_zip.Storage("UntypedStorage", "0", values.view(np.uint8), module="torch.storage")
    torch_zip.storages.append(storage)
    name = TorchName("torch._utils", "_rebuild_tensor_v3")
    return TorchCall(name, (storage, offset, shape, (1,), False, None, TorchName("torch", dtype)))


def test_untyped_storages_count_bytes(torch_zip: Any) -> None:
    values = np.array([1, 2, 60000], np.uint16)
    path = torch_zip.write({"w": untyped(torch_zip, values, "uint16", (2,), offset=1)})
    checkpoint = load_checkpoint(path)
    np.testing.assert_array_equal(checkpoint.tensors["w"], np.array([2, 60000], np.uint16))
    assert checkpoint.dtypes == {"w": "uint16"}


@pytest.mark.parametrize(
    ("dtype", "bytes_stored", "message"),
    [
        ("float8_e4m3fn", 4, "tensor 'w' has the dtype float8_e4m3fn; supported are"),
        ("uint64", 7, "reaches element 1 of a storage of 0"),
    ],
)
def test_untyped_storages_that_do_not_fit_are_refused(
    torch_zip: Any, dtype: str, bytes_stored: int, message: str
) -> None:
    path = torch_zip.write({"w": untyped(torch_zip, np.zeros(bytes_stored, np.uint8), dtype, (1,))})
    with pytest.raises(WeightsError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "elements", "message"),
    [
        (0, (5, 6), (6, 1), None, "reaches element 30 of a storage of 24"),
        (1, (24,), (1,), None, "reaches element 25"),
        (24, (), (), None, "reaches element 25"),
        (0, (2,), (2**62,), None, "reaches element"),
        (-1, (2,), (1,), None, "-1 is no size"),
        (0, (-2,), (1,), None, "-2 is no size"),
        (0, (2,), (-1,), None, "-1 is no size"),
        (0, (2, 3), (1,), None, "sizes and strides do not match"),
        (0, [2], (1,), None, "sizes and strides do not match"),
        (0, (2.0,), (1,), None, "a float is no size"),
        (0, (True,), (1,), None, "a bool is no size"),
        (0, ("2",), (1,), None, "a str is no size"),
        (0, (1,) * 65, (1,) * 65, None, "65 dimensions"),
        (0, (30,), (1,), 30, "has 96 bytes, not the 120 declared"),
        (0, (2,), (1,), 2, "has 96 bytes, not the 8 declared"),
        (0, (2,), (1,), -24, "-24 is no size"),
        (0, (2,), (1,), "24", "a str is no size"),
        (0, (2**40,), (0,), None, "more than 4 times its size"),
        (0, (2**63,), (0,), None, f"{2**63} is no size|a number of 64 bits is no size"),
        (0, (10**70,), (1,), None, "a number of 233 bits is no size"),
        (0, (-(10**70),), (1,), None, "a number of 233 bits is no size"),
        (2**60, (2**60, 1), (2**60, 1), None, "sizes are too large together|reaches element"),
        (2**63 - 1, (2,), (2**63 - 1,), None, "reaches element 18446744073709551615 of"),
        (0, (0, 2**40, 2**40), (1, 1, 1), None, "sizes are too large together"),
        (0, (2,), (1,), 2**60, "has 96 bytes, not the 4611686018427387904 declared"),
    ],
)
def test_numbers_that_do_not_fit_the_storage_are_refused(
    torch_zip: Any, offset: Any, shape: Any, strides: Any, elements: Any, message: str
) -> None:
    storage = torch_zip.Storage("FloatStorage", "0", NUMBERS, elements)
    path = torch_zip.write({"layer.w": torch_zip.tensor(storage, offset, shape, strides)}, [storage])
    with pytest.raises(WeightsError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["1", "../data.pkl", "", 0, None])
def test_a_storage_that_is_not_there_is_refused(torch_zip: Any, key: Any) -> None:
    present = torch_zip.Storage("FloatStorage", "0", NUMBERS)
    absent = torch_zip.Storage("FloatStorage", key, NUMBERS)
    path = torch_zip.write({"w": torch_zip.tensor(absent, 0, (2,), (1,))}, [present])
    with pytest.raises(WeightsError, match=r"no record|no storage is named"):
        load_checkpoint(path)


def test_complex_and_lazily_negated_tensors_are_refused(torch_zip: Any) -> None:
    path = torch_zip.write({"w": torch_zip.whole(np.zeros(2, np.complex64), "ComplexFloatStorage")})
    with pytest.raises(WeightsError, match="tensor 'w' has the dtype complex64"):
        load_checkpoint(path)
    storage = torch_zip.Storage("FloatStorage", "0", NUMBERS)
    arguments = (storage, 0, (2,), (1,), False, None, {"neg": True})
    negated = TorchCall(TorchName("torch._utils", "_rebuild_tensor_v2"), arguments)
    with pytest.raises(WeightsError, match="tensor metadata"):
        load_checkpoint(torch_zip.write({"w": negated}, [storage]))


def test_a_tensor_of_an_untyped_dtype_may_lie_in_a_typed_storage(torch_zip: Any) -> None:
    storage = torch_zip.Storage("FloatStorage", "0", NUMBERS)
    rebuild = TorchName("torch._utils", "_rebuild_tensor_v3")
    dtype = TorchName("torch", "uint16")
    fits = TorchCall(rebuild, (storage, 40, (8,), (1,), False, None, dtype))
    loaded = load_checkpoint(torch_zip.write({"w": fits}, [storage])).tensors["w"]
    np.testing.assert_array_equal(loaded, NUMBERS.view(np.uint16)[40:])
    beyond = TorchCall(rebuild, (storage, 41, (8,), (1,), False, None, dtype))
    with pytest.raises(WeightsError, match="reaches element 49 of a storage of 48"):
        load_checkpoint(torch_zip.write({"w": beyond}, [storage]))


def test_the_last_tensor_of_a_storage_is_a_view_where_it_can_be() -> None:
    data = NUMBERS.view(np.uint8).copy()
    storage = StorageRecord("float32", "0", 24)
    records = {
        "first": TensorRecord(storage, 0, (2, 3), (3, 1), "float32"),
        "last": TensorRecord(storage, 3, (2, 3), (3, 1), "float32"),
    }
    arrays = arrays_from_records(records, lambda key: data, Path(__file__))
    assert not np.shares_memory(arrays["first"], data)
    assert np.shares_memory(arrays["last"], data)
    transposed = {"only": TensorRecord(storage, 0, (2, 3), (1, 2), "float32")}
    assert not np.shares_memory(arrays_from_records(transposed, lambda key: data, Path(__file__))["only"], data)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool", "bfloat16"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_storages_may_lie_at_any_address(dtype: str, big_endian: bool) -> None:
    memory = np.random.default_rng(0).integers(0, 256, 41, np.uint8)
    data = memory[1:]
    elements = data.size // item_size(dtype)
    record = TensorRecord(StorageRecord(dtype, "0", elements), 0, (elements,), (1,), dtype)
    array = arrays_from_records({"w": record}, lambda key: data, Path(__file__), big_endian)["w"]
    assert array.flags.aligned
    assert array.tobytes() == array_from_bytes(data.copy(), dtype, big_endian).tobytes()


def test_a_storage_of_many_windows_is_converted_window_by_window() -> None:
    # Converted whole for each of them, these 20,000 windows would take a minute.
    words = np.arange(100_000).astype(np.uint16)
    storage = StorageRecord("bfloat16", "0", words.size)
    records = {str(i): TensorRecord(storage, 5 * i, (5,), (1,), "bfloat16") for i in range(20_000)}
    arrays = arrays_from_records(records, lambda key: words.view(np.uint8), Path(__file__))
    np.testing.assert_array_equal(np.concatenate(list(arrays.values())).view(np.uint32) >> 16, words)
