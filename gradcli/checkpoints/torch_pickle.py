"""The pickle inside a file of torch.save, read without running any code that the file names.

Tensors come out as records of what the file says about them; `torch_tensors` turns those into arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, Final, NamedTuple

from gradcli.checkpoints.dtypes import SUPPORTED_DTYPES, TORCH_STORAGE_DTYPES, UNSUPPORTED_DTYPES, item_size
from gradcli.checkpoints.mapped_file import Bytes
from gradcli.checkpoints.pickle_machine import read_pickle
from gradcli.checkpoints.pickle_objects import NUMPY_GLOBALS, STANDARD_GLOBALS, Constructor, Name, Record, record_of
from gradcli.checkpoints.pickle_training_objects import TRAINING_GLOBALS
from gradcli.checkpoints.quoting import quoted


class StorageType(NamedTuple):
    """A class of storages or, in the oldest files, of tensors. `dtype` is None for untyped storages."""

    dtype: str | None


class StorageRecord(NamedTuple):
    """A flat run of elements, as a persistent id names it; key and length are not checked yet.

    `dtype` is None for an untyped storage, whose `elements` are bytes.
    """

    dtype: str | None
    key: Any
    elements: Any

    @property
    def size(self) -> int:
        """In bytes, once the number of elements was checked."""
        return int(self.elements) * (item_size(self.dtype) if self.dtype else 1)


class TensorRecord(NamedTuple):
    """A tensor as a window into a storage; its numbers are not checked yet. Strides count elements."""

    storage: StorageRecord
    offset: Any
    shape: Any
    strides: Any
    dtype: Any


class ParameterRecord(Record):
    """A parameter made by calling its class, as in the oldest files: its tensor comes then, or with its state."""

    __slots__ = ()

    @property
    def tensor(self) -> TensorRecord | None:
        values = (*self.arguments[:1], *(self.state[:1] if type(self.state) is tuple else ()))
        return next((value for value in values if isinstance(value, TensorRecord)), None)


def read_torch_pickle(
    data: bytes | Bytes,
    path: str | PathLike[str],
    start: int = 0,
    persistent_load: Callable[[Any], Any] | None = None,
) -> tuple[Any, int]:
    """The object in the pickle of torch.save at byte `start`, and the position after its end.

    Tensors are TensorRecord (or ParameterRecord); sizes are tuples, dictionaries of every kind plain ones. What
    scripts keep beside their weights is read where `pickle_objects` or `pickle_training_objects` knows it.
    `persistent_load` makes of a persistent id a storage or tensor, and raises ValueError with a reason; left out,
    ids are those of a zip file.

    WeightsError names the file and what was refused, or says that the pickle is cut short or corrupt.
    """
    return read_pickle(
        data,
        start,
        path=path,
        globals=_GLOBALS,
        persistent_load=persistent_load or _NamedStorages().persistent_load,
        why_refused=_why_refused,
    )


def storage_record(storage_type: Any, key: Any, elements: Any) -> StorageRecord:
    """The storage that these parts of a persistent id name; ValueError unless the first is a type of storages."""
    if not isinstance(storage_type, StorageType):
        raise ValueError("a persistent id without a type of storages")
    return StorageRecord(storage_type.dtype, key, elements)


class _NamedStorages:
    """The storages that the persistent ids of a zip file name."""

    def __init__(self) -> None:
        self._declared: dict[str, StorageRecord] = {}

    def persistent_load(self, identifier: Any) -> StorageRecord:
        """The storage of ("storage", type, key, location, number of elements), which is the same for a key each time.

        PyTorch writes no others, and would read all tensors of a storage as the type that comes first.
        """
        if type(identifier) is not tuple or len(identifier) != 5 or identifier[0] != "storage":
            raise ValueError("a persistent id that names no storage")
        _, storage_type, key, _location, elements = identifier
        record = storage_record(storage_type, key, elements)
        comparable = type(key) is str and type(elements) is int
        if comparable and self._declared.setdefault(key, record) != record:
            raise ValueError(f"storage {quoted(key)} is declared twice, differently")
        return record


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> TensorRecord:
    if not isinstance(storage, StorageRecord):
        raise ValueError("a tensor without a storage")
    return TensorRecord(storage, offset, shape, strides, storage.dtype)


def _rebuild_tensor_v2(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> TensorRecord:
    if metadata:  # its elements are not what the storage holds
        raise ValueError("tensor metadata: a lazily conjugated or negated tensor")
    return _rebuild_tensor(storage, offset, shape, strides)


def _rebuild_tensor_v3(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> TensorRecord:
    if not isinstance(dtype, _DType):
        raise ValueError("a tensor whose dtype is none")
    record = _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, metadata)
    return record._replace(dtype=dtype.name)


class _DType(NamedTuple):
    name: str


def _rebuild_parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    if not isinstance(data, TensorRecord | ParameterRecord):
        raise ValueError("a parameter without a tensor")
    return data


def _size(lengths: Any = ()) -> tuple[Any, ...]:
    if type(lengths) not in (list, tuple):
        raise ValueError(f"a size is made of a {type(lengths).__name__}")
    return tuple(lengths)


def _parameter(*arguments: Any) -> ParameterRecord:
    return ParameterRecord("torch.nn.Parameter", arguments)


_TENSOR_CLASSES: Final = (Name("torch.Tensor"), Constructor("torch.nn.Parameter", _parameter))


def _rebuild_from_type(function: Any, tensor_class: Any, arguments: Any, state: Any = None) -> Any:
    """A tensor that carries attributes, which are of no use here."""
    if function not in _REBUILDERS.values() or type(arguments) is not tuple:
        raise ValueError("a tensor that is rebuilt by what rebuilds none")
    if tensor_class not in _TENSOR_CLASSES:
        raise ValueError("a tensor of a subclass of torch.Tensor")
    return function.function(*arguments)


_REBUILDERS: Final = {
    "_rebuild_tensor": Constructor("_rebuild_tensor", _rebuild_tensor),
    "_rebuild_tensor_v2": Constructor("_rebuild_tensor_v2", _rebuild_tensor_v2),
    "_rebuild_tensor_v3": Constructor("_rebuild_tensor_v3", _rebuild_tensor_v3),
    "_rebuild_parameter": Constructor("_rebuild_parameter", _rebuild_parameter),
    "_rebuild_parameter_with_state": Constructor("_rebuild_parameter_with_state", _rebuild_parameter),
}

_STORAGE_TYPES: Final = {name: StorageType(dtype) for name, dtype in TORCH_STORAGE_DTYPES.items()}
# The oldest files name the class of each tensor beside its storage: torch.FloatTensor, torch.cuda.FloatTensor.
_TENSOR_TYPES: Final = {name.replace("Storage", "Tensor"): value for name, value in _STORAGE_TYPES.items()}

_GLOBALS: Final[dict[tuple[str, str], Any]] = {
    **STANDARD_GLOBALS,
    **NUMPY_GLOBALS,
    **TRAINING_GLOBALS,
    **{("torch._utils", name): constructor for name, constructor in _REBUILDERS.items()},
    ("torch._tensor", "_rebuild_from_type_v2"): Constructor("_rebuild_from_type_v2", _rebuild_from_type),
    ("torch._tensor", "_rebuild_from_type"): Constructor("_rebuild_from_type", _rebuild_from_type),
    ("torch", "Tensor"): _TENSOR_CLASSES[0],
    ("torch.nn.parameter", "Parameter"): _TENSOR_CLASSES[1],
    ("torch.nn.parameter", "Buffer"): _TENSOR_CLASSES[1],
    ("torch.autograd.variable", "Variable"): _TENSOR_CLASSES[1],
    ("torch", "Size"): Constructor("torch.Size", _size),
    ("torch", "device"): record_of("torch.device"),
    ("torch.serialization", "_get_layout"): record_of("torch.layout"),
    ("torch.storage", "UntypedStorage"): StorageType(None),
    ("torch.storage", "TypedStorage"): StorageType(None),
    **{(module, name): value for module in ("torch", "torch.cuda") for name, value in _STORAGE_TYPES.items()},
    **{(module, name): value for module in ("torch", "torch.cuda") for name, value in _TENSOR_TYPES.items()},
    **{("torch", name): _DType(name) for name in (*SUPPORTED_DTYPES, *UNSUPPORTED_DTYPES)},
}

_NOT_DENSE: Final = "only dense tensors that hold their own elements are read"
_REASONS: Final = {
    ("torch._utils", "_rebuild_sparse_tensor"): f"a sparse tensor; {_NOT_DENSE} (tensor.to_dense())",
    ("torch._utils", "_rebuild_sparse_csr_tensor"): f"a sparse tensor; {_NOT_DENSE} (tensor.to_dense())",
    ("torch._utils", "_rebuild_nested_tensor"): f"a nested tensor; {_NOT_DENSE}",
    ("torch._utils", "_rebuild_qtensor"): f"a quantized tensor; {_NOT_DENSE} (tensor.dequantize())",
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): f"a tensor on the meta device, without data; {_NOT_DENSE}",
    ("torch._utils", "_rebuild_wrapper_subclass"): f"a tensor of a subclass of torch.Tensor; {_NOT_DENSE}",
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): f"a tensor of a special device; {_NOT_DENSE} (tensor.cpu())",
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): (
        f"a tensor of a special device; {_NOT_DENSE} (tensor.cpu())"
    ),
    (
        "torch.storage",
        "_load_from_bytes",
    ): "the file is written with pickle, not with torch.save(model.state_dict(), ...)",
}
_MODEL_MODULES: Final = (
    "torch.nn.modules.",
    "torchvision.models.",
    "timm.models.",
    "transformers.models.",
    "__torch__.",
)


def _why_refused(module: str, name: str) -> str | None:
    if f"{module}.".startswith(_MODEL_MODULES):
        return "a whole pickled model is code; save model.state_dict() instead"
    return _REASONS.get((module, name))
