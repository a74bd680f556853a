"""SHA-256 of a model's tensors, several at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradcli.kernels.threads import parallel


def tensor_digest(array: np.ndarray[Any, Any]) -> str:
    """The SHA-256 of an array's elements in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def tensor_digests(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, str]:
    """The SHA-256 of each array's elements in C order, by the names and in the order of the arrays."""
    # The largest first, so that no thread is left with one of them in the end.
    names = sorted(arrays, key=lambda name: -arrays[name].nbytes)
    digests = dict.fromkeys(arrays, "")

    def digest(position: int) -> None:
        name = names[position]
        digests[name] = tensor_digest(arrays[name])

    parallel(digest, len(names))
    return digests


def combined_digest(digests: Mapping[str, str]) -> str:
    """One SHA-256 for all: that of the lines `DIGEST  NAME`, as sha256sum prints them."""
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest()
