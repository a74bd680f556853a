"""Reading a weights file whatever container it is: told by its content, not by its name."""

from __future__ import annotations

import os
from pathlib import Path

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.file_opening import read_opening
from gradcli.checkpoints.safetensors_reader import looks_like_safetensors, read_safetensors
from gradcli.errors import WeightsError


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """The tensors and metadata of a weights file: a `.safetensors` file or the index of several, a file of `torch.save`
    in any of its three containers (zip since PyTorch 1.6, the legacy stream before it, tar in 2017), or `.npz`.

    Of a PyTorch file no code is run and no class is built: what stands beside the tensors is read where it is on a list
    of harmless kinds, and a pickle that names anything else is refused. Names stay as they stand in the file
    (`recognise_naming` tells what they mean). Peak memory is at most about one copy of the tensors.

    WeightsError names the file and says what is wrong: missing, empty, a web page, cut short, corrupt,
    a container or dtype that is not supported, or a pickle that is refused.
    """
    path = Path(path)
    opening = read_opening(path)
    try:
        return _read(path, opening)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read(path: Path, opening: bytes) -> Checkpoint:
    # Each reader is imported where its container is at hand: a command pays for no other.
    if looks_like_safetensors(opening):
        return read_safetensors(path)

    from gradcli.checkpoints.npz_reader import looks_like_npz, read_npz

    if looks_like_npz(opening):
        return read_npz(path)

    from gradcli.checkpoints.torch_zip_reader import looks_like_zip, read_torch_zip

    if looks_like_zip(opening):
        return read_torch_zip(path)

    from gradcli.checkpoints.safetensors_index import looks_like_safetensors_index, read_safetensors_index

    if looks_like_safetensors_index(opening):
        return read_safetensors_index(path)

    from gradcli.checkpoints.torch_legacy_reader import looks_like_torch_legacy, read_torch_legacy

    if looks_like_torch_legacy(opening):
        return read_torch_legacy(path)

    from gradcli.checkpoints.torch_tar_reader import looks_like_torch_tar, read_torch_tar

    if looks_like_torch_tar(opening):
        return read_torch_tar(path)

    from gradcli.checkpoints.foreign_files import describe_foreign_file

    raise WeightsError(f"{path}: {describe_foreign_file(opening)}")
