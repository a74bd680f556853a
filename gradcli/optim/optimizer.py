"""What optimizers have in common: parameter groups, gradients to forget, state to save."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd import Tensor, enable_grad, no_grad
from gradcli.autograd.accumulate_grad import zero_gradient
from gradcli.autograd.versions import record_change
from gradcli.deferred import settle_deferred
from gradcli.kernels.parameter_updates import Update, empty_state, update_parameters

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
"""Tensors, (name, tensor) pairs as `named_parameters()` gives, or groups: dictionaries with `params` and options."""


class Move(NamedTuple):
    """What a step does to a parameter, and what is new in what the optimizer remembers of it."""

    parameter: Tensor
    update: Update
    state: dict[str, Any] | None


class Optimizer:
    """Base of optimizers; `param_groups` are dictionaries of `params` and options, as in PyTorch.

    `has_stepped` tells whether there was a step, in this process or before the state was loaded.
    """

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts")
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.has_stepped = False
        self.param_groups: list[dict[str, Any]] = []
        entries: list[Any] = list(params)
        if not entries:
            raise ValueError("optimizer got an empty parameter list")
        for group in entries if isinstance(entries[0], dict) else [{"params": entries}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own; what they leave out is as the optimizer's defaults."""
        given = param_group["params"]
        members = [given] if isinstance(given, Tensor) else list(given)
        tensors = [member[1] if isinstance(member, tuple) else member for member in members]
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(tensor).__name__}"
                )
            if not tensor.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        known = {id(tensor) for group in self.param_groups for tensor in group["params"]}
        if len({id(tensor) for tensor in tensors}) < len(tensors) or any(id(tensor) in known for tensor in tensors):
            raise ValueError("some parameters appear in more than one parameter group, or twice in one")
        self.param_groups.append({**self.defaults, **param_group, "params": tensors})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                zero_gradient(parameter, set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; `closure`, if given, computes loss and gradients first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._update(measured=False)
        return loss

    def measured_step(self) -> float:
        """Move every parameter that has a gradient; returns the Euclidean norm of all changes together."""
        return math.sqrt(self._update(measured=True))

    def _update(self, *, measured: bool) -> float:
        settle_deferred()  # what was put off may read the parameters' old values
        self.has_stepped = True
        with no_grad(), np.errstate(all="ignore"):  # overflow gives inf and nan without a word, as in PyTorch
            moves: list[Move] = []
            for group in self.param_groups:
                parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
                if parameters:
                    moves += self.moves(parameters, group)
            squares = update_parameters([move.update for move in moves], measured=measured)
        for parameter, update, state in moves:
            record_change(update.parameter)
            if state:
                self.state[parameter] = state
        return squares

    def moves(self, parameters: list[Tensor], group: dict[str, Any]) -> list[Move]:
        """What a step does to parameters of one group, all of which have gradients, with the options of that group."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """State and options, with parameters as numbers in the order they were given."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        number = {id(parameter): index for index, parameter in enumerate(parameters)}
        return {
            "state": {number[id(parameter)]: dict(state) for parameter, state in self.state.items()},
            "param_groups": [
                {**group, "params": [number[id(parameter)] for parameter in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave for parameters in the same order; arrays are copied.

        It may have gone through a file: numbers of parameters may be text, tuples lists, and tensors whatever NumPy
        makes arrays of, PyTorch's own included. Raises ValueError, and changes nothing, where groups, numbers or
        shapes are others.
        """
        saved_groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in self.param_groups]
        if [len(group["params"]) for group in saved_groups] != sizes:
            raise ValueError("loaded state dict has other parameter groups than this optimizer")
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        numbers = [number for group in saved_groups for number in group["params"]]
        position = {int(number): position for position, number in enumerate(numbers)}
        state: dict[Tensor, dict[str, Any]] = {}
        for number, entries in state_dict["state"].items():
            if int(number) not in position:
                raise ValueError(f"loaded state dict has state for parameter {number} of {len(parameters)}")
            parameter = parameters[position[int(number)]]
            state[parameter] = {name: _loaded_entry(name, value, parameter) for name, value in entries.items()}
        self.state = state
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            group.update(
                {
                    name: tuple(value) if isinstance(group.get(name), tuple) else value
                    for name, value in saved.items()
                    if name != "params"
                }
            )
        self.has_stepped = True

    def __repr__(self) -> str:
        groups = [
            f"Parameter Group {index}\n"
            + "".join(f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params")
            for index, group in enumerate(self.param_groups)
        ]
        return f"{type(self).__name__} (\n" + "\n".join(groups) + ")"


def _loaded_entry(name: str, value: Any, parameter: Tensor) -> Any:
    """An entry of a loaded state: arrays as tensors of the parameter's dtype and memory order, the rest as it is."""
    if not hasattr(value, "__array__"):
        return value
    array = np.asarray(value)
    if name == "step":  # a count, which other dtypes may not hold
        return Tensor(array.copy())
    if array.shape != parameter.array.shape:
        raise ValueError(
            f"loaded state dict has {name} of shape {list(array.shape)} for a parameter of {list(parameter.shape)}"
        )
    copy = empty_state(parameter.array)
    np.copyto(copy, array, casting="same_kind")
    return Tensor(copy)
