"""An interpreter of pickles that runs and imports nothing: a stack, a memo and a table of opcodes.

A pickle is a program for a small machine. Python's own unpickler lets it import and call anything; this one
resolves exact names to constructors of `pickle_objects` and knows only the opcodes below. It takes memory in
proportion to the pickle and, within the limits below, time too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Final

from gradcli.checkpoints.mapped_file import Bytes
from gradcli.checkpoints.pickle_bytes import CutShortError, PickleBytes
from gradcli.checkpoints.pickle_limits import (
    DEEPEST_NESTING,
    LONGEST_NAME,
    MOST_ELEMENTS_GIVEN,
    MOST_NUMBER_KEYS,
    MOST_STEPS,
    SIZED,
    PickleError,
    check_key,
    check_structure,
    shallow_elements,
)
from gradcli.checkpoints.pickle_objects import Constructor, Entries, Record
from gradcli.checkpoints.quoting import quoted
from gradcli.errors import WeightsError

_NEWEST_PROTOCOL: Final = 5
_STOP: Final = ord(".")
_ADVICE: Final = "only tensors in plain dictionaries are read, as torch.save(model.state_dict(), ...) writes them"


class _RefusedError(Exception):
    """The pickle asks for a name that stands for nothing."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name


def read_pickle(
    data: bytes | Bytes,
    start: int,
    *,
    path: str | PathLike[str],
    globals: Mapping[tuple[str, str], Any],
    persistent_load: Callable[[Any], Any] | None = None,
    why_refused: Callable[[str, str], str | None] = lambda module, name: None,
) -> tuple[Any, int]:
    """The object of the pickle that starts at byte `start`, and the position after its end.

    `globals` says what a (module, name) pair stands for; only a `Constructor` among the values can be called,
    and only a `Record` takes state. `persistent_load` turns a persistent id into an object. It and the
    constructors raise ValueError, with a reason, for arguments that make no sense.
    Sets are read as lists. Python 2's text that is no UTF-8 stays bytes; half a surrogate pair becomes U+FFFD.

    WeightsError names the file and says where its pickle is cut short or corrupt, is beyond a limit of
    `pickle_limits`, or asks for a name that is not in `globals`: then it gives the reason of `why_refused`, if any.
    """
    machine = _Machine(data, start, globals, persistent_load)
    try:
        return machine.run(), machine.position
    except _RefusedError as refused:
        module, name = refused.module, refused.name
        reason = why_refused(module, name) or _ADVICE
        raise WeightsError(
            f"{path}: refuses to run {quoted(f'{module}.{name}')}, which its pickle asks for at byte "
            f"{machine.opcode_position}: {reason}"
        ) from None
    except CutShortError:
        raise WeightsError(f"{path}: its pickle is cut short: it is not over after {machine.size} bytes") from None
    except (ValueError, TypeError, IndexError) as error:
        reason = "its stack is empty" if isinstance(error, IndexError) else " ".join(str(error).split())
        raise WeightsError(f"{path}: its pickle is corrupt at byte {machine.opcode_position} ({reason})") from error


class _Machine(PickleBytes):
    """The stack, the memo and the position of one pickle."""

    def __init__(
        self,
        data: bytes | Bytes,
        start: int,
        globals: Mapping[tuple[str, str], Any],
        persistent_load: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(data, start)
        self.opcode_position = start
        self.frame_end = start
        self.globals = globals
        self.persistent_load = persistent_load
        self.memo: dict[int, Any] = {}
        self.stack: list[Any] = []  # what was pushed since the last mark
        self.marked: list[list[Any]] = []  # the stacks below, one for each mark
        self.elements_given = 0
        self.number_keys = 0

    def run(self) -> Any:
        data, size, handlers = self.data, self.size, _HANDLERS
        for _ in range(MOST_STEPS):
            position = self.opcode_position = self.position
            if position >= size:
                raise CutShortError
            self.position = position + 1
            opcode = data[position]
            handler = handlers[opcode]
            if handler is not None:
                handler(self)
            elif opcode == _STOP:
                result = self.stack.pop()
                check_structure(result)
                return result
            else:
                name = _REFUSED_OPCODES.get(bytes((opcode,)), f"0x{opcode:02x}")
                raise PickleError(f"the opcode {name}, which no file of torch.save needs; refused")
        raise PickleError(f"it takes more than {MOST_STEPS} steps; refused")

    # The stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        if len(self.marked) >= DEEPEST_NESTING:
            raise PickleError(f"nested deeper than {DEEPEST_NESTING} levels; refused")
        self.marked.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marked.pop()
        return items

    def push_marked(self, collect: Callable[[list[Any]], Any]) -> None:
        items = self.pop_mark()
        self.stack.append(collect(items))

    def drop_marked(self) -> None:
        self.pop_mark()

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    # The three commonest opcodes, a third of all, without further calls

    def memoize_short(self) -> None:
        position = self.position
        if position >= self.size:
            raise CutShortError
        self.position = position + 1
        self.memo[self.data[position]] = self.stack[-1]

    def recall_short(self) -> None:
        position = self.position
        if position >= self.size:
            raise CutShortError
        self.position = position + 1
        index = self.data[position]
        if index not in self.memo:
            raise PickleError(f"memo index {index} is empty")
        self.stack.append(self.memo[index])

    def push_byte(self) -> None:
        position = self.position
        if position >= self.size:
            raise CutShortError
        self.position = position + 1
        self.stack.append(self.data[position])

    def memoize(self, index: int) -> None:
        if index >= MOST_STEPS:
            raise PickleError(f"memo index {index}; refused")
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise PickleError(f"memo index {index} is empty")
        self.stack.append(self.memo[index])

    def pack(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    # Containers

    def extend(self, items: Iterable[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise PickleError(f"items are added to a {type(target).__name__}, which is no list")
        target.extend(items)

    def append(self) -> None:
        item = self.stack.pop()
        self.extend((item,))

    def extend_marked(self) -> None:
        items = self.pop_mark()
        self.extend(items)

    def set_items(self, target: Any, items: Iterable[Sequence[Any]]) -> None:
        if type(target) is not dict:
            raise PickleError(f"items are set on a {type(target).__name__}, which is no dictionary")
        for key, value in items:
            if type(key) is not str:
                self.number_keys += check_key(key)
                if self.number_keys > MOST_NUMBER_KEYS:
                    raise PickleError(f"more than {MOST_NUMBER_KEYS} keys that are no text; refused")
            target[key] = value

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items(self.stack[-1], ((key, value),))

    def set_marked_items(self, target: Any, items: list[Any]) -> None:
        if len(items) % 2:
            raise PickleError("a key without a value")
        self.set_items(target, zip(items[::2], items[1::2], strict=True))

    def set_item_list(self) -> None:
        items = self.pop_mark()
        self.set_marked_items(self.stack[-1], items)

    def dictionary(self) -> None:
        items = self.pop_mark()
        entries: dict[Any, Any] = {}
        self.set_marked_items(entries, items)
        self.stack.append(entries)

    # Names and calls

    def find(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str or len(module) + len(name) > LONGEST_NAME:
            raise PickleError("a global whose module and name are no short texts")
        try:
            self.stack.append(self.globals[module, name])
        except KeyError:
            raise _RefusedError(module, name) from None

    def find_line(self) -> None:
        module = self.line()
        self.find(module, self.line())

    def find_from_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.find(module, name)

    def call(self) -> None:
        arguments, constructor = self.stack.pop(), self.stack.pop()
        if type(constructor) is not Constructor:
            raise PickleError(f"a call of a {type(constructor).__name__}, which is nothing to call")
        if type(arguments) is not tuple:
            raise PickleError("a call whose arguments are no tuple")
        self.elements_given += len(arguments)
        for argument in arguments:
            if type(argument) in SIZED:
                self.elements_given += shallow_elements(argument)
        if self.elements_given > MOST_ELEMENTS_GIVEN:
            raise PickleError(f"its calls are given more than {MOST_ELEMENTS_GIVEN} elements; refused")
        result = constructor.function(*arguments)
        if type(result) is Entries:
            entries: dict[Any, Any] = {}
            self.set_items(entries, result.pairs)
            result = entries
        self.stack.append(result)

    def call_with_names(self) -> None:
        if self.stack.pop() != {}:
            raise PickleError("a call with arguments by name")
        self.call()

    def set_state(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Record):
            target.set_state(state)
        # What is set on a dictionary, such as `_metadata`, is of no use, and could change what it is.
        elif type(target) is not dict and type(target) is not list:
            raise PickleError(f"state is set on a {type(target).__name__}, which takes none")

    def load_persistent(self) -> None:
        if self.persistent_load is None:
            raise PickleError("a persistent id where there can be none")
        self.stack.append(self.persistent_load(self.stack.pop()))

    # Framing

    def protocol(self) -> None:
        version = self.byte()
        if version > _NEWEST_PROTOCOL:
            raise PickleError(f"pickle protocol {version}; the newest known is {_NEWEST_PROTOCOL}")

    def frame(self) -> None:
        length = self.unsigned(8)
        if self.opcode_position < self.frame_end:
            raise PickleError("a frame begins inside another")
        if length > self.size - self.position:
            raise CutShortError
        self.frame_end = self.position + length


# fmt: off
_OPCODES: Final[dict[bytes, Callable[[_Machine], None]]] = {
    b"\x80": _Machine.protocol,                                 # PROTO
    b"\x95": _Machine.frame,                                    # FRAME
    b"(": _Machine.mark,                                        # MARK
    b"0": _Machine.pop,                                         # POP
    b"1": _Machine.drop_marked,                                 # POP_MARK
    b"q": _Machine.memoize_short,                               # BINPUT
    b"r": lambda m: m.memoize(m.unsigned(4)),                   # LONG_BINPUT
    b"\x94": lambda m: m.memoize(len(m.memo)),                  # MEMOIZE
    b"h": _Machine.recall_short,                                # BINGET
    b"j": lambda m: m.recall(m.unsigned(4)),                    # LONG_BINGET
    b"N": lambda m: m.push(None),                               # NONE
    b"\x88": lambda m: m.push(True),                            # NEWTRUE
    b"\x89": lambda m: m.push(False),                           # NEWFALSE
    b"J": lambda m: m.push(m.integer(4)),                       # BININT
    b"K": _Machine.push_byte,                                   # BININT1
    b"M": lambda m: m.push(m.unsigned(2)),                      # BININT2
    b"\x8a": lambda m: m.push(m.integer(m.byte())),             # LONG1
    b"\x8b": lambda m: m.push(m.integer(m.unsigned(4))),        # LONG4
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),  # BINFLOAT
    b"U": lambda m: m.push(m.old_text(m.byte())),               # SHORT_BINSTRING
    b"T": lambda m: m.push(m.old_text(m.unsigned(4))),          # BINSTRING
    b"\x8c": lambda m: m.push(m.text(m.byte())),                # SHORT_BINUNICODE
    b"X": lambda m: m.push(m.text(m.unsigned(4))),              # BINUNICODE
    b"\x8d": lambda m: m.push(m.text(m.unsigned(8))),           # BINUNICODE8
    b"C": lambda m: m.push(m.raw(m.byte())),                    # SHORT_BINBYTES
    b"B": lambda m: m.push(m.raw(m.unsigned(4))),               # BINBYTES
    b"\x8e": lambda m: m.push(m.raw(m.unsigned(8))),            # BINBYTES8
    b"\x96": lambda m: m.push(m.raw(m.unsigned(8))),            # BYTEARRAY8
    b")": lambda m: m.push(()),                                 # EMPTY_TUPLE
    b"\x85": lambda m: m.pack(1),                               # TUPLE1
    b"\x86": lambda m: m.pack(2),                               # TUPLE2
    b"\x87": lambda m: m.pack(3),                               # TUPLE3
    b"t": lambda m: m.push_marked(tuple),                       # TUPLE
    b"]": lambda m: m.push([]),                                 # EMPTY_LIST
    b"l": lambda m: m.push_marked(list),                        # LIST
    b"a": _Machine.append,                                      # APPEND
    b"e": _Machine.extend_marked,                               # APPENDS
    b"\x8f": lambda m: m.push([]),                              # EMPTY_SET
    b"\x90": _Machine.extend_marked,                            # ADDITEMS
    b"\x91": lambda m: m.push_marked(list),                     # FROZENSET
    b"}": lambda m: m.push({}),                                 # EMPTY_DICT
    b"d": _Machine.dictionary,                                  # DICT
    b"s": _Machine.set_item,                                    # SETITEM
    b"u": _Machine.set_item_list,                               # SETITEMS
    b"c": _Machine.find_line,                                   # GLOBAL
    b"\x93": _Machine.find_from_stack,                          # STACK_GLOBAL
    b"R": _Machine.call,                                        # REDUCE
    b"\x81": _Machine.call,                                     # NEWOBJ
    b"\x92": _Machine.call_with_names,                          # NEWOBJ_EX
    b"b": _Machine.set_state,                                   # BUILD
    b"Q": _Machine.load_persistent,                             # BINPERSID
}
# Those of protocols 0 and 1, of the extension registry and of buffers kept elsewhere; named when refused.
_REFUSED_OPCODES: Final = {
    b"I": "INT", b"L": "LONG", b"F": "FLOAT", b"S": "STRING", b"V": "UNICODE", b"P": "PERSID", b"g": "GET", b"p": "PUT",
    b"2": "DUP", b"i": "INST", b"o": "OBJ", b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4",
    b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER",
}
# fmt: on
_HANDLERS: Final = [_OPCODES.get(bytes((opcode,))) for opcode in range(256)]
