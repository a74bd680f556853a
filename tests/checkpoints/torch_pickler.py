"""Pickles of torch.save, written without PyTorch by Python's own pickler."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class TorchName:
    """A class or function of PyTorch, that the pickle names without having it."""

    module: str
    name: str


@dataclass(frozen=True, eq=False)
class TorchCall:
    """A call of such a function, or (with `new`) an object of such a class; `state` is set on the result."""

    function: TorchName
    arguments: tuple[Any, ...] = ()
    new: bool = False
    state: Any = None


def torch_pickle(value: Any, protocol: int = 2, persistent_id: Callable[[Any], Any] = lambda value: None) -> bytes:
    """The pickle of a value that may hold TorchName and TorchCall, with PyTorch's persistent ids."""
    stream = io.BytesIO()
    _Pickler(stream, protocol, persistent_id).dump(value)
    return stream.getvalue()


# The pickler written in Python, because only it can be told how to write what is no class here.
class _Pickler(pickle._Pickler):  # type: ignore[misc,name-defined]
    def __init__(self, stream: io.BytesIO, protocol: int, persistent_id: Callable[[Any], Any]) -> None:
        super().__init__(stream, protocol)
        self.persistent_id = persistent_id

    def save_name(self, name: TorchName) -> None:
        if self.proto < 4:
            self.write(pickle.GLOBAL + f"{name.module}\n{name.name}\n".encode())
        else:
            self.save(name.module)
            self.save(name.name)
            self.write(pickle.STACK_GLOBAL)

    def save_call(self, call: TorchCall) -> None:
        self.save_name(call.function)
        self.save(call.arguments)
        self.write(pickle.NEWOBJ if call.new else pickle.REDUCE)
        if call.state is not None:
            self.save(call.state)
            self.write(pickle.BUILD)

    dispatch: ClassVar = {
        **pickle._Pickler.dispatch,  # type: ignore[attr-defined]
        TorchName: save_name,
        TorchCall: save_call,
    }
