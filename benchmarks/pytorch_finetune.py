"""Finetuning as an ordinary PyTorch script: what `gradcli finetune` is measured against.

    python benchmarks/pytorch_finetune.py WEIGHTS.safetensors DATA.npz EPOCHS BATCH_SIZE RESULT.json [--freeze-backbone]

Cross-entropy, SGD with lr 1e-2 and momentum 0.9, validation after each epoch, the weights saved at the end. A frozen
backbone is in evaluation mode. Images are in memory, prepared, and the batches are given: no data loader is in the way.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from reference.torch_resnet18 import resnet18


def main(weights: str, data: str, epochs: int, batch_size: int, result: Path, freeze_backbone: bool) -> None:
    """Train, and write the last epoch's validation accuracy and the seconds that training took."""
    model = resnet18()
    model.fc = torch.nn.Linear(512, 10)
    model.load_state_dict(load_file(weights))
    arrays = {name: torch.from_numpy(array) for name, array in np.load(data).items()}
    start = time.perf_counter()
    if freeze_backbone:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.startswith("fc.")
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1e-2, momentum=0.9)
    accuracies = []
    for epoch in range(1, epochs + 1):
        model.train(not freeze_backbone)
        for indices in torch.tensor_split(arrays[f"order_{epoch}"], arrays[f"ends_{epoch}"][:-1]):
            optimizer.zero_grad()
            loss: Any = cross_entropy(model(arrays["train_images"][indices]), arrays["train_labels"][indices])
            loss.backward()
            optimizer.step()
        accuracies.append(validate(model, arrays["val_images"], arrays["val_labels"], batch_size))
    torch.save(model.state_dict(), result.with_suffix(".pth"))
    seconds = time.perf_counter() - start
    result.write_text(json.dumps({"val_accuracy": accuracies[-1], "seconds": seconds}))


@torch.no_grad()
def validate(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, batch_size: int) -> float:
    """The share of images classified right."""
    model.eval()
    hits = 0
    for some, right in zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True):
        hits += int((model(some).argmax(dim=1) == right).sum())
    return hits / len(images)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--freeze-backbone"]
    if len(arguments) != 5:
        sys.exit(
            "usage: python benchmarks/pytorch_finetune.py WEIGHTS.safetensors DATA.npz EPOCHS BATCH_SIZE RESULT.json "
            "[--freeze-backbone]"
        )
    main(
        arguments[0],
        arguments[1],
        int(arguments[2]),
        int(arguments[3]),
        Path(arguments[4]),
        "--freeze-backbone" in sys.argv,
    )
