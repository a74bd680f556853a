"""What images go through on their way to a model, as its weights say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcli.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    from gradcli.models import LoadedModel


def weights_preprocessing(loaded: LoadedModel) -> Preprocessing | None:
    """What the weights say that images go through; None where they say nothing. WeightsError if it makes no sense."""
    return None if loaded.preprocessing is None else Preprocessing.from_dict(loaded.preprocessing, loaded.weights)
