"""Tensors that share memory: what is changed through one of them changes the history of the others too.

A view knows the tensor whose memory it shows, its base, and how to get from there to itself. When the base gets a new
history, by a recorded change in place through any of its views, the others replay those steps when they are next asked
for theirs. A base knows its views only weakly.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from gradcli.autograd.grad_mode import (
    InferenceMode,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    set_grad_enabled,
)
from gradcli.autograd.hooks import keep_retaining
from gradcli.autograd.versions import record_change, version

if TYPE_CHECKING:
    from gradcli.autograd.tensor import Tensor

Step = Callable[[Any], Any]
"""One operation that makes a view: of a tensor, or of an array."""


class Base:
    """Of a tensor that has views: how often its history was replaced, and its views."""

    base: Tensor | None = None

    def __init__(self) -> None:
        self.generation = 0
        self.views: set[weakref.ref[Tensor]] = set()

    def refresh(self, tensor: Tensor) -> None:
        """Its history is kept up to date by whoever changes it."""

    def version_of(self, tensor: Tensor) -> int:
        """How often the memory of `tensor`, or of a view of it, was changed in place."""
        return version(tensor.array)

    def record_change(self, tensor: Tensor) -> None:
        """Tell all that share this memory that it was changed in place."""
        record_change(tensor.array)

    def add(self, view: Tensor) -> None:
        """Enter a view, for as long as it lives."""
        self.views.add(weakref.ref(view, self.views.discard))

    def refresh_views(self) -> None:
        """Let the views take the history that the base has now, before it is given up."""
        for reference in list(self.views):
            view = reference()
            if view is not None and isinstance(view._sharing, View) and view._sharing.restriction is None:
                view._sharing.refresh(view)

    def replace_history(self, requires_grad_now: bool) -> None:
        """Tell the views that the base has a new history, and maybe required no gradient before."""
        self.generation += 1
        if requires_grad_now:
            for reference in list(self.views):
                view = reference()
                if view is not None:
                    view._requires_grad = True


class Untracked(Base):
    """Of what `data` gives: it shares memory, but changes through it, and what is made of it, are its own business."""

    def __init__(self, source: Untracked | None = None) -> None:
        super().__init__()
        self._count: list[int] = [0] if source is None else source._count  # shared with what it was detached from

    def version_of(self, tensor: Tensor) -> int:
        """How often memory was changed through it."""
        return self._count[0]

    def record_change(self, tensor: Tensor) -> None:
        """Count a change that the owner of the memory isn't told about."""
        self._count[0] += 1


class View:
    """Of a tensor that shows memory of another, its `base`: the `steps` that lead from there to it.

    `restriction` says why neither it nor its base can be changed in place where that is recorded, if they can't:
    `several`, `function` or `no_grad`, by where the view was made.
    """

    def __init__(self, base: Tensor, steps: tuple[Step, ...], generation: int, restriction: str | None) -> None:
        self.base = base
        self.steps = steps
        self.generation = generation
        self.restriction = restriction

    def version_of(self, tensor: Tensor) -> int:
        """How often the memory of `tensor` was changed in place."""
        return self._of_base().version_of(tensor)

    def record_change(self, tensor: Tensor) -> None:
        """Tell all that share this memory that it was changed in place."""
        self._of_base().record_change(tensor)

    def _of_base(self) -> Base:
        assert isinstance(self.base._sharing, Base)
        return self.base._sharing

    def refresh(self, tensor: Tensor) -> None:
        """Give `tensor`, which this is about, the history that its base has by now."""
        sharing = self._of_base()
        if sharing.generation == self.generation:
            return
        if self.restriction is not None:
            refuse_change(tensor, self.restriction, "its base or another view of its base has been modified inplace")
        self.generation = sharing.generation
        with inference_mode(False) if is_inference_mode_enabled() else set_grad_enabled(True):
            replayed = replay(self.steps, self.base)
        former, former_nr = tensor._grad_fn, tensor._output_nr
        tensor._grad_fn, tensor._output_nr = replayed._grad_fn, replayed._output_nr
        keep_retaining(tensor, former, former_nr)
        tensor._requires_grad = replayed._requires_grad


_REASONS = {
    "several": "This view is the output of a function that returns multiple views. Such functions do not allow the "
    "output views to be modified inplace. You should replace the inplace operation by an out-of-place one.",
    "function": "This view was created inside a custom Function (or because an input was returned as-is) and the "
    "autograd logic to handle view+inplace would override the custom backward associated with the custom Function, "
    "leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom "
    "Function.",
}


def refuse_change(view: Tensor, restriction: str, happened: str) -> NoReturn:
    """RuntimeError, in PyTorch's words, for a view that can't follow what `happened` to it or to its base."""
    if restriction == "no_grad":
        raise RuntimeError(
            f"A view was created in no_grad mode and {happened} with grad mode enabled. Move both the view and the "
            "inplace either inside the no_grad block (not to track the change) or outside (to track it)."
        )
    made_by = "an operation" if view._grad_fn is None else view._grad_fn.name()
    raise RuntimeError(f"Output {view._output_nr} of {made_by} is a view and {happened}. {_REASONS[restriction]}")


def replay(steps: Sequence[Step], base: Any) -> Any:
    """The part of a tensor, or array, that these steps lead to."""
    for step in steps:
        base = step(base)
    return base


def make_view(view: Tensor, source: Tensor, step: Step, restriction: str | None = None) -> None:
    """Tell `view` that it is one of `source`, by that step. For `restriction` see `View`."""
    if InferenceMode.was_used:
        view._is_inference = source.is_inference()
    sharing = source._sharing
    if restriction is None and not is_grad_enabled():
        restriction = "no_grad"
    base: Tensor = source
    steps: tuple[Step, ...] = (step,)
    if isinstance(sharing, View):
        base, steps, restriction = sharing.base, (*sharing.steps, step), restriction or sharing.restriction
    own = base._sharing
    if not isinstance(own, Base):
        own = base._sharing = Base()
    own.add(view)
    view._sharing = View(base, steps, own.generation, restriction)
