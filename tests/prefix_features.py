"""Small models, data and features for the tests of what the frozen part of a model gives."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
from finetuning_runs import HEAD_ONLY

import gradcli
from gradcli.data.dataset import Dataset, Subset
from gradcli.data.digits import open_digits
from gradcli.data.loader import Loader
from gradcli.models import ResNet
from gradcli.models.resnet import build_resnet18
from gradcli.training.batch_norms import set_mode
from gradcli.training.feature_cache import Features, cached_features
from gradcli.training.freezing import FreezeRule, apply_freeze_rules
from gradcli.training.frozen_prefix import CutModel, cut_model

COUNT = 40
SMALL_BATCH = 16


@functools.cache
def _model() -> ResNet:
    gradcli.manual_seed(0)
    return build_resnet18(10)


def frozen_model(rules: list[FreezeRule] = HEAD_ONLY) -> ResNet:
    model = copy.deepcopy(_model())  # a sixth of the time of initialising another
    apply_freeze_rules(model, rules)
    set_mode(model, None)
    return model


def cut_of(model: ResNet) -> CutModel:
    cut = cut_model(model)
    assert cut is not None
    return cut


def digits(count: int = COUNT) -> Dataset:
    return Subset(open_digits(), np.arange(count))


def features_of(cut: CutModel, data: Dataset, *, loader: Loader | None = None, **options: Any) -> Features:
    features = cached_features(cut, loader or Loader(data, workers=0), **options)
    assert features is not None
    return features


def values(features: Features, view: int = 0) -> np.ndarray[Any, Any]:
    return features.batch(np.arange(len(features)), view)
