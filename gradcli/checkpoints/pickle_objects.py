"""What the names in a pickle stand for here: objects that hold values and do nothing.

Covers what training scripts keep beside their weights from the standard library and NumPy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple


@dataclass(frozen=True, eq=False, slots=True)
class Constructor:
    """What a pickle may call. `function` is one of gradcli's, checks its arguments and raises ValueError."""

    name: str
    function: Callable[..., Any]


@dataclass(frozen=True, eq=False, slots=True)
class Name:
    """A class or constant that is only mentioned. It can't be called."""

    name: str


class Entries(NamedTuple):
    """What a constructor returns that makes a dictionary: its keys are checked before they are hashed."""

    pairs: Iterable[Sequence[Any]]


class Record:
    """An object that is known by its name, the arguments it was made with and the state it was given."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None

    def set_state(self, state: Any) -> None:
        self.state = state

    def __repr__(self) -> str:
        return f"<{self.name}>"


def record_of(name: str) -> Constructor:
    """A constructor of records of that name, with whatever arguments."""
    return Constructor(name, lambda *arguments: Record(name, arguments))


def entries_of(source: Any = ()) -> Entries:
    """The entries of a dictionary: a dictionary's, or those of a list of pairs."""
    if type(source) is dict:
        return Entries(source.items())
    if type(source) not in (list, tuple):
        raise ValueError(f"a dictionary is made of a {type(source).__name__}")
    for pair in source:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise ValueError("a dictionary is made of what are no pairs")
    return Entries(source)


def _default_dictionary(_factory: Any = None, source: Any = ()) -> Entries:
    return entries_of(source)


def _list_of(items: Any = (), _length: Any = None) -> list[Any]:
    if type(items) not in (list, tuple):
        raise ValueError(f"a collection is made of a {type(items).__name__}")
    return list(items)


def _bytes_of_text(text: Any, encoding: Any = "latin1") -> bytes:
    """What protocol 2 calls to make bytes: each character is a byte."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError("text is encoded otherwise than as Latin-1")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    return b""


def _byte_array(source: Any = b"", encoding: Any = "latin-1") -> bytes:
    if type(source) is bytes:
        return source
    return _bytes_of_text(source, encoding)


def _complex(real: Any, imaginary: Any) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise ValueError("a complex number is made of what are no floats")
    return complex(real, imaginary)


class _NumpyDType(Record):
    """A NumPy dtype: its code such as `f8` is its first argument, its byte order comes with the state."""

    __slots__ = ()

    @property
    def format(self) -> str | None:
        """The format of one element for `struct`, None for all but plain numbers."""
        code = self.arguments[0] if self.arguments else None
        order = self.state[1] if type(self.state) is tuple and len(self.state) > 1 else "|"
        if type(code) is not str or type(order) is not str:
            return None
        number = _NUMBER_FORMATS.get(code)
        return number and {"<": "<", ">": ">", "|": "<"}.get(order, "<") + number


# fmt: off
_NUMBER_FORMATS: Final = {
    "b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}
# fmt: on


def _numpy_dtype(*arguments: Any) -> _NumpyDType:
    return _NumpyDType("numpy.dtype", arguments)


def _numpy_scalar(dtype: Any = None, data: Any = None) -> Any:
    """A Python number where the dtype is a plain one, else a record."""
    number_format = dtype.format if isinstance(dtype, _NumpyDType) else None
    if type(data) is str:  # Python 2's text and bytes are one type
        data = data.encode("utf-8", "surrogatepass")
    if number_format is None or type(data) is not bytes:
        return Record("numpy.generic", (dtype, data))
    if len(data) != struct.calcsize(number_format):
        raise ValueError(f"a NumPy number of {struct.calcsize(number_format)} bytes has {len(data)}")
    return struct.unpack(number_format, data)[0]


def _numpy_array(*arguments: Any) -> Record:
    return Record("numpy.ndarray", arguments)


_BUILTINS: Final[dict[str, Constructor | Name]] = {
    "set": Constructor("set", _list_of),
    "frozenset": Constructor("frozenset", _list_of),
    "bytes": Constructor("bytes", _no_bytes),
    "bytearray": Constructor("bytearray", _byte_array),
    "complex": Constructor("complex", _complex),
    **{name: record_of(name) for name in ("slice", "range", "xrange")},
    # A defaultdict names one of these, and so does a script that keeps types.
    **{name: Name(name) for name in ("int", "long", "float", "bool", "str", "unicode", "list", "tuple", "dict")},
}
_COLLECTIONS: Final[dict[str, Constructor]] = {
    "OrderedDict": Constructor("collections.OrderedDict", entries_of),
    "Counter": Constructor("collections.Counter", entries_of),
    "defaultdict": Constructor("collections.defaultdict", _default_dictionary),
    "deque": Constructor("collections.deque", _list_of),
}
_RECORDS: Final = {
    "argparse": ("Namespace",),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "pathlib._local": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
}

STANDARD_GLOBALS: Final[dict[tuple[str, str], Any]] = {
    **{("builtins", name): value for name, value in _BUILTINS.items()},
    **{("__builtin__", name): value for name, value in _BUILTINS.items()},  # Python 2's name for it
    **{("collections", name): value for name, value in _COLLECTIONS.items()},
    ("_codecs", "encode"): Constructor("_codecs.encode", _bytes_of_text),
    **{(module, name): record_of(f"{module}.{name}") for module, names in _RECORDS.items() for name in names},
}

NUMPY_GLOBALS: Final[dict[tuple[str, str], Any]] = {
    ("numpy", "dtype"): Constructor("numpy.dtype", _numpy_dtype),
    ("numpy", "ndarray"): Name("numpy.ndarray"),
    # NumPy 2 has moved its core
    **{(f"numpy.{core}.multiarray", "scalar"): Constructor("scalar", _numpy_scalar) for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Constructor("array", _numpy_array) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): Constructor("array", _numpy_array) for core in ("core", "_core")},
}
