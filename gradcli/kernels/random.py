"""PyTorch's CPU random number generator: the same streams from the same seeds.

The engine is the 32-bit Mersenne Twister that NumPy has too; what follows PyTorch here is how its words
become numbers, and how many words each function takes, so that later draws stay in step.
"""

from __future__ import annotations

import itertools
import math
import secrets
import threading
from collections.abc import Callable
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from gradcli.kernels.box_muller import BLOCK as NORMAL_BLOCK
from gradcli.kernels.box_muller import double_blocks, single_blocks
from gradcli.kernels.layout import Array
from gradcli.kernels.memory import empty, scratch
from gradcli.kernels.threads import parallel

DEFAULT_SEED = 67280421310721  # torch.default_generator's seed before anyone sets it
WORDS_PER_PIECE = 1 << 17  # at most: in smaller ones, two threads would mostly wait for Python's global lock
WIDE_RANGE = 1 << 28  # from this range on torch.randint takes two words for a number
ENGINE_WORDS = 624

# torch.Generator.get_state() is this record as 5056 bytes.
STATE_RECORD = np.dtype(
    [
        ("seed", "<u8"),
        ("left", "<i4"),  # words left before the engine makes the next 624, plus one
        ("seeded", "<i4"),
        ("next", "<u8"),  # position of the next word
        ("words", "<u8", ENGINE_WORDS),
        ("normal_x", "<f8"),
        ("normal_y", "<f8"),  # the normal value kept for the next scalar draw
        ("normal_rho", "<f8"),
        ("normal_is_valid", "<i4"),
        ("padding", "<i4"),
        ("next_float_normal", "<f4"),
        ("next_float_normal_is_valid", "<i4"),
    ]
)


class Generator:
    """A seeded source of random numbers that draws what `torch.Generator()` on the CPU draws."""

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self._bits = np.random.MT19937()
        self._words = np.random.RandomState(self._bits)  # its streams are frozen, unlike np.random.Generator's
        self._kept_normal: float | None = None
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Self:
        """Starts over from `seed` and returns itself.

        Only the low 32 bits of the seed choose the stream, as in PyTorch. Negative seeds mean
        `2**64 + seed`. Raises ValueError outside of [-2**63, 2**64).
        """
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed {seed} is out of range; it must be at least -2**63 and less than 2**64")
        self._seed = seed % 2**64
        self._bits._legacy_seeding(self._seed & 0xFFFFFFFF)
        self._kept_normal = None
        return self

    def initial_seed(self) -> int:
        """The seed that the stream started from."""
        return self._seed

    def seed(self) -> int:
        """Starts over from a seed that the operating system picks, and returns it."""
        self.manual_seed(secrets.randbits(64))
        return self._seed

    def get_state(self) -> Array:
        """The state as 5056 bytes (uint8) in the layout of `torch.Generator.get_state()`."""
        engine = self._bits.state["state"]
        record = np.zeros(1, STATE_RECORD)
        record["seed"] = self._seed
        record["left"] = ENGINE_WORDS + 1 - engine["pos"]
        record["seeded"] = 1
        record["next"] = 0 if self._is_fresh(engine) else engine["pos"]
        record["words"] = engine["key"]
        if self._kept_normal is not None:
            record["normal_y"] = self._kept_normal
            record["normal_is_valid"] = 1
        return record.view(np.uint8)

    def _is_fresh(self, engine: Any) -> bool:
        """Whether nothing has been drawn since the seed was set."""
        if engine["pos"] != ENGINE_WORDS:
            return False
        seeded = np.random.MT19937()
        seeded._legacy_seeding(self._seed & 0xFFFFFFFF)
        return bool(np.array_equal(seeded.state["state"]["key"], engine["key"]))

    def set_state(self, state: Array) -> None:
        """Continues from `state`, which `get_state` returned (here or in PyTorch, as a NumPy array).

        Raises ValueError when it isn't such a state.
        """
        if state.dtype != np.uint8 or state.shape != (STATE_RECORD.itemsize,):
            raise ValueError(
                f"generator state is {state.dtype} {list(state.shape)}; it must be uint8 [{STATE_RECORD.itemsize}]"
            )
        record = np.ascontiguousarray(state).view(STATE_RECORD)[0]
        if not record["seeded"] or record["next"] > ENGINE_WORDS or record["words"].max() >= 2**32:
            raise ValueError("generator state is not one of a seeded Mersenne Twister")
        exhausted = record["left"] == 1  # a fresh seed has next = 0, but makes new words first all the same
        self._bits.state = {
            "bit_generator": "MT19937",
            "state": {
                "key": record["words"].astype(np.uint32),
                "pos": ENGINE_WORDS if exhausted else int(record["next"]),
            },
        }
        self._seed = int(record["seed"])
        self._kept_normal = float(record["normal_y"]) if record["normal_is_valid"] else None

    # ------------------------------------------------------------------------------------------ uniform

    def uniform(
        self,
        size: int | tuple[int, ...],
        low: float = 0.0,
        high: float = 1.0,
        dtype: DTypeLike = np.float32,
    ) -> Array:
        """Uniform values in [low, high): `torch.rand` and `Tensor.uniform_`, bit for bit.

        float32 takes the low 24 bits of one word, float64 the low 53 bits of two. Scaling to the range
        rounds once, as PyTorch does on processors with fused multiply-add.
        """
        shape = _shape(size)
        out = empty(shape, dtype)
        offset = out.dtype.type(low)
        scale = out.dtype.type(high) - offset

        def make(words: Array, values: Array) -> None:
            _unit_uniform(words, values)
            _scale_and_shift(values, scale, offset)

        self._fill(out.reshape(-1), make)
        return out

    def skip_uniform(self, count: int, dtype: DTypeLike = np.float32) -> None:
        """Moves on as `uniform(count, dtype=dtype)` would, without making the values."""
        self._skip_words(count * _words_per_value(np.dtype(dtype)))

    # ------------------------------------------------------------------------------------------- normal

    def normal(
        self,
        size: int | tuple[int, ...],
        mean: float = 0.0,
        std: float = 1.0,
        dtype: DTypeLike = np.float32,
    ) -> Array:
        """Normal values: `torch.randn` and `Tensor.normal_`, bit for bit as on processors with AVX2.

        From 16 values on, blocks of 16 uniforms become 16 normals by the Box-Muller transform, and a
        remainder redraws the last 16 values. Fewer values come in pairs, in float64; the second of a pair
        is kept for the next draw.
        """
        out = empty(_shape(size), dtype)
        flat = out.reshape(-1)
        scale, offset = out.dtype.type(std), out.dtype.type(mean)
        if flat.size < NORMAL_BLOCK:
            values = np.array([self._scalar_normal() for _ in range(flat.size)], np.float64)
            _scale_and_shift(values, np.float64(std), np.float64(mean))
            flat[:] = values
            return out

        def make(words: Array, values: Array) -> None:
            if values.dtype == np.float32:
                single_blocks(words, values)
            else:
                _unit_uniform(words, values)
                double_blocks(values)
            _scale_and_shift(values, scale, offset)

        remainder = flat.size % NORMAL_BLOCK
        self._fill(flat[: flat.size - remainder], make)
        if remainder:
            self.skip_uniform(remainder, flat.dtype)  # drawn by PyTorch, then overwritten
            self._fill(flat[-NORMAL_BLOCK:], make)
        return out

    def skip_normal(self, count: int, dtype: DTypeLike = np.float32) -> None:
        """Moves on as `normal(count, dtype=dtype)` would, without making the values."""
        if count < NORMAL_BLOCK:
            self.normal(count, dtype=dtype)
        else:
            self.skip_uniform(count + (NORMAL_BLOCK if count % NORMAL_BLOCK else 0), dtype)

    def _scalar_normal(self) -> float:
        if self._kept_normal is not None:
            value, self._kept_normal = self._kept_normal, None
        else:
            first, second = self.uniform(2, dtype=np.float64).tolist()
            radius = math.sqrt(-2 * math.log1p(-second))
            self._kept_normal = radius * math.sin(2 * math.pi * first)
            value = radius * math.cos(2 * math.pi * first)
        return value

    # ----------------------------------------------------------------------------------------- integers

    def randint(self, low: int, high: int, size: int | tuple[int, ...]) -> Array:
        """Integers in [low, high), int64: `torch.randint`, exactly.

        Raises ValueError when the range is empty or exceeds int64.
        """
        if not -(2**63) <= low < high <= 2**63 - 1:
            raise ValueError(f"randint needs low < high within int64, not low={low} and high={high}")
        count = prod(size) if isinstance(size, tuple) else size
        span = high - low
        words = self._draw_words(count) if span < WIDE_RANGE else self._draw_wide_words(count)
        offsets = words.astype(np.uint64) % np.uint64(span)
        values = offsets + np.uint64(low % 2**64)  # wraps around, as a sum in int64 does in the end
        return values.view(np.int64).reshape(size)

    def permutation(self, n: int) -> Array:
        """The numbers 0..n-1 in random order, int64: `torch.randperm(n)`, exactly (for n < 2**32 / 20)."""
        order = list(range(n))
        remaining = np.arange(n, 1, -1, dtype=np.uint32)
        steps = self._draw_words(remaining.size) % remaining
        for i, step in enumerate(steps.tolist()):
            order[i], order[i + step] = order[i + step], order[i]
        return np.array(order, np.int64)

    # -------------------------------------------------------------------------------------------- words

    def _fill(self, out: Array, make: Callable[[Array, Array], None]) -> None:
        """Fills a flat array piece by piece with what `make(words, piece)` makes of the next words.

        Threads take turns in drawing: while one of them does, the others are busy making.
        """
        words_per_value = _words_per_value(out.dtype)
        pieces = -(-out.size * words_per_value // WORDS_PER_PIECE)
        step = -(-out.size // (pieces * NORMAL_BLOCK)) * NORMAL_BLOCK if pieces else NORMAL_BLOCK
        firsts = itertools.count(0, step)
        turn = threading.Lock()

        def fill_next(_: int) -> None:
            with turn:
                first = next(firsts)
                piece = out[first : first + step]
                words = self._draw_words(piece.size * words_per_value)
            make(words, piece)

        parallel(fill_next, -(-out.size // step))  # rounding up the step may have made a piece less

    def _draw_words(self, count: int) -> Array:
        return self._words.randint(0, 2**32, count, np.uint32)

    def _draw_wide_words(self, count: int) -> Array:
        return _wide_words(self._draw_words(2 * count))

    def _skip_words(self, count: int) -> None:
        self._bits.random_raw(count, output=False)


def _words_per_value(dtype: np.dtype[Any]) -> int:
    """Words behind one floating-point value; TypeError for other types than float32 and float64."""
    if dtype == np.float32:
        return 1
    if dtype == np.float64:
        return 2
    raise TypeError(f"random values are float32 or float64, not {dtype}")


def _shape(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return size if isinstance(size, tuple) else (size,)


def _wide_words(words: Array) -> Array:
    """Numbers of 64 bits from two words each, the first one on top."""
    wide = words.astype(np.uint64)
    return (wide[0::2] << np.uint64(32)) | wide[1::2]


def _unit_uniform(words: Array, out: Array) -> None:
    """Fills a flat array with uniform values in [0, 1) from words, which it may overwrite."""
    if out.dtype == np.float32:
        words &= np.uint32(0xFFFFFF)
        np.copyto(out, words.view(np.int32), casting="same_kind")
        out *= np.float32(2.0**-24)
    else:
        low_bits = _wide_words(words)
        low_bits &= np.uint64((1 << 53) - 1)
        np.multiply(low_bits, 2.0**-53, out=out)


def _scale_and_shift(values: Array, scale: Any, offset: Any) -> None:
    """`values * scale + offset` in place, rounded once like a fused multiply-add."""
    if offset == 0:
        if scale != 1:
            values *= scale
        values += offset  # -0 becomes 0
        return
    if values.dtype == np.float32:
        wide = scratch("wide random values", values.shape, np.float64)
        np.multiply(values, float(scale), out=wide, dtype=np.float64)
        wide += float(offset)
        np.copyto(values, wide, casting="same_kind")
        return
    # The product's rounding error by Dekker's splitting, the sum's by Knuth's two-sum.
    product = values * scale
    high, low = _split(values)
    scale_high, scale_low = _split(scale)
    product_error = ((high * scale_high - product) + high * scale_low + low * scale_high) + low * scale_low
    total = product + offset
    shifted = total - product
    sum_error = (product - (total - shifted)) + (offset - shifted)
    np.add(total, sum_error + product_error, out=values)


def _split(values: Any) -> tuple[Any, Any]:
    """Splits float64 values into two halves of 26 bits each, whose products are exact."""
    spread = values * 134217729.0  # 2**27 + 1
    high = spread - (spread - values)
    return high, values - high
