"""An optimizer's state dict as arrays by name, for a file of tensors, and plain values, for JSON; and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array


def split_state(state_dict: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a state dict as `0.exp_avg`, after the parameter's number and their names, and all the rest.

    The arrays share memory with the optimizer: they change with its next step. Numbers stay what they are to the bit.
    """
    arrays: dict[str, Array] = {}
    rest: dict[str, dict[str, Any]] = {}
    for number, entries in state_dict["state"].items():
        rest[str(number)] = {name: value for name, value in entries.items() if not hasattr(value, "__array__")}
        for name, value in entries.items():
            if hasattr(value, "__array__"):
                arrays[f"{number}.{name}"] = np.asarray(value)
    return arrays, {"state": rest, "param_groups": state_dict["param_groups"]}


def join_state(arrays: dict[str, Array], rest: dict[str, Any]) -> dict[str, Any]:
    """The state dict that `split_state` took apart, for `Optimizer.load_state_dict`."""
    state = {number: dict(entries) for number, entries in rest["state"].items()}
    for name, array in arrays.items():
        number, _, entry = name.partition(".")
        state[number][entry] = array
    return {"state": state, "param_groups": rest["param_groups"]}
