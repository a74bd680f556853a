"""Digests of tensors: of their bytes in C order, in the order of their names whatever the threads."""

from __future__ import annotations

import hashlib

import numpy as np

from gradcli.kernels.threads import get_num_threads, set_num_threads
from gradcli.training.state_digests import combined_digest, tensor_digest, tensor_digests


def test_a_digest_is_of_the_bytes_in_c_order() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    assert tensor_digest(array) == hashlib.sha256(array.tobytes()).hexdigest()
    digests = {"b": "2" * 64, "a": "1" * 64}
    assert combined_digest(digests) == hashlib.sha256(f"{'2' * 64}  b\n{'1' * 64}  a\n".encode()).hexdigest()


def test_digests_keep_the_names_and_their_order() -> None:
    arrays = {f"{count}": np.arange(count, dtype=np.int64) for count in (3, 5000, 0, 1, 70_000, 2)}
    arrays["scalar"] = np.array(7.0)
    before = get_num_threads()
    try:
        for threads in (1, 4):
            set_num_threads(threads)
            digests = tensor_digests(arrays)
            assert list(digests) == list(arrays)
            assert digests == {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    finally:
        set_num_threads(before)
    assert tensor_digests({}) == {}
