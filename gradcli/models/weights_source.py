"""From the name of weights to the file that holds them: a known name, a file, or the run folder of a finetuning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradcli.errors import WeightsError

if TYPE_CHECKING:
    from gradcli.hub.manifest import KnownWeights

RUN_WEIGHTS = "model.safetensors"
"""The weights file of a run folder."""


@dataclass(frozen=True)
class WeightsSource:
    """A file of weights, and the entry of the manifest that it is a copy of, if it is one."""

    path: Path
    known: KnownWeights | None = None


def find_source(name: str, *, verify: bool = True) -> WeightsSource:
    """The file that `--weights NAME` means, fetched if it is known by that name and not here yet.

    With `verify`, a file that claims to be known weights (by its name, or by where it lies) is refused unless its
    SHA-256 is the published one, and a damaged copy of weights that are asked for by name is fetched anew.
    Raises WeightsError, one line, for a name that means nothing, a folder that is no run folder, or such a file.
    """
    from gradcli.hub import weights as hub
    from gradcli.hub.manifest import known_weights

    known = known_weights().get(name)
    if known is not None:
        return WeightsSource(hub.find_weights(name, verify=verify) or hub.fetch_weights(name), known)
    path = weights_file(name)
    if not path.exists() and path.suffix == "" and os.sep not in name:
        names = ", ".join(["random[:SEED]", *known_weights()])
        raise WeightsError(f"{name}: no such weights or file; known names are {names}")
    known = hub.identify(path)
    if known is not None and verify and path.is_file():
        hub.verify_weights(path, known)
    return WeightsSource(path, known)


def weights_file(name: str) -> Path:
    """The file that a path means: itself, or the weights of a run folder. WeightsError for another folder."""
    path = Path(name)
    if not path.is_dir():
        return path
    if not (path / RUN_WEIGHTS).is_file():
        raise WeightsError(f"{name}: a folder without {RUN_WEIGHTS}; give a run folder or a weights file")
    return path / RUN_WEIGHTS


def known_origin(metadata: Mapping[str, str]) -> KnownWeights | None:
    """The known weights that a converted file was made of, by the SHA-256 that conversion writes into its metadata."""
    sha256 = metadata.get("source_sha256")
    if sha256 is None:
        return None
    from gradcli.hub.manifest import known_weights

    return next((known for known in known_weights().values() if known.accepts(sha256)), None)
