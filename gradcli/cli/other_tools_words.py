"""What other tools call gradcli's commands and options, for the hints of error messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "classify": ("predict",),
    "compare": ("diff",),
    "convert": ("weights convert",),
    "download": ("weights fetch", "data fetch"),
    "eval": ("evaluate",),
    "fetch": ("weights fetch", "data fetch"),
    "fit": ("finetune",),
    "gradcheck": ("check",),
    "gradients": ("grads",),
    "infer": ("predict",),
    "info": ("summary",),
    "inspect": ("weights inspect", "data inspect"),
    "monitor": ("watch",),
    "test": ("evaluate", "selftest"),
    "train": ("finetune",),
    "val": ("evaluate",),
    "validate": ("evaluate",),
    "visualize": ("graph", "report"),
}
"""Commands of gradcli, below `gradcli`, by other words for them."""

OPTIONS: Final[Mapping[str, str]] = {
    "--arch": "--weights",
    "--bs": "--batch-size",
    "--checkpoint": "--weights",
    "--ckpt": "--weights",
    "--criterion": "--loss",
    "--grad-clip": "--clip-norm",
    "--image": "--input",
    "--images": "--input",
    "--img-size": "--image-size",
    "--imgsz": "--image-size",
    "--label": "--target",
    "--labels": "--target",
    "--layer": "--param",
    "--learning-rate": "--lr",
    "--learning_rate": "--lr",
    "--log-dir": "--run",
    "--logdir": "--run",
    "--model": "--weights",
    "--num-workers": "--threads",
    "--opt": "--optimizer",
    "--output-dir": "--run",
    "--parameter": "--param",
    "--pretrained": "--weights",
    "--rtol": "--tolerance",
    "--scheduler": "--schedule",
    "--state-dict": "--weights",
    "--topk": "--top",
    "--wd": "--weight-decay",
    "--workers": "--threads",
}
"""Options of gradcli by other words for them."""

DEVICES: Final = frozenset({"--accelerator", "--cuda", "--device", "--devices", "--gpu", "--gpus", "--mps"})
"""Options that choose where other tools compute."""

VALUES: Final[Mapping[tuple[str, str], str]] = {("--freeze", "backbone"): "--freeze-backbone"}
"""What is an option of gradcli's own, by an option and the value that it doesn't have."""
