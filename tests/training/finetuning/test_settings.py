"""Settings of a run that make no sense, how often checkpoints are made, and settings as options and back."""

from __future__ import annotations

import dataclasses
import tomllib
from typing import Any

import pytest

from gradcli.data.augmentation import AUGMENTATION_SETTINGS, Augmentation
from gradcli.errors import UsageError
from gradcli.models.resnet import build_resnet18
from gradcli.training.finetuning.augmentation_settings import AugmentationSettings
from gradcli.training.finetuning.options import options_of, settings_of
from gradcli.training.finetuning.run_folder import to_toml
from gradcli.training.finetuning.settings import CheckpointInterval, FinetuneSettings
from gradcli.training.freezing import FreezeRule, apply_freeze_rules, freeze_options
from gradcli.training.optimizers import AdamWSettings, SGDSettings
from gradcli.training.schedules import ScheduleSettings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_split": 1.0}, "--validation-split 1: expected a share above 0 and below 1"),
        ({"validation_split": float("nan")}, "--validation-split nan: expected a share"),
        ({"epochs": 0}, "--epochs 0: expected 1 or more"),
        ({"batch_size": 0}, "--batch-size 0: expected 1 or more"),
        ({"accumulate": 0}, "--accumulate 0: expected 1 or more"),
        ({"patience": 0}, "--patience 0: expected 1 or more"),
        ({"augment": "light", "views": 0}, "--views 0: expected 1 or more"),
        ({"views": 2}, "--views 2: without --augment all views of an image are the same; add it"),
        ({"head_lr": -1.0}, "--head-lr -1: expected a finite number of at least 0"),
        ({"clip_norm": 0.0}, "--clip-norm 0: expected a finite number above 0"),
        ({"clip_norm": float("nan")}, "--clip-norm nan: expected a finite number above 0"),
        ({"label_smoothing": 1.5}, r"--label-smoothing 1\.5: expected a share from 0 to 1"),
        ({"ema": 1.0}, r"--ema 1: expected a decay above 0 and below 1, such as 0\.98"),
        ({"seed": -1}, "--seed -1: expected 0 or more"),
        ({"train_sizes": (64, 4)}, "--train-sizes 64,4: expected sides of 8 to 8192 pixels, such as 64,32"),
        ({"train_sizes": ()}, "--train-sizes : expected sides of 8 to 8192 pixels"),
        ({"augment": "heavy"}, "augmentation 'heavy': expected one of none, light, standard, strong"),
        ({"degrees": 200.0}, "augmentation degrees 200.0: expected a number from 0 to 180"),
        ({"log_grads": "0"}, "--log-grads 0: expected epoch, or a number of steps above 0"),
        ({"log_grads": "always"}, "--log-grads always: expected epoch, or a number of steps above 0"),
        ({"checkpoint_every": "often"}, "--checkpoint-every often: expected a time such as 60s or 5m, or a number"),
    ],
)
def test_settings_that_make_no_run(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FinetuneSettings(data="digits", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"betas": (0.9, 1.0)}, r"--betas 0\.9,1: expected two numbers of at least 0 and below 1"),
        ({"lr": -0.1}, r"--lr -0\.1: expected a finite number of at least 0"),
        ({"eps": float("inf")}, "--eps inf: expected a finite number of at least 0"),
    ],
)
def test_adamw_settings_that_make_no_run(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AdamWSettings(**changes)


@pytest.mark.parametrize(
    ("image_size", "train_sizes", "size"),
    [(None, None, None), (48, None, 48), (None, (32, 64, 32), 64), (40, (32, 64), 40)],
)
def test_validation_is_at_the_image_size_else_the_largest_one_of_training(
    image_size: int | None, train_sizes: tuple[int, ...] | None, size: int | None
) -> None:
    settings = FinetuneSettings(data="digits", image_size=image_size, train_sizes=train_sizes)
    assert settings.validation_size == size


@pytest.mark.parametrize(
    ("text", "steps", "seconds"),
    [
        ("60s", None, 60.0),
        ("0.5s", None, 0.5),
        ("5m", None, 300.0),
        ("1 h", None, 3600.0),
        ("500", 500, None),
        ("1 step", 1, None),
        ("20 steps", 20, None),
    ],
)
def test_intervals_of_checkpoints(text: str, steps: int | None, seconds: float | None) -> None:
    assert CheckpointInterval.parse(text) == (steps, seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "1.5", "1.5 steps", "5 days", "60s60s", "nan"])
def test_intervals_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--checkpoint-every"):
        CheckpointInterval.parse(text)


EVERYTHING = FinetuneSettings(
    data="photos/of things",
    weights="weights.pth",
    verify=False,
    num_classes=12,
    epochs=3,
    batch_size=7,
    image_size=96,
    train_sizes=(96, 64, 64),
    validation_split=0.125,
    label_smoothing=0.1,
    class_weights="balanced",
    mode="eval",
    freeze=(("freeze-backbone", ""), ("unfreeze", "layer4.*"), ("unfreeze", "bn1.*")),
    optimizer=AdamWSettings(lr=3e-4, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.05),
    head_lr=1e-3,
    schedule=ScheduleSettings(name="cosine", warmup_epochs=0.5, min_lr=1e-5),
    accumulate=2,
    clip_norm=1.0,
    augment="light",
    crop_scale=(0.5, 1.0),
    degrees=15.0,
    upright=0.75,
    translate=0.05,
    zoom=(0.8, 1.25),
    stretch=1.1,
    horizontal_flip=0.0,
    background=0.5,
    hue=0.1,
    channel_gain=0.2,
    channel_offset=0.1,
    grayscale=0.1,
    invert=0.2,
    noise=0.05,
    erase=0.25,
    views=4,
    patience=3,
    ema=0.98,
    seed=5,
    kernels="exact",
    strict=True,
    checkpoint_every="20 steps",
    log_grads="50 steps",
    feature_cache=False,
)
# What runs wrote before the transforms of `strong` were there.
EARLIER_CONFIGURATION = """
data = "photos"
augment = "standard"
crop-scale = [0.5, 1.0]
hue = 0.1
"""
SGD_IN_STEPS = FinetuneSettings(
    data="digits",
    freeze=(("freeze", "layer1.*"), ("freeze", "conv1.weight")),
    optimizer=SGDSettings(lr=1, momentum=0.5, weight_decay=1e-4, nesterov=True),
    schedule=ScheduleSettings(name="step", step_size=4, gamma=0.5),
)


@pytest.mark.parametrize(
    "settings", [FinetuneSettings(data="digits"), EVERYTHING, SGD_IN_STEPS], ids=["defaults", "everything", "sgd"]
)
def test_settings_read_back_from_a_configuration_file(settings: FinetuneSettings) -> None:
    model = build_resnet18(2)
    apply_freeze_rules(model, settings.freeze)
    text = to_toml(options_of(settings) | freeze_options(settings.freeze, model))
    assert settings_of(tomllib.loads(text), "config.toml") == settings


def test_configurations_of_earlier_runs_mean_what_they_meant() -> None:
    settings = settings_of(tomllib.loads(EARLIER_CONFIGURATION), "config.toml")
    assert settings == FinetuneSettings(data="photos", augment="standard", crop_scale=(0.5, 1.0), hue=0.1)
    assert set(settings.augmentation.to_dict()) == {"random_resized_crop", "horizontal_flip", "color_jitter"}


def test_settings_of_augmentation_are_all_there_are() -> None:
    names = {field.name for field in dataclasses.fields(AugmentationSettings)}
    assert names == {"augment", *AUGMENTATION_SETTINGS}
    settings = FinetuneSettings(data="digits", augment="strong", zoom=(0.5, 0.75), noise=0.0)
    assert settings.augmentation == Augmentation.named("strong", zoom=(0.5, 0.75), noise=0.0)


def test_rules_that_a_file_cannot_hold_freeze_the_same() -> None:
    rules: list[FreezeRule] = [("freeze", "*"), ("unfreeze", "fc.*"), ("freeze", "fc.weight")]
    model, again = build_resnet18(2), build_resnet18(2)
    apply_freeze_rules(model, rules)
    apply_freeze_rules(again, settings_of({"data": "digits", **freeze_options(rules, model)}, "config.toml").freeze)
    assert [each.requires_grad for each in again.parameters()] == [each.requires_grad for each in model.parameters()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "config.toml: says no data; expected the configuration of a run"),
        ({"data": "digits", "epochs": "ten"}, "config.toml: epochs = 'ten' is of the wrong kind"),
        ({"data": "digits", "epochs": True}, "config.toml: epochs = True is of the wrong kind"),
        ({"data": "digits", "lr": "fast"}, "config.toml: lr = 'fast' is of the wrong kind"),
        ({"data": "digits", "schedule": "zigzag"}, "config.toml: schedule = 'zigzag': expected constant or cosine"),
        ({"data": "digits", "schedule": ["step"]}, r"config.toml: schedule = \['step'\]: expected constant or"),
        ({"data": "digits", "optimizer": "lion"}, "config.toml: optimizer = 'lion': expected sgd or adamw"),
        ({"data": "digits", "train-sizes": [64, 1.5]}, r"config.toml: train-sizes = \(64, 1.5\) is of the wrong kind"),
        ({"data": "digits", "train-sizes": 64}, "config.toml: train-sizes = 64 is of the wrong kind"),
        ({"data": "digits", "crop-scale": [0.5]}, r"config.toml: crop-scale = \(0.5,\) is of the wrong kind"),
    ],
)
def test_options_that_are_no_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_of(options, "config.toml")


def test_options_that_are_no_settings_of_a_run_are_passed_over() -> None:
    assert settings_of({"data": "digits", "threads": 2, "freeze": "fc.*"}, "config.toml") == FinetuneSettings(
        data="digits", freeze=(("freeze", "fc.*"),)
    )
