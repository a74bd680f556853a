"""The names of ImageNet's 1,000 classes (ILSVRC 2012), in the order of a pretrained network's outputs.

`imagenet_classes.txt` has one name a line, spelled as torchvision (BSD-3-Clause) spells them in
`ResNet18_Weights.IMAGENET1K_V1.meta["categories"]`. They are synonyms from WordNet synsets (WordNet 3.0, Princeton
University 2006), which may be used, copied and changed freely under the WordNet licence.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

IMAGENET_CLASSES_FILE = Path(__file__).with_name("imagenet_classes.txt")


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 class names: `tench` is output 0, `toilet tissue` is output 999. No two are alike."""
    return tuple(IMAGENET_CLASSES_FILE.read_text(encoding="utf-8").splitlines())
