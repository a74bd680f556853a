"""Batches of CIFAR as its authors publish them, binary and pickled by Python 2, for tests."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def rows_and_labels(seed: int, count: int = 4, classes: int = 10) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Rows of 3072 bytes, three planes each, and their labels."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
    return rows, generator.integers(0, classes, count).tolist()


def binary_batch(rows: np.ndarray[Any, Any], labels: list[int], coarse: bytes = b"") -> bytes:
    """Each row behind its label, and that behind `coarse` in CIFAR-100."""
    return b"".join(coarse + bytes([label]) + row.tobytes() for row, label in zip(rows, labels, strict=True))


def python2_pickle(values: Mapping[str, Any]) -> bytes:
    """A dictionary of text, whole numbers, lists of them and arrays, as Python 2's cPickle writes it in protocol 2."""
    out = [b"\x80\x02}q\x01("]
    memo = 2

    def put(code: bytes) -> None:
        nonlocal memo
        out.append(code + (b"q" + bytes([memo]) if memo < 256 else b"r" + struct.pack("<I", memo)))
        memo += 1

    def write(value: Any) -> None:
        if isinstance(value, str):
            put(b"U" + bytes([len(value)]) + value.encode())
        elif isinstance(value, int):
            out.append(b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value))
        elif isinstance(value, list):
            put(b"]")
            out.append(b"(")
            for each in value:
                write(each)
            out.append(b"e")
        else:
            write_array(value)

    def write_array(array: np.ndarray[Any, Any]) -> None:
        content = array.tobytes()
        code = f"{array.dtype.kind}{array.dtype.itemsize}".encode()
        shape = b"".join(b"M" + struct.pack("<H", size) for size in array.shape)
        put(b"cnumpy.core.multiarray\n_reconstruct\n")
        put(b"cnumpy\nndarray\n")
        out.append(b"K\x00\x85U\x01b\x87R(K\x01" + shape + {1: b"\x85", 2: b"\x86"}[array.ndim])
        put(b"cnumpy\ndtype\n")
        out.append(b"U\x02" + code + b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        out.append(b"T" + struct.pack("<I", len(content)) + content + b"tb")

    for key, value in values.items():
        write(key)
        write(value)
    return b"".join([*out, b"u."])


def cifar10_files(pickled: bool, count: int = 4) -> dict[str, bytes]:
    """The files of a small CIFAR-10 by their names: batch k has the rows and labels of seed k, the test batch of 0."""
    files = {}
    for number in range(6):
        rows, labels = rows_and_labels(number, count)
        name = f"data_batch_{number}" if number else "test_batch"
        if pickled:
            values = {
                "batch_label": name,
                "labels": labels,
                "data": rows,
                "filenames": [f"{label}.png" for label in labels],
            }
            files[name] = python2_pickle(values)
        else:
            files[f"{name}.bin"] = binary_batch(rows, labels)
    if pickled:
        files["batches.meta"] = python2_pickle({"num_cases_per_batch": count, "label_names": NAMES, "num_vis": 3072})
    else:
        files["batches.meta.txt"] = ("\n".join(NAMES) + "\n\n").encode()
    return files


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, files: Mapping[str, bytes], folder: str = "cifar-10-batches") -> Path:
    """A tar archive of the files in a folder; gzipped if its name ends in `gz`."""
    with tarfile.open(path, "w:gz" if path.suffix.endswith("gz") else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
