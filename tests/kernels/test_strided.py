"""What is particular to stride 2 by parity; `test_algorithms` compares it with the definition."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import strided
from gradcli.kernels.strided import StridedByParity
from tests.kernels.convolution_checks import check_every_use, geometry_of


@pytest.mark.parametrize("piece_bytes", [4000, 50_000])
def test_pieces_of_any_size(piece_bytes, monkeypatch):
    monkeypatch.setattr(strided, "PIECE_BYTES", piece_bytes)
    geometry = geometry_of((5, 16, 28, 24), (32, 16, 3, 3), (2, 2), (1, 1), dtype=np.float32)
    check_every_use(StridedByParity(), geometry, tolerance=3e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        ((1, 2, 5, 4), (3, 2, 3, 3), (2, 2), (1, 1), (1, 1), 1),
        ((1, 2, 4, 5), (3, 2, 3, 3), (2, 2), (1, 1), (1, 1), 1),
        ((1, 2, 4, 4), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
        ((1, 2, 4, 4), (3, 2, 3, 3), (2, 2), (0, 0), (1, 1), 1),
        ((1, 2, 4, 4), (3, 2, 3, 3), (2, 2), (1, 1), (1, 2), 1),
        ((1, 2, 4, 4), (4, 1, 3, 3), (2, 2), (1, 1), (1, 1), 2),
        ((1, 2, 4, 4), (3, 2, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ],
)
def test_other_geometries_are_not_supported(arguments):
    assert not StridedByParity().supports(geometry_of(*arguments))
