"""The bundled data set `digits`: 1,797 handwritten digits of 8x8 pixels in 10 classes.

It is the test part of the UCI set "Optical Recognition of Handwritten Digits" (E. Alpaydin and
C. Kaynak, 1998, DOI 10.24432/C50P49, CC BY 4.0), the same images as scikit-learn's `load_digits`.
Each pixel counts the ink of a 4x4 block of a 32x32 scan: 0 is paper, 16 is full ink.

`digits.npz` was made from scikit-learn's `digits.csv.gz` by reading the 65 columns as uint8 and
writing the first 64 as `images` (1797, 8, 8) and the last as `labels` (1797,) with
`numpy.savez_compressed`, which stamps every entry 1980-01-01, so the same bytes come out again.
Licence and changes stand in `digits.LICENSE.txt` beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradcli.data.dataset import ArrayDataset
from gradcli.data.numpy_files import read_npz
from gradcli.data.preprocessing import Preprocessing

DIGITS_FILE = Path(__file__).with_name("digits.npz")
FULL_INK = 16


def open_digits(preprocessing: Preprocessing | None = None) -> ArrayDataset:
    """The bundled digits; without `preprocessing`, resized straight to 32x32 and ImageNet-normalised.

    Ink is scaled from 0..16 to uint8 0..255, rounded, so that a digit saved as a PNG file gives the
    network the same numbers.
    """
    images, labels = read_npz(DIGITS_FILE, ["images", "labels"])
    pixels = ((images.astype(np.uint16) * 255 + FULL_INK // 2) // FULL_INK).astype(np.uint8)
    return ArrayDataset(
        source="digits",
        pixels=pixels,
        labels=labels,
        classes=[str(digit) for digit in range(10)],
        preprocessing=preprocessing or Preprocessing.for_array_images(*pixels.shape[1:]),
    )
