"""The order of an epoch, and the batches it is cut into."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A random permutation of range(count) that depends on the seed and the epoch alone.

    Any epoch's order can be had without those before it, which a resumed run needs. The raw output
    of PCG64 is sorted instead of calling a Generator method because only the former is promised to
    stay the same across NumPy versions.
    """
    keys = np.random.PCG64(np.random.SeedSequence([seed, epoch])).random_raw(count)
    return np.argsort(keys, kind="stable").astype(np.int64)


def batch_indices(
    order: NDArray[np.int64], batch_size: int, *, drop_last: bool = False, merge_single: bool = False
) -> list[NDArray[np.int64]]:
    """Cut an order into batches of `batch_size` positions; the last may be shorter.

    `drop_last` leaves out a last batch that is short, as PyTorch's DataLoader does. `merge_single`
    appends a last batch of one image to the batch before it: batch norm in training mode has no
    variance to divide by when such a batch meets a 1x1 feature map (PyTorch refuses it). Neither
    leaves a batch of one with `batch_size` above 1, except that `merge_single` has nothing to merge
    with if one image is all there is.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size}: expected 1 or more")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if drop_last and batches and len(batches[-1]) < batch_size:
        batches.pop()
    if merge_single and batch_size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        single = batches.pop()
        batches[-1] = np.concatenate([batches[-1], single])
    return batches
