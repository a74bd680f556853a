"""Files of weights: plain arrays by name with text metadata, read and written without PyTorch.

Nothing here knows of layers or tensors that record gradients: a checkpoint is a dictionary from names to
NumPy arrays. The container of a file is told by its content, never by its name.

The names below are loaded when first used, and the readers of each container are imported inside the functions that
need them, so that a command pays at start-up for no more than it does.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcli.checkpoints.atomic import replace_atomically, write_atomically
    from gradcli.checkpoints.checkpoint import Checkpoint
    from gradcli.checkpoints.checksum import file_sha256
    from gradcli.checkpoints.conversion import Conversion, convert_checkpoint
    from gradcli.checkpoints.description import CheckpointDescription, TensorDescription, describe_checkpoint
    from gradcli.checkpoints.loading import load_checkpoint
    from gradcli.checkpoints.safetensors_writer import save_safetensors

_MODULES = {
    "Checkpoint": "checkpoint",
    "CheckpointDescription": "description",
    "Conversion": "conversion",
    "TensorDescription": "description",
    "convert_checkpoint": "conversion",
    "describe_checkpoint": "description",
    "file_sha256": "checksum",
    "load_checkpoint": "loading",
    "replace_atomically": "atomic",
    "save_safetensors": "safetensors_writer",
    "write_atomically": "atomic",
}

__all__ = [
    "Checkpoint",
    "CheckpointDescription",
    "Conversion",
    "TensorDescription",
    "convert_checkpoint",
    "describe_checkpoint",
    "file_sha256",
    "load_checkpoint",
    "replace_atomically",
    "save_safetensors",
    "write_atomically",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'gradcli.checkpoints' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gradcli.checkpoints.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
