"""Naming files that are no weights, or none that are read here, by their first bytes."""

from __future__ import annotations

import re
from typing import Final

_AGAIN: Final = "download the file itself again"
_EXPORT: Final = "export the weights as safetensors"
_UNPACK: Final = "unpack it first"

# What starts with these bytes, and what to do about it.
_OPENINGS: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\x93NUMPY", "a single NumPy array (.npy)", "write the arrays by name with numpy.savez"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it", _EXPORT),
    (b"GGUF", "a GGUF file", _EXPORT),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"%PDF-", "a PDF document", _AGAIN),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", _AGAIN),
    (b"\xff\xd8\xff", "a JPEG image", _AGAIN),
    (b"GIF8", "a GIF image", _AGAIN),
    (b"\x7fELF", "a program (ELF)", _AGAIN),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with git lfs pull"),
)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_WEB_PAGE: Final = (b"<!doctype html", b"<html", b"<head", b"<body", b"<!--")
# The first fields of the two protocol buffers, each a tag and a small number: ONNX's version and the text or the
# version that follows it, a TensorFlow SavedModel's version 1 and its graphs.
_ONNX: Final = re.compile(rb"\x08[\x02-\x20](?:\x12|\x1a|\x22|\x28|\x3a|\x42)", re.DOTALL)
_SAVED_MODEL: Final = b"\x08\x01\x12"
# PROTO with its version, or how pickles of the two oldest protocols begin that hold a dictionary, a list, or a call.
_PICKLE: Final = re.compile(
    rb"\x80[\x02-\x05]"
    rb"|\([dl](?:p\d+\n|\.)"
    rb"|[}\]]q\x00"
    rb"|\(?c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n[(SVqp).]"
    rb"|\(S'[^\n]*'\ni[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n"
)
_QUOTED: Final = 40


def describe_foreign_file(opening: bytes) -> str:
    """What a file is that starts with these bytes (at least one), and what would be right: a clause such as
    `is a web page (HTML), not weights; download the file itself again`."""
    for magic, kind, remedy in _OPENINGS:
        if opening.startswith(magic):
            return f"is {kind}, not weights that are read here; {remedy}"
    if opening[4:8] == b"TFL3":
        return f"is a TensorFlow Lite model, not weights that are read here; {_EXPORT}"
    if opening.startswith(_SAVED_MODEL):
        return f"is a TensorFlow SavedModel, not weights that are read here; {_EXPORT}"
    if _ONNX.match(opening):
        return f"is an ONNX model, not weights that are read here; {_EXPORT}"
    if _PICKLE.match(opening):
        return (
            "is a plain Python pickle, not a file of torch.save; pickles can run any program and are not opened: "
            "write the tensors with torch.save or as safetensors"
        )
    if not opening.strip(b"\x00"):
        return "starts with zeros only, as a download does that never filled its file; download it again"
    return (
        _text(opening) or f"neither a safetensors file nor a file of torch.save nor .npz (starts with {opening[:8]!r})"
    )


def looks_like_web_page(opening: bytes) -> bool:
    """Whether a file that starts with these bytes is HTML, written as XML perhaps."""
    start = opening.removeprefix(_BYTE_ORDER_MARK).lstrip().lower()
    return start.startswith(_WEB_PAGE) or (start.startswith(b"<?xml") and b"<html" in start)


def _text(opening: bytes) -> str | None:
    """What a file is that starts with text. None if this is no text."""
    if looks_like_web_page(opening):
        return f"is a web page (HTML), not weights; {_AGAIN}"
    start = opening.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if start.startswith(b"<?xml"):
        return f"is an XML text, perhaps a server's error message, not weights; {_AGAIN}"
    # The opening may end inside a character.
    text = start.decode(errors="replace").removesuffix("\N{REPLACEMENT CHARACTER}")
    if not text or not all(_is_text(character) for character in text):
        return None
    kind = "JSON text" if text[0] in "{[" else "a text file"
    line = text.splitlines()[0][:_QUOTED]
    return f"is {kind} (starts with {line!r}), not weights; give a safetensors file, a file of torch.save or .npz"


def _is_text(character: str) -> bool:
    return character in "\t\r\n\f" or (character.isprintable() and character != "\N{REPLACEMENT CHARACTER}")
