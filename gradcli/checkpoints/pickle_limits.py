"""How much a pickle may ask for, so that reading one takes time and memory in proportion to a real checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gradcli.checkpoints.pickle_objects import Name, Record

# A state dict of ResNet-18 takes 5,000 steps; one with years of training history, some 100,000. A second of work.
MOST_STEPS: Final = 2**20
# Constructors look at every element of their arguments, and a pickle can give one long list to many of them.
MOST_ELEMENTS_GIVEN: Final = 2**21
# What stands in two places counts twice here: a recursive reader, such as repr, meets it twice.
MOST_ELEMENTS: Final = 2**24
_BYTES_LIKE_AN_ELEMENT: Final = 16
# Checkpoints are nested some ten levels deep. Python ends a recursion at 1,000, and a reader may take several a level.
DEEPEST_NESTING: Final = 100
# Names of tensors have some 50 characters; the text around them is a log at most. Bytes may be an array.
LONGEST_NAME: Final = 1000
LONGEST_TEXT: Final = 2**25
MOST_TEXT: Final = 2**26  # of all texts together: one odd character makes Python keep all others in four bytes
LONGEST_BYTES: Final = 2**28
# What the opcode LONG1 can hold. The largest integers of a checkpoint are seeds of 32 bytes.
LONGEST_INTEGER: Final = 255
# Numbers hash to themselves, so that chosen ones collide and take quadratic time; text is hashed with a secret.
MOST_NUMBER_KEYS: Final = 2**15
LARGEST_NUMBER_KEY: Final = 2**60  # above, different integers have one hash
LONGEST_KEY_TUPLE: Final = 16  # a tuple is hashed anew every time
_KEY_TUPLE_WEIGHT: Final = 16  # tuples of numbers can have one hash, all of them

_PLAIN: Final = frozenset((str, bytes, int, float, complex, bool, type(None)))
_KEYS: Final = _PLAIN - {complex}
_CONTAINERS: Final = frozenset((tuple, list, dict))
SIZED: Final = _CONTAINERS | {str, bytes}
_IN_PROGRESS: Final = 0


class PickleError(ValueError):
    """The pickle is not one that a writer makes, or is beyond a limit. The message is the reason alone."""


def check_length(length: int, longest: int, what: str) -> None:
    """Refuse a declared length before anything of that length is read."""
    if length > longest:
        raise PickleError(f"{what} of {length} bytes; at most {longest} are read")


def check_key(key: Any) -> int:
    """Refuse keys of a dictionary that are costly to hash; returns what one counts towards MOST_NUMBER_KEYS."""
    parts = key if type(key) is tuple and len(key) <= LONGEST_KEY_TUPLE else (key,)
    if not isinstance(key, Record | Name) and any(type(part) not in _KEYS for part in parts):
        raise PickleError(f"a {type(key).__name__} is the key of a dictionary")
    if any(type(part) is int and abs(part) >= LARGEST_NUMBER_KEY for part in parts):
        raise PickleError(
            f"an integer of more than {LARGEST_NUMBER_KEY.bit_length() - 1} bits is the key of a dictionary"
        )
    return _KEY_TUPLE_WEIGHT if type(key) is tuple else 1


def shallow_elements(value: Any) -> int:
    """How many elements a constructor looks at that is given a value of `SIZED`; 16 bytes of text count as one."""
    return len(value) if type(value) in _CONTAINERS else len(value) // _BYTES_LIKE_AN_ELEMENT


def check_structure(root: Any) -> None:
    """Refuse what contains itself, is nested too deeply, or multiplies by standing in many places.

    Afterwards a reader may recurse over tuples, lists and dictionaries without a thought. Keys of dictionaries hold
    nothing. Only a record may lead back to itself, as parts of a configuration do that know what they are part of.
    """
    sizes = {id(root): _IN_PROGRESS}
    path = [_Visit(root)]
    while path:
        visit = path[-1]
        for value in visit.children:
            kind = type(value)
            if kind in _PLAIN:
                visit.size += 1 + (len(value) // _BYTES_LIKE_AN_ELEMENT if kind is str or kind is bytes else 0)
                continue
            size = sizes.get(id(value))
            if size is None:
                sizes[id(value)] = _IN_PROGRESS
                path.append(_Visit(value))
                break
            if size == _IN_PROGRESS and not isinstance(value, Record):
                raise PickleError(f"a {type(value).__name__} contains itself; refused")
            visit.size += max(size, 1)
        else:
            path.pop()
            sizes[visit.identity] = visit.size
            if path:
                path[-1].size += visit.size
        if visit.size > MOST_ELEMENTS:
            raise PickleError(f"it repeats its parts to more than {MOST_ELEMENTS} elements; refused")
        if len(path) > DEEPEST_NESTING:
            raise PickleError(f"nested deeper than {DEEPEST_NESTING} levels; refused")


class _Visit:
    """How far the elements of one object are visited."""

    __slots__ = ("children", "identity", "size")

    def __init__(self, value: Any) -> None:
        self.identity = id(value)
        self.size = 1
        self.children: Iterator[Any]
        if type(value) is dict:
            self.children = iter(value.values())
        elif isinstance(value, list | tuple):
            self.children = iter(value)
        elif isinstance(value, Record):
            self.children = iter((value.arguments, value.state))
        else:
            self.children = iter(())
