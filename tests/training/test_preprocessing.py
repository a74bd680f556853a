"""What images go through on their way to a model: as its weights say, or nothing said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import WeightsError
from gradcli.models import load_model
from gradcli.training.preprocessing import weights_preprocessing


def test_weights_say_it_or_nothing() -> None:
    loaded = load_model("random:0")
    assert weights_preprocessing(loaded) is None
    said = Preprocessing.straight(48)
    assert weights_preprocessing(replace(loaded, preprocessing=said.to_dict())) == said


def test_what_makes_no_sense_is_refused_under_the_name_of_the_weights() -> None:
    loaded = replace(load_model("random:0"), preprocessing={"size": [48, 48]})
    with pytest.raises(WeightsError, match="random:0: preprocessing holds size"):
        weights_preprocessing(loaded)
