"""Whether operations are recorded: `no_grad`, `enable_grad`, `set_grad_enabled`. The mode is per thread."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class InferenceMode:
    """Whether `inference_mode` was ever used: before that, no tensor has to be asked whether it was made in it."""

    was_used = False


class _GradMode(threading.local):
    enabled = True
    inference = False


_mode = _GradMode()


def is_grad_enabled() -> bool:
    """True where operations on tensors that require gradients are recorded."""
    return _mode.enabled


def is_recording() -> bool:
    """True where such operations leave a graph: never within `inference_mode`, whatever the mode of gradients is."""
    return _mode.enabled and not _mode.inference


def is_inference_mode_enabled() -> bool:
    """True within `inference_mode`."""
    return _mode.inference


class _GradModeScope:
    """Sets the mode for a `with` block, or for every call of a decorated function or generator."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._previous: list[bool] = []

    def __enter__(self) -> Self:
        self._previous.append(_mode.enabled)
        _mode.enabled = self.enabled
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _mode.enabled = self._previous.pop()

    def _again(self) -> _GradModeScope:
        """Another scope of the same kind, for one call of a decorated function."""
        return _GradModeScope(self.enabled)

    def __call__(self, function: F) -> F:
        again = self._again
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
                # The mode holds only while the generator's own code runs, not in the loop around it.
                generator = function(*args, **kwargs)
                resume: Callable[[], Any] = functools.partial(next, generator)
                while True:
                    try:
                        with again():
                            value = resume()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent = yield value
                    except GeneratorExit:
                        generator.close()
                        raise
                    except BaseException as error:
                        resume = functools.partial(generator.throw, error)
                    else:
                        resume = functools.partial(generator.send, sent)

            return cast("F", generate)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with again():
                return function(*args, **kwargs)

        return cast("F", call)


class _FixedGradMode(_GradModeScope):
    """A scope of one mode that also decorates without parentheses."""

    mode: ClassVar[bool]

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        scope = super().__new__(cls)
        return scope if function is None else _GradModeScope(cls.mode)(function)

    def __init__(self) -> None:
        super().__init__(self.mode)


class no_grad(_FixedGradMode):  # noqa: N801 - PyTorch's name
    """No operation is recorded: as a context manager, as `@no_grad()` or as `@no_grad`."""

    mode = False


class enable_grad(_FixedGradMode):  # noqa: N801 - PyTorch's name
    """Operations are recorded again, inside a `no_grad` too: as a context manager or decorator."""

    mode = True


class set_grad_enabled(_GradModeScope):  # noqa: N801 - PyTorch's name
    """Sets the mode at once; as a context manager, the former mode comes back at the end of the block."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._before = _mode.enabled
        _mode.enabled = mode

    def __enter__(self) -> Self:
        _mode.enabled = self.enabled
        return self

    def __exit__(self, *error: object) -> None:
        _mode.enabled = self._before

    def __call__(self, function: F) -> F:
        # As a decorator it holds inside of the function only.
        _mode.enabled = self._before
        return super().__call__(function)


class inference_mode(_GradModeScope):  # noqa: N801 - PyTorch's name
    """As `no_grad`, and what is made inside can never take part in what is recorded: with `mode=False`, as outside.

    A context manager, or a decorator with or without parentheses.
    """

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        scope = super().__new__(cls)
        if isinstance(mode, bool):
            return scope
        cls.__init__(scope)
        return scope(mode)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)
        InferenceMode.was_used = True
        self.inference = mode
        self._previous_inference: list[bool] = []

    def __enter__(self) -> Self:
        self._previous_inference.append(_mode.inference)
        _mode.inference = self.inference
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        _mode.inference = self._previous_inference.pop()
        super().__exit__(*error)

    def _again(self) -> _GradModeScope:
        again: _GradModeScope = inference_mode(self.inference)
        return again
