"""Reading a weights file whatever container it is: told by its first bytes, not by its name."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.safetensors_reader import looks_like_safetensors, read_safetensors
from gradcli.errors import WeightsError

# The first pickle of a legacy file is this number: PROTO 2, LONG1 of 10 bytes.
_LEGACY_MAGIC: Final = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
_TAR_MAGIC: Final = slice(257, 262)
_OPENING_LENGTH: Final = 512
_RESAVE: Final = "load it with PyTorch and write its state_dict with torch.save again"
_DATA_PARALLEL_PREFIX: Final = "module."


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """The tensors and metadata of a `.safetensors` file or of a file of `torch.save` (since PyTorch 1.6).

    Of a PyTorch file no code is run and no class is built: a pickle that names anything beyond
    tensors, storages and ordered dictionaries is refused. If every name starts with `module.`, as
    `torch.nn.DataParallel` writes them, that prefix is dropped. Peak memory is at most about
    one copy of the tensors.

    WeightsError names the file and says what is wrong: missing, empty, a web page, cut short, corrupt,
    a container or dtype that is not supported, or a pickle that is refused.
    """
    path = Path(path)
    try:
        opening = _opening(path)
        if looks_like_safetensors(opening):
            checkpoint = read_safetensors(path)
        else:
            from gradcli.checkpoints.torch_zip_reader import looks_like_zip, read_torch_zip

            if not looks_like_zip(opening):
                raise _not_a_checkpoint(path, opening)
            checkpoint = read_torch_zip(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _without_data_parallel_prefix(checkpoint)


def _opening(path: Path) -> bytes:
    """The first bytes of the file, once it is known to be a file with content."""
    if not path.exists():
        raise WeightsError(f"{path}: no such file")
    if path.is_dir():
        raise WeightsError(f"{path}: is a directory; name the weights file inside it")
    if not path.is_file():
        raise WeightsError(f"{path}: is a device or a pipe; weights are read from files only")
    with path.open("rb") as stream:
        opening = stream.read(_OPENING_LENGTH)
    if not opening:
        raise WeightsError(f"{path}: is empty; download or write it again")
    return opening


def _not_a_checkpoint(path: Path, opening: bytes) -> WeightsError:
    """What the file is instead, as far as its first bytes tell."""
    text = opening.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return WeightsError(f"{path}: is a web page (HTML), not weights; download the file itself again")
    if text.startswith(b"version https://git-lfs"):
        return WeightsError(f"{path}: is a Git LFS pointer, not the weights; fetch the file with git lfs pull")
    if opening[_TAR_MAGIC] == b"ustar":
        return WeightsError(f"{path}: is in the old tar format of torch.save, which is not read yet; {_RESAVE}")
    if opening.startswith(_LEGACY_MAGIC):
        return WeightsError(
            f"{path}: is in the legacy format of torch.save (before PyTorch 1.6), which is not read yet; {_RESAVE}"
        )
    return WeightsError(
        f"{path}: neither a safetensors file nor a zip file of torch.save (starts with {opening[:8]!r})"
    )


def _without_data_parallel_prefix(checkpoint: Checkpoint) -> Checkpoint:
    names = list(checkpoint.tensors)
    if not names or not all(name.startswith(_DATA_PARALLEL_PREFIX) for name in names):
        return checkpoint
    return replace(
        checkpoint,
        tensors={name.removeprefix(_DATA_PARALLEL_PREFIX): a for name, a in checkpoint.tensors.items()},
        dtypes={name.removeprefix(_DATA_PARALLEL_PREFIX): d for name, d in checkpoint.dtypes.items()},
    )
