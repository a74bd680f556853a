"""The bytes of a pickle, read from front to back; every length is checked before anything of that length is read."""

from __future__ import annotations

from gradcli.checkpoints.mapped_file import Bytes
from gradcli.checkpoints.pickle_limits import (
    LONGEST_BYTES,
    LONGEST_INTEGER,
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_TEXT,
    PickleError,
    check_length,
)


class CutShortError(ValueError):
    """The bytes end before the pickle does."""


class PickleBytes:
    """A position in the bytes of a pickle. Reading moves it; CutShortError where the bytes end too early."""

    def __init__(self, data: bytes | Bytes, start: int) -> None:
        self.data = memoryview(data) if isinstance(data, bytes) else data.data
        self.size = len(self.data)
        self.position = start
        self.text_taken = 0

    def take(self, count: int) -> memoryview:
        start = self.position
        end = start + count
        if end > self.size:
            raise CutShortError
        self.position = end
        return self.data[start:end]

    def byte(self) -> int:
        position = self.position
        if position >= self.size:
            raise CutShortError
        self.position = position + 1
        return self.data[position]

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def text(self, count: int) -> str:
        check_length(count, LONGEST_TEXT, "text")
        encoded = self.take_text(count)
        try:
            return str(encoded, "utf-8")
        except UnicodeDecodeError:
            halves = str(encoded, "utf-8", "surrogatepass")
            return halves.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def old_text(self, count: int) -> str | bytes:
        if count > LONGEST_TEXT or self.text_taken + count > MOST_TEXT:  # an array's, then
            return self.raw(count)
        encoded = self.take_text(count)
        try:
            return str(encoded, "utf-8")
        except UnicodeDecodeError:
            return bytes(encoded)

    def take_text(self, count: int) -> memoryview:
        self.text_taken += count
        check_length(self.text_taken, MOST_TEXT, "text in many pieces")
        return self.take(count)

    def raw(self, count: int) -> bytes:
        check_length(count, LONGEST_BYTES, "a piece")
        return bytes(self.take(count))

    def integer(self, count: int) -> int:
        check_length(count, LONGEST_INTEGER, "an integer")
        return int.from_bytes(self.take(count), "little", signed=True)

    def line(self) -> str:
        opening = bytes(self.data[self.position : self.position + LONGEST_NAME])
        length = opening.find(b"\n")
        if length < 0:
            if self.position + LONGEST_NAME > self.size:
                raise CutShortError
            raise PickleError(f"a name of more than {LONGEST_NAME} bytes")
        self.position += length + 1
        return str(opening[:length], "utf-8")
