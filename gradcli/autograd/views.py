"""Tensors that share memory: what is changed through one of them changes the history of the others too.

A view knows the tensor whose memory it shows, its base, and how to get from there to itself. When the base gets a new
history, by a recorded change in place through any of its views, the others replay those steps when they are next asked
for theirs. A base knows its views only weakly.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gradcli.autograd.grad_mode import InferenceMode, is_grad_enabled, set_grad_enabled
from gradcli.autograd.versions import record_change, version

if TYPE_CHECKING:
    from gradcli.autograd.tensor import Tensor

Step = Callable[[Any], Any]
"""One operation that makes a view: of a tensor, or of an array."""


class Untracked:
    """What `data` gives: it shares memory, but changes through it are its own business."""

    base: Tensor | None = None

    def __init__(self) -> None:
        self._version = 0

    def refresh(self, tensor: Tensor) -> None:
        """Its history is its own."""

    def version_of(self, tensor: Tensor) -> int:
        """How often memory was changed through it."""
        return self._version

    def record_change(self, tensor: Tensor) -> None:
        """Count a change that the owner of the memory isn't told about."""
        self._version += 1


class _Tracked:
    """What changes are counted of, with all that share the memory."""

    def version_of(self, tensor: Tensor) -> int:
        """How often the memory of `tensor` was changed in place."""
        return version(tensor.array)

    def record_change(self, tensor: Tensor) -> None:
        """Tell all that share this memory that it was changed in place."""
        record_change(tensor.array)


class Base(_Tracked):
    """Of a tensor that has views: how often its history was replaced, and its views."""

    base: Tensor | None = None

    def __init__(self) -> None:
        self.generation = 0
        self.views: set[weakref.ref[Tensor]] = set()

    def refresh(self, tensor: Tensor) -> None:
        """Its history is kept up to date by whoever changes it."""

    def add(self, view: Tensor) -> None:
        """Enter a view, for as long as it lives."""
        self.views.add(weakref.ref(view, self.views.discard))

    def replace_history(self, requires_grad_now: bool) -> None:
        """Tell the views that the base has a new history, and maybe required no gradient before."""
        self.generation += 1
        if requires_grad_now:
            for reference in list(self.views):
                view = reference()
                if view is not None:
                    view._requires_grad = True


class View(_Tracked):
    """Of a tensor that shows memory of another, its `base`: the `steps` that lead from there to it.

    `restriction` says why it can't be changed in place where that is recorded, if it can't.
    """

    def __init__(self, base: Tensor, steps: tuple[Step, ...], generation: int, restriction: str | None) -> None:
        self.base = base
        self.steps = steps
        self.generation = generation
        self.restriction = restriction

    def refresh(self, tensor: Tensor) -> None:
        """Give `tensor`, which this is about, the history that its base has by now."""
        sharing = self.base._sharing
        if not isinstance(sharing, Base) or sharing.generation == self.generation:
            return
        self.generation = sharing.generation
        with set_grad_enabled(True):
            replayed = replay(self.steps, self.base)
        tensor._grad_fn, tensor._output_nr = replayed._grad_fn, replayed._output_nr
        tensor._requires_grad = replayed._requires_grad


def replay(steps: Sequence[Step], base: Any) -> Any:
    """The part of a tensor, or array, that these steps lead to."""
    for step in steps:
        base = step(base)
    return base


def make_view(view: Tensor, source: Tensor, step: Step, several: bool) -> None:
    """Tell `view` that it is one of `source`, by that step, which has `several` results or this one only."""
    if InferenceMode.was_used:
        view._is_inference = source.is_inference()
    sharing = source._sharing
    if isinstance(sharing, Untracked):
        view._sharing = sharing
        return
    restriction = "several" if several else None if is_grad_enabled() else "no_grad"
    base: Tensor = source
    steps: tuple[Step, ...] = (step,)
    if isinstance(sharing, View):
        base, steps, restriction = sharing.base, (*sharing.steps, step), restriction or sharing.restriction
    own = base._sharing
    if not isinstance(own, Base):
        own = base._sharing = Base()
    own.add(view)
    view._sharing = View(base, steps, own.generation, restriction)
