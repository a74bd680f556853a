"""The pickles that CIFAR is published in: a dictionary of text, numbers and one NumPy array of bytes.

They are read by gradcli's own interpreter of pickles, which runs and imports nothing.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcli.checkpoints.pickle_machine import read_pickle
from gradcli.checkpoints.pickle_objects import NUMPY_GLOBALS, STANDARD_GLOBALS, Record
from gradcli.errors import DataError, WeightsError

# What NumPy's arrays need, and what Python 3 makes of bytes in the older protocol.
_GLOBALS: Final = {**NUMPY_GLOBALS, ("_codecs", "encode"): STANDARD_GLOBALS["_codecs", "encode"]}


class PickledBatch(NamedTuple):
    """Rows of bytes (N, length) and their labels (N,)."""

    data: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_pickled_batch(content: bytes, labels_key: str, source: str) -> PickledBatch:
    """The array `data` and the list of labels in a pickle; DataError names `source` if it holds something else."""
    entries = _entries(content, source)
    labels = entries.get(labels_key)
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 2**31 for label in labels):
        raise DataError(f"{source}: has no list of whole numbers called {labels_key}; expected a batch of CIFAR")
    return PickledBatch(_byte_array(entries.get("data"), source), np.array(labels, dtype=np.int64))


def read_pickled_names(content: bytes, key: str, source: str) -> list[str]:
    """The list of names in a pickle; DataError names `source` if it holds something else."""
    names = _entries(content, source).get(key)
    if isinstance(names, list):
        texts = [_text(name) for name in names]
        if all(isinstance(text, str) for text in texts):
            return texts
    raise DataError(f"{source}: has no list of names called {key}; expected CIFAR's names of classes")


def _entries(content: bytes, source: str) -> dict[Any, Any]:
    try:
        root, _ = read_pickle(
            content,
            0,
            path=source,
            globals=_GLOBALS,
            why_refused=lambda module, name: "a batch of CIFAR needs text, numbers and one NumPy array",
        )
    except WeightsError as error:  # the interpreter's word for what is wrong with a pickle
        raise DataError(str(error)) from error
    if type(root) is not dict:
        raise DataError(f"{source}: its pickle holds a {type(root).__name__}; expected a dictionary, as CIFAR's do")
    return {_text(key): value for key, value in root.items()}


def _text(value: Any) -> Any:
    """Python 2's text and bytes are one type; what it wrote as one may be read as the other."""
    return value.decode("utf-8", "replace") if type(value) is bytes else value


def _byte_array(value: Any, source: str) -> NDArray[np.uint8]:
    """The array that a pickled NumPy array of bytes with two dimensions stands for."""
    expected = f"{source}: has no array of bytes called data; expected a batch of CIFAR"
    # The state of NumPy's arrays: version, shape, dtype, whether the order is Fortran's, the elements' bytes.
    state = value.state if isinstance(value, Record) and value.name == "numpy.ndarray" else None
    if type(state) is not tuple or len(state) != 5:
        raise DataError(expected)
    _, shape, dtype, fortran_order, content = state
    if type(content) is str:
        content = content.encode()
    is_bytes = isinstance(dtype, Record) and dtype.name == "numpy.dtype" and dtype.arguments[:1] == ("u1",)
    if not is_bytes or fortran_order is not False or type(content) is not bytes:
        raise DataError(expected)
    is_shape = type(shape) is tuple and len(shape) == 2 and all(type(size) is int and size > 0 for size in shape)
    if not is_shape or shape[0] * shape[1] != len(content):
        raise DataError(f"{source}: its array data of shape {shape} has {len(content)} bytes; it is damaged")
    return np.frombuffer(content, np.uint8).reshape(shape)
