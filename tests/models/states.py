"""States of a ResNet-18 under other names, and what tests of loading ask of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcli.checkpoints.naming import names_in
from gradcli.errors import ExitCode, WeightsError
from gradcli.models import load_model

State = dict[str, np.ndarray]


def assert_equal_states(found: State, expected: State) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def refusal(weights: str | Path, num_classes: int | None = None) -> str:
    """The message of the WeightsError that loading raises, which is one line with the exit code of weights."""
    with pytest.raises(WeightsError) as caught:
        load_model(weights, num_classes)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == ExitCode.WEIGHTS
    return message


def without(state: State, *names: str) -> State:
    return {name: values for name, values in state.items() if name not in names}


def under(prefix: str, state: State) -> State:
    return {prefix + name: values for name, values in state.items()}


def hugging_face(state: State) -> State:
    return {new: state[name] for name, new in names_in("hf", state).items()}
