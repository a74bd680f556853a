"""What a range test trains on: the batches of a finetuning run one after the other, or one random batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count

from gradcli.autograd import Tensor
from gradcli.nn.functional import cross_entropy
from gradcli.training.batch_norms import small_batches_explained
from gradcli.training.finetuning.batch_source import image_batches
from gradcli.training.finetuning.data import balanced_class_weights, training_batches
from gradcli.training.finetuning.setup import Finetuning
from gradcli.training.passes import Pass, record_loss


def losses_of_data(finetuning: Finetuning) -> Iterator[Tensor]:
    """The losses, each computed when it is asked for, of the training batches of one epoch after the other.

    Batches of which at most one image can be read are passed over, as in training.
    """
    settings, model = finetuning.settings, finetuning.model
    source = image_batches(settings, model, finetuning.train_data, finetuning.val_data)
    weight = None
    if settings.class_weights == "balanced":
        weight = Tensor(balanced_class_weights(finetuning.train_data.labels, finetuning.num_classes))
    for epoch in count(1):
        batches = training_batches(finetuning.train_data, settings, epoch)
        used = 0
        with closing(source.training(batches, epoch)) as loaded:
            for batch, positions in zip(loaded, batches, strict=True):
                if len(batch.labels) == 0 or len(batch.labels) == 1 < len(positions):
                    continue
                used += 1
                shape = (len(batch.labels), 3, *batch.image_size)
                with small_batches_explained(shape, "take --batch-size above 1, or --image-size above 32"):
                    scores = source.predict(Tensor(batch.inputs))
                yield cross_entropy(
                    scores, Tensor(batch.labels), weight=weight, label_smoothing=settings.label_smoothing
                )
        if not used:
            return  # nothing can be read


def losses_of_pass(run: Pass) -> Iterator[Tensor]:
    """The losses of the same batch again and again."""
    while True:
        _, loss = record_loss(run)
        yield loss
