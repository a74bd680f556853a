"""Files that are no weights are named for what they are."""

from __future__ import annotations

import gzip
import io
import pickle

import numpy as np
import pytest

from gradcli.checkpoints.foreign_files import describe_foreign_file


def npy_bytes() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("opening", "described"),
    [
        (b"<!DOCTYPE html><html>404</html>", "is a web page (HTML), not weights; download the file itself again"),
        (b"\n\n  <HTML lang='en'>", "is a web page (HTML)"),
        (b"<!-- moved --><html>", "is a web page (HTML)"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!DOCTYPE html PUBLIC ''><html>", "is a web page (HTML)"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "is an XML text, perhaps a server's error"),
        (b'["error"]', """is JSON text (starts with '["error"]')"""),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"epoch,loss\n1,2\n", "is a text file (starts with 'epoch,loss'), not weights"),
        ("Zoë\n".encode() + "ü".encode()[:1], "is a text file (starts with 'Zoë')"),
        (npy_bytes(), "is a single NumPy array (.npy)"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "is an HDF5 file, as Keras writes it"),
        (b"GGUF\x03\x00\x00\x00", "is a GGUF file"),
        (gzip.compress(b"hello"), "is compressed with gzip"),
        (b"\x08\x07\x12\x07pytorch\x1a\x051.9.0", "is an ONNX model"),
        (b"\x08\x04:\xa3\x01", "is an ONNX model"),
        (b"\x08\x01\x12\xb4\xc1\x02", "is a TensorFlow SavedModel"),
        (b"\x1c\x00\x00\x00TFL3", "is a TensorFlow Lite model"),
        (b"\x89PNG\r\n\x1a\n0000", "is a PNG image"),
        (b"\xff\xd8\xff\xe0", "is a JPEG image"),
        (b"\x7fELF\x02", "is a program (ELF)"),
        (bytes(512), "starts with zeros only"),
        (
            b"\x01\x02\xff",
            r"neither a safetensors file nor a file of torch.save nor .npz (starts with b'\x01\x02\xff')",
        ),
        (b"ok \xff\xfe\xfd", "neither a safetensors file"),
    ],
)
def test_what_a_file_is(opening: bytes, described: str) -> None:
    assert describe_foreign_file(opening).startswith(described)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [{"a": 1.5, "b": [1, 2]}, [1, 2], {}, [], print, np.zeros(2)])
def test_a_plain_pickle_is_called_one(value: object, protocol: int) -> None:
    opening = pickle.dumps(value, protocol)[:512]
    assert describe_foreign_file(opening).startswith("is a plain Python pickle, not a file of torch.save")


@pytest.mark.parametrize(
    "opening", [b"cos\nsystem\n(S'id'\ntR.", b"(S'id'\nios\nsystem\n.", b"(cos\nsystem\nS'id'\no."]
)
def test_a_pickle_by_hand_is_called_one(opening: bytes) -> None:
    assert "is a plain Python pickle" in describe_foreign_file(opening)


@pytest.mark.parametrize(
    "opening", [b"(see below)\n", b"cats\nand dogs\n", b"in\nline\nthree", b"I am\na text\n", b"]q"]
)
def test_a_text_is_no_pickle(opening: bytes) -> None:
    assert "is a text file" in describe_foreign_file(opening)


def test_the_description_is_one_short_line() -> None:
    generator = np.random.default_rng(0)
    for _ in range(2000):
        opening = generator.bytes(int(generator.integers(1, 20)))
        described = describe_foreign_file(opening)
        assert described.isprintable()
        assert len(described) < 250
