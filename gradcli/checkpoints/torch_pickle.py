"""The pickle inside a file of torch.save, read without running any code that the file names.

Tensors come out as records of what the file says about them; `torch_tensors` turns those into arrays.
"""

from __future__ import annotations

import io
import os
from typing import Any, ClassVar, Final, NamedTuple, NoReturn

from gradcli.checkpoints.dtypes import SUPPORTED_DTYPES, TORCH_STORAGE_DTYPES, UNSUPPORTED_DTYPES
from gradcli.errors import WeightsError


class StorageRecord(NamedTuple):
    """A flat run of elements, as a persistent id names it; nothing in it is checked yet.

    `dtype` is None for an untyped storage, whose `elements` are bytes.
    """

    dtype: str | None
    key: Any
    elements: Any


class TensorRecord(NamedTuple):
    """A tensor as a window into a storage; nothing in it is checked yet. Strides count elements."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any
    dtype: Any


# The opcodes that pickle protocols 2 to 4 need for dictionaries, sequences, numbers, text and calls.
# Left out are those of protocol 0 and 1, the extension registry, and whatever makes other objects.
# fmt: off
_OPCODES: Final = frozenset((
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK",
    "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "SHORT_BINSTRING", "BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID",
))
# fmt: on


def read_torch_pickle(data: bytes, path: str | os.PathLike[str]) -> Any:
    """The object in a pickle of torch.save, its tensors as TensorRecord.

    Only exact (module, name) pairs are resolved, each to something inert of this module: ordered
    dictionaries, sizes, tensors, parameters, storages and dtypes. WeightsError names the file and what
    was refused, or says that the pickle is corrupt.
    """
    import pickle

    _check_opcodes(data, path)

    # The unpickler written in Python, because the one in C can't be told what to do for an opcode.
    base: Any = pickle._Unpickler

    class Unpickler(base):  # type: ignore[misc]
        dispatch: ClassVar[dict[int, Any]] = dict(base.dispatch)

        def load_setitem(self) -> None:
            value, key = self.stack.pop(), self.stack.pop()
            _set_items(self.stack[-1], [key, value])

        def load_setitems(self) -> None:
            items = self.pop_mark()
            _set_items(self.stack[-1], items)

        def load_dict(self) -> None:
            entries: dict[Any, Any] = {}
            _set_items(entries, self.pop_mark())
            self.append(entries)

        def load_build(self) -> None:
            # Attributes to set, such as `_metadata`, are of no use, and could change what they are set on.
            self.stack.pop()
            if not isinstance(self.stack[-1], dict):
                raise ValueError("attributes are set on what is no dictionary")

        dispatch |= {
            pickle.SETITEM[0]: load_setitem,
            pickle.SETITEMS[0]: load_setitems,
            pickle.DICT[0]: load_dict,
            pickle.BUILD[0]: load_build,
        }

        def find_class(self, module: str, name: str) -> Any:
            try:
                return _GLOBALS[module, name]
            except KeyError:
                _refuse(path, f"{module}.{name}")

        def persistent_load(self, identifier: Any) -> StorageRecord:
            kind, storage, key, _location, elements = identifier
            if kind != "storage" or not isinstance(storage, _StorageType):
                raise pickle.UnpicklingError("a persistent id that names no storage")
            return StorageRecord(storage.dtype, key, elements)

    try:
        # PyTorch writes the text of Python 2 checkpoints as UTF-8
        return Unpickler(io.BytesIO(data), encoding="utf-8").load()
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        raise _corrupt(path, f"{type(error).__name__}: {error}") from error


def _check_opcodes(data: bytes, path: str | os.PathLike[str]) -> None:
    """Read the pickle as a list of opcodes, without executing it, and refuse what torch.save never writes."""
    import pickletools

    end = 0
    try:
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name not in _OPCODES:
                raise WeightsError(
                    f"{path}: its pickle has the opcode {opcode.name} at byte {position}, which no file of "
                    "torch.save needs; refused"
                )
            if opcode.name == "GLOBAL" and tuple(str(argument).split(" ", 1)) not in _GLOBALS:
                _refuse(path, str(argument).replace(" ", "."))
            # The unpickler allocates its memo up to the index given: a few bytes could ask for gigabytes.
            if opcode.name == "LONG_BINPUT" and argument is not None and argument > len(data):
                raise _corrupt(path, f"memo index {argument} at byte {position}")
            end = (position or 0) + 1
    except ValueError as error:
        raise _corrupt(path, str(error)) from error
    if end != len(data):
        raise _corrupt(path, f"{len(data) - end} bytes follow its end")


def _set_items(target: Any, items: list[Any]) -> None:
    """Put keys and values, one after the other, into a dictionary.

    Only text and numbers are keys: hashing a tuple that contains itself twice, many times over, would never end.
    """
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("items are set on what is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):
            raise ValueError(f"a {type(key).__name__} is the key of a dictionary")
        target[key] = value


def _refuse(path: str | os.PathLike[str], name: str) -> NoReturn:
    raise WeightsError(
        f"{path}: refuses to run {name!r}, which its pickle asks for: only tensors in plain dictionaries are "
        "read, as torch.save(model.state_dict(), ...) writes them"
    )


def _corrupt(path: str | os.PathLike[str], reason: str) -> WeightsError:
    return WeightsError(f"{path}: its pickle is corrupt ({' '.join(reason.split())})")


class _StorageType(NamedTuple):
    dtype: str | None


class _DType(NamedTuple):
    name: str


def _ordered_dictionary(pairs: Any = ()) -> dict[Any, Any]:
    entries: dict[Any, Any] = {}
    for pair in pairs:
        _set_items(entries, list(pair))
    return entries


def _size(lengths: Any = ()) -> tuple[Any, ...]:
    return tuple(lengths)


def _rebuild_tensor_v2(
    storage: StorageRecord,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: bool = False,
    hooks: Any = None,
    metadata: Any = None,
) -> TensorRecord:
    if metadata:  # a lazily conjugated or negated tensor: its elements are not what the storage holds
        raise ValueError("tensor metadata: a lazily conjugated or negated tensor")
    return TensorRecord(storage, offset, shape, strides, storage.dtype)


def _rebuild_tensor_v3(
    storage: StorageRecord,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: bool,
    hooks: Any,
    dtype: _DType,
    metadata: Any = None,
) -> TensorRecord:
    record = _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, metadata)
    return record._replace(dtype=dtype.name)


def _rebuild_parameter(data: Any, requires_grad: bool, hooks: Any) -> Any:
    return data


_GLOBALS: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): _ordered_dictionary,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.storage", "UntypedStorage"): _StorageType(None),
    **{("torch", name): _StorageType(dtype) for name, dtype in TORCH_STORAGE_DTYPES.items()},
    **{("torch", name): _DType(name) for name in (*SUPPORTED_DTYPES, *UNSUPPORTED_DTYPES)},
}
