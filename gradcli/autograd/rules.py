"""How the gradients of an operation's inputs are computed, and what has to be kept for that.

What `operation` documents as rules is read here: their parameters become a plan of what to save and run, one for each
combination of inputs that require gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """How to get the gradients of `inputs`; `parameters` are the names of what it takes after `grad`.

    A `joint` rule gives a tuple, one for each input. `fresh` promises results that nobody else holds or reads.
    """

    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    function: Callable[..., Any]
    joint: bool
    fresh: bool


class Saved(NamedTuple):
    """One thing to keep for the rules: where it comes from (`argument`, `shape`, `out` or `extra`), and its name.

    `position` is that among the operation's parameters, or among its extra results.
    """

    key: str
    kind: str
    source: str
    position: int


class Step(NamedTuple):
    """One rule to run with what was saved under `names`, and with `options`: which inputs need gradients, if it asks.

    `targets` are the positions of its inputs among all that have rules.
    """

    rule: Rule
    names: tuple[str, ...]
    options: dict[str, Any]
    targets: tuple[int, ...]


class Plan(NamedTuple):
    """What to keep and run, for one combination of inputs that require gradients.

    The last four say again what is `saved`, by kind: names, and positions among the parameters or the extra results.
    """

    steps: tuple[Step, ...]
    saved: tuple[Saved, ...]
    holds_tensors: bool
    arguments: tuple[tuple[str, int], ...]
    shapes: tuple[tuple[str, int], ...]
    extras: tuple[tuple[str, int], ...]
    saves_out: bool


class GradientRules:
    """The rules of one operation, by input, and the plans that were made of them so far."""

    def __init__(self, operation: str, parameters: tuple[str, ...], extras: tuple[str, ...]) -> None:
        self.by_input: dict[str, Rule] = {}
        self.positions: tuple[int, ...] = ()  # of the inputs that have rules, among the parameters
        self._operation = operation
        self._parameters = parameters
        self._extras = extras
        self._position_of = {name: position for position, name in enumerate(parameters)}
        self._shared: list[Rule] = []
        self._plans: dict[tuple[bool, ...], Plan] = {}

    def add(self, inputs: tuple[str, ...], function: Callable[..., Any], *, joint: bool, fresh: bool = False) -> None:
        """Declare how the gradients of `inputs` are computed; TypeError for a name that means nothing here.

        A joint rule for inputs that have rules already is taken where the gradients of all of them are needed.
        """
        parameters = parameters_of(function)[1:]
        rule = Rule(inputs, parameters, function, joint, fresh)
        for name in inputs:
            if name not in self._parameters:
                raise TypeError(f"{self._operation} has no input {name!r} to declare a gradient for")
            if name in self.by_input and not joint:
                raise TypeError(f"{self._operation} has a rule for the gradient of {name!r} already")
        for name in parameters:
            if name != "needs":
                self._source(name)
        if joint and all(name in self.by_input for name in inputs):
            self._shared.append(rule)
        for name in inputs:
            self.by_input.setdefault(name, rule)
        self.positions = tuple(self._position_of[name] for name in self.by_input)

    def _source(self, name: str) -> Saved:
        if name in self._parameters:
            return Saved(name, "argument", name, self._position_of[name])
        if name == "out":
            return Saved(name, "out", name, 0)
        if name in self._extras:
            return Saved(name, "extra", name, self._extras.index(name))
        source = name.removesuffix("_shape")
        if name.endswith("_shape") and source in self._parameters:
            return Saved(name, "shape", source, self._position_of[source])
        raise TypeError(f"a gradient rule of {self._operation} asks for {name!r}, which is nothing it could be given")

    def plan(self, needs: tuple[bool, ...]) -> Plan:
        """What to keep and run where `needs` tells, in the order of `by_input`, which inputs require gradients."""
        plan = self._plans.get(needs)
        if plan is None:
            wanted = {name: rule for (name, rule), needed in zip(self.by_input.items(), needs, strict=True) if needed}
            for shared in self._shared:
                if all(name in wanted for name in shared.inputs):
                    wanted.update(dict.fromkeys(shared.inputs, shared))
            rules = dict.fromkeys(wanted.values())
            order = {name: position for position, name in enumerate(self.by_input)}
            steps = tuple(
                Step(
                    rule,
                    tuple(name for name in rule.parameters if name != "needs"),
                    {"needs": tuple(needs[order[name]] for name in rule.inputs)} if "needs" in rule.parameters else {},
                    tuple(order[name] for name in rule.inputs),
                )
                for rule in rules
            )
            saved = tuple(self._source(name) for name in dict.fromkeys(name for step in steps for name in step.names))
            holds_tensors = any(
                s.kind in ("out", "extra") or s.source in self.by_input for s in saved if s.kind != "shape"
            )
            plan = self._plans[needs] = Plan(
                steps,
                saved,
                holds_tensors,
                arguments=_places(saved, "argument"),
                shapes=_places(saved, "shape"),
                extras=_places(saved, "extra"),
                saves_out=any(s.kind == "out" for s in saved),
            )
        return plan


def parameters_of(function: Any) -> tuple[str, ...]:
    """The names of a function's parameters, keywords last.

    Read from its code: `inspect` takes some twenty times as long, and hundreds are declared at start-up.
    """
    signature = getattr(function, "__signature__", None)
    if signature is not None:
        return tuple(signature.parameters)
    code = function.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names


def _places(saved: Sequence[Saved], kind: str) -> tuple[tuple[str, int], ...]:
    """The names and positions of what is saved of one kind."""
    return tuple((s.key, s.position) for s in saved if s.kind == kind)
