"""The picture of a confusion matrix, as far as its pixels and size tell."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from gradcli.errors import UsageError
from gradcli.inspection.plots.confusion import plot_confusion


def picture(confusion: np.ndarray, names: list[str], title: str = "title") -> Image.Image:
    image = Image.open(io.BytesIO(plot_confusion(confusion, names, title)))
    image.load()
    return image.convert("RGB")


@pytest.mark.parametrize("count", [2, 61])
def test_it_is_a_png_that_shows_the_diagonal(count: int) -> None:
    pytest.importorskip("matplotlib")
    names = [f"class {index} $x$ 犬 with a rather long name" for index in range(count)]
    right = picture(np.eye(count, dtype=np.int64) * 7, names)
    wrong = picture(np.roll(np.eye(count, dtype=np.int64), 1, axis=1) * 7, names)
    assert right.size == wrong.size
    assert min(right.size) > 400
    assert np.any(np.asarray(right) != np.asarray(wrong))


def test_rows_are_shares_and_the_same_numbers_give_the_same_bytes() -> None:
    pytest.importorskip("matplotlib")
    confusion = np.array([[90, 10], [0, 0]])
    assert plot_confusion(confusion, ["a", "b"], "t") == plot_confusion(confusion, ["a", "b"], "t")
    dark = np.asarray(picture(np.array([[5, 0], [0, 5000]]), ["a", "b"])).min(axis=2)
    light = np.asarray(picture(np.array([[5, 5], [5000, 5000]]), ["a", "b"])).min(axis=2)
    assert (dark < 60).sum() > (light < 60).sum()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"png needs matplotlib .*; pip install 'gradcli\[plot\]' brings it"):
        plot_confusion(np.eye(2, dtype=np.int64), ["a", "b"], "t")
