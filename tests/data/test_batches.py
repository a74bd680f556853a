"""Epoch orders and batches."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.data.batches import batch_indices, epoch_order


def test_epoch_order_is_a_permutation_for_each_epoch_and_seed() -> None:
    orders = [epoch_order(100, seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    for order in orders:
        assert order.dtype == np.int64
        assert sorted(order.tolist()) == list(range(100))
    assert len({tuple(order.tolist()) for order in orders}) == 6


def test_epoch_order_is_pinned_and_ignores_global_state() -> None:
    np.random.seed(5)
    assert epoch_order(8, 0, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert epoch_order(8, 7, 3).tolist() == [2, 4, 7, 3, 5, 1, 0, 6]


@pytest.mark.parametrize(
    ("count", "batch_size", "options", "sizes"),
    [
        (10, 4, {}, [4, 4, 2]),
        (8, 4, {}, [4, 4]),
        (9, 4, {}, [4, 4, 1]),
        (9, 4, {"drop_last": True}, [4, 4]),
        (8, 4, {"drop_last": True}, [4, 4]),
        (3, 4, {"drop_last": True}, []),
        (9, 4, {"merge_single": True}, [4, 5]),
        (10, 4, {"merge_single": True}, [4, 4, 2]),
        (1, 4, {"merge_single": True}, [1]),
        (3, 1, {"merge_single": True}, [1, 1, 1]),
        (9, 4, {"drop_last": True, "merge_single": True}, [4, 4]),
        (0, 4, {}, []),
    ],
)
def test_batch_sizes(count: int, batch_size: int, options: dict[str, bool], sizes: list[int]) -> None:
    order = epoch_order(count, 0, 0)
    parts = batch_indices(order, batch_size, **options)
    assert [len(part) for part in parts] == sizes
    if parts:
        np.testing.assert_array_equal(np.concatenate(parts), order[: sum(sizes)])


def test_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 0: expected 1 or more"):
        batch_indices(np.arange(3), 0)
