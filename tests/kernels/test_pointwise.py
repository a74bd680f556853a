"""What is particular to 1x1 convolutions as matrix products; `test_algorithms` compares them with the definition."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import pointwise
from gradcli.kernels.pointwise import Pointwise
from tests.kernels.convolution_checks import check_every_use, geometry_of


@pytest.mark.parametrize("piece_bytes", [4000, 50_000])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_pieces_of_any_size(stride, piece_bytes, monkeypatch):
    monkeypatch.setattr(pointwise, "PIECE_BYTES", piece_bytes)
    geometry = geometry_of((5, 16, 17, 20), (24, 16, 1, 1), stride, dtype=np.float32)
    check_every_use(Pointwise(), geometry, tolerance=3e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        ((1, 2, 4, 4), (3, 2, 1, 1), (1, 1), (0, 1), (1, 1), 1),
        ((1, 2, 4, 4), (3, 2, 1, 2), (1, 1), (0, 0), (1, 1), 1),
        ((1, 2, 4, 4), (4, 1, 1, 1), (1, 1), (0, 0), (1, 1), 2),
    ],
)
def test_other_geometries_are_not_supported(arguments):
    assert not Pointwise().supports(geometry_of(*arguments))
