"""From the name of weights to the file that holds them: a known name, a file, or the run folder of a finetuning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gradcli.errors import WeightsError

if TYPE_CHECKING:
    from gradcli.hub.manifest import KnownWeights

DEFAULT_WEIGHTS: Final = "default"
"""What `--weights` is when it is left out; `default_weights` tells what it stands for."""

BUNDLED_WEIGHTS: Final = "emoji1k"
"""The known weights that come with gradcli, trained on drawings."""

PHOTOGRAPH_WEIGHTS: Final = "imagenet1k-v1"
"""The known weights, trained on photographs, that are the default instead once they are here."""

RUN_WEIGHTS = "model.safetensors"
"""The weights file of a run folder."""

# The weights of a folder: of a run or of Hugging Face's `save_pretrained`, whole, in shards, and as it was before.
_FOLDER_WEIGHTS: Final = (RUN_WEIGHTS, f"{RUN_WEIGHTS}.index.json", "pytorch_model.bin")

_SHORTEST_BEGINNING: Final = 4


@dataclass(frozen=True)
class WeightsSource:
    """A file of weights, and the entry of the manifest that it is a copy of, if it is one."""

    path: Path
    known: KnownWeights | None = None


def default_weights(*, verify: bool = True) -> str:
    """The known name that `default` stands for: `imagenet1k-v1` if a copy is here, fetched by gradcli or by PyTorch,
    else `emoji1k`, which comes with gradcli.

    A damaged copy counts as none, with a warning, unless `verify` is false. Nothing is fetched.
    """
    from gradcli.hub.weights import find_weights

    return BUNDLED_WEIGHTS if find_weights(PHOTOGRAPH_WEIGHTS, verify=verify) is None else PHOTOGRAPH_WEIGHTS


def weights_name(name: str, *, verify: bool = True) -> str:
    """The name itself, but for `default` that of the known weights that it stands for, as `default_weights` says."""
    return default_weights(verify=verify) if name == DEFAULT_WEIGHTS else name


def find_source(name: str, *, verify: bool = True) -> WeightsSource:
    """The file that `--weights NAME` means, fetched if it is known by that name and not here yet.

    With `verify`, a file that claims to be known weights (by its name, or by where it lies) is refused unless its
    SHA-256 is the published one, and a damaged copy of weights that are asked for by name is fetched anew.
    Raises WeightsError, one line, for a name that means nothing, a folder that is no run folder, or such a file.
    """
    from gradcli.hub.manifest import known_weights

    name = weights_name(name, verify=verify)
    known = known_weights().get(name)
    if known is not None:
        from gradcli.hub.weights import fetch_weights, find_weights

        return WeightsSource(find_weights(name, verify=verify) or fetch_weights(name), known)
    from gradcli.hub.verification import identify, verify_weights

    path = weights_file(name)
    if not path.exists():
        near = _near_names(name)
        if near:
            meant = " or ".join(near)
            raise WeightsError(f"{name}: no such weights or file; did you mean {meant}? `gradcli weights list` has all")
        if path.suffix == "" and os.sep not in name:
            names = ", ".join([DEFAULT_WEIGHTS, "random[:SEED]", *known_weights()])
            raise WeightsError(f"{name}: no such weights or file; known names are {names}")
    known = identify(path)
    if known is not None and verify and path.is_file():
        verify_weights(path, known)
    return WeightsSource(path, known)


def _near_names(name: str) -> list[str]:
    """Known names that begin as this one or are nearly it, or the one behind `microsoft/` or `timm/`.

    So does Hugging Face call them.
    """
    import difflib

    from gradcli.hub.manifest import known_weights

    known = known_weights()
    spellings = (name.replace(os.sep, "-"), name.rpartition(os.sep)[2])
    near: dict[str, None] = {}
    for each in map(str.lower, spellings):
        near |= dict.fromkeys(difflib.get_close_matches(each, known, cutoff=0.8))
        near |= dict.fromkeys(name for name in known if len(each) >= _SHORTEST_BEGINNING and name.startswith(each))
    return list(near)


def weights_file(name: str) -> Path:
    """The file that a path means: itself, or the weights in a folder of a run or of Hugging Face's transformers.

    WeightsError for another folder.
    """
    path = Path(name)
    if not path.is_dir():
        return path
    for file in _FOLDER_WEIGHTS:
        if (path / file).is_file():
            return path / file
    raise WeightsError(f"{name}: a folder without {RUN_WEIGHTS}; give a run folder or a weights file")


def known_origin(metadata: Mapping[str, str]) -> KnownWeights | None:
    """The known weights that a converted file was made of, by the SHA-256 that conversion writes into its metadata."""
    sha256 = metadata.get("source_sha256")
    if sha256 is None:
        return None
    from gradcli.hub.manifest import known_weights

    return next((known for known in known_weights().values() if known.accepts(sha256)), None)
