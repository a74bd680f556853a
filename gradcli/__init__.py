"""gradcli: a NumPy autograd engine and a ResNet-18, in Python and from the shell.

    import gradcli as torch
    from gradcli import nn, optim
    from gradcli.models import resnet18, ResNet18_Weights

The names are PyTorch's. They are loaded when first used, so that the command line starts without NumPy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcli import autograd, cuda, func, models, nn, optim  # noqa: F401
    from gradcli.api import *  # noqa: F403

__version__ = "0.1.0"

_SUBMODULES = ("autograd", "cuda", "func", "models", "nn", "optim")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"gradcli.{name}")
    if not name.startswith("__"):
        api = importlib.import_module("gradcli.api")
        if name in api.__all__:
            value = globals()[name] = getattr(api, name)
            return value
    raise AttributeError(f"module 'gradcli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({"__version__", *_SUBMODULES, *importlib.import_module("gradcli.api").__all__})
