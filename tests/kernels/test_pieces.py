"""Cutting work into pieces, and adding up what they contribute."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import pieces, threads
from gradcli.kernels.pieces import cut_into_pieces, for_each_piece, sum_over_pieces

LITTLE, MUCH = 1, 1 << 30  # work per pixel: too little for several threads, and enough


@pytest.fixture(params=[1, 3])
def thread_count(request):
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield
    threads.set_num_threads(before)


@pytest.mark.parametrize("work", [LITTLE, MUCH])
@pytest.mark.parametrize("budget", [1, 100, 1000, 1 << 30])
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 1, 1), (5, 4, 3), (3, 7, 5), (1, 40, 9), (13, 1, 2)])
def test_pieces_cover_every_pixel_once_and_in_order(batch, height, width, budget, work):
    numbers = np.arange(batch * height * width).reshape(batch, height, width)
    cut = cut_into_pieces(batch, height, width, bytes_per_pixel=10, work_per_pixel=work, budget=budget)
    for piece in cut:
        own = numbers[piece.images, piece.rows]
        assert own.shape == (piece.image_count, piece.row_count, width)
        np.testing.assert_array_equal(own.ravel(), np.arange(numbers.size)[piece.span])
        assert piece.first_pixel == own.flat[0]
        assert piece.pixels == own.size > 0
        assert piece.image_count == 1 or piece.row_count == height
    np.testing.assert_array_equal(np.concatenate([numbers.ravel()[piece.span] for piece in cut]), numbers.ravel())


@pytest.mark.parametrize(
    ("batch", "height", "work", "budget", "expected"),
    [
        (8, 8, LITTLE, 1 << 30, 1),  # not worth sharing
        (8, 8, MUCH, 1 << 30, 4),
        (1, 32, MUCH, 1 << 30, 4),  # parts of one image
        (1, 8, MUCH, 1 << 30, 1),  # 64 pixels are not divided
        (8, 8, MUCH, 8 * 8 * 10, 8),  # as memory has it
        (8, 8, MUCH, 4 * 8 * 10, 16),
        (9, 8, MUCH, 2 * 8 * 8 * 10, 6),  # five would leave one thread of two without work at the end
        (0, 8, MUCH, 100, 0),
    ],
)
def test_number_of_pieces(batch, height, work, budget, expected):
    assert len(cut_into_pieces(batch, height, 8, bytes_per_pixel=10, work_per_pixel=work, budget=budget)) == expected


@pytest.mark.usefixtures("thread_count")
def test_every_piece_is_worked_on_once():
    cut = cut_into_pieces(5, 6, 7, 10, LITTLE, budget=100)
    seen = np.zeros(5 * 6 * 7, int)

    def count(piece):
        seen[piece.span] += 1

    for_each_piece(count, cut)
    assert (seen == 1).all()


@pytest.mark.usefixtures("thread_count")
@pytest.mark.parametrize("budget", [10, 300, 1 << 30])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_sums_over_pieces(budget, order, monkeypatch):
    monkeypatch.setattr(pieces, "ADDED_ELEMENTS", 4)
    cut = cut_into_pieces(5, 6, 7, 10, LITTLE, budget)
    rows = np.random.RandomState(0).standard_normal((5 * 6 * 7, 3))
    total = np.full((3, 3), np.nan).transpose(order)  # contiguous or not

    def contribute(piece, target):
        assert target.flags.c_contiguous
        np.matmul(rows[piece.span].T, rows[piece.span] * [1, 2, 3], out=target)

    sum_over_pieces(contribute, cut, total)
    np.testing.assert_allclose(total, rows.T @ (rows * [1, 2, 3]), rtol=1e-12)


def test_the_sum_over_no_pieces_is_zero():
    total = np.full((2, 3), np.nan)
    sum_over_pieces(lambda piece, target: None, (), total)
    np.testing.assert_array_equal(total, np.zeros((2, 3)))
