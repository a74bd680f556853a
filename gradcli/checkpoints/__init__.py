"""Files of weights: plain arrays by name with text metadata, read and written without PyTorch.

Nothing here knows of layers or tensors that record gradients: a checkpoint is a dictionary from names to
NumPy arrays. The container of a file is told by its content, never by its name. zipfile, pickle and
safetensors are imported inside the functions that need them, so that a command that reads no weights
file does not pay for them at start-up.
"""

from gradcli.checkpoints.atomic import replace_atomically, write_atomically
from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.checksum import file_sha256
from gradcli.checkpoints.conversion import Conversion, convert_checkpoint
from gradcli.checkpoints.description import CheckpointDescription, TensorDescription, describe_checkpoint
from gradcli.checkpoints.loading import load_checkpoint
from gradcli.checkpoints.safetensors_writer import save_safetensors

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
