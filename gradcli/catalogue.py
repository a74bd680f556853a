"""The list of all operations: which names there are, where they are offered, and what each computes.

It is read from the families themselves: every module of `gradcli.ops` says in `__all__` what it offers, and a first
line of documentation says what that is. `python -m gradcli.catalogue` prints the list as Markdown.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradcli.ops
from gradcli import api
from gradcli.autograd import Tensor
from gradcli.nn import functional

HEADER = """# Operations

What `import gradcli as torch` and `gradcli.nn.functional` offer, by family. Names, arguments, results and errors are
those of PyTorch 2.13. `x.` stands for a method of tensors, `x._` for the method that does the same in place, `F.` for
`gradcli.nn.functional`. This file is printed by `python -m gradcli.catalogue`.
"""


class Entry(NamedTuple):
    """One name: its family (the module that defines it), what it computes, and where it is offered."""

    name: str
    family: str
    summary: str
    function: bool
    functional: bool
    method: bool
    in_place: bool

    def calls(self) -> list[str]:
        """How it can be called."""
        offered = {
            f"torch.{self.name}": self.function,
            f"F.{self.name}": self.functional,
            f"x.{self.name}": self.method,
            f"x.{self.name}_": self.in_place,
        }
        return [call for call, is_offered in offered.items() if is_offered]


def entries() -> Iterator[Entry]:
    """Every operation that is offered under a name of its own, family by family in alphabetical order."""
    for module in pkgutil.iter_modules(gradcli.ops.__path__):
        family = importlib.import_module(f"gradcli.ops.{module.name}")
        offered = {name: getattr(family, name) for name in getattr(family, "__all__", ())}
        for name, value in sorted((_methods_of(family.__name__) | offered).items()):
            if callable(value) and not inspect.isclass(value):
                yield Entry(
                    name,
                    module.name,
                    _first_paragraph(value),
                    function=name in offered and getattr(api, name, None) is value,
                    functional=name in offered and getattr(functional, name, None) is value,
                    method=hasattr(Tensor, name),
                    in_place=hasattr(Tensor, f"{name}_"),
                )


def _methods_of(module: str) -> dict[str, Any]:
    """The methods of tensors that a module defines, in place or not, by the name without the last underscore."""
    return {
        name.removesuffix("_"): value
        for name, value in Tensor.__dict__.items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    }


def _first_paragraph(documented: Any) -> str:
    text = (inspect.getdoc(documented) or "").split("\n\n")[0].replace("\n", " ")
    return text.removeprefix("In place: ")


def as_markdown() -> str:
    """The list as a Markdown document, a table for each family under the first line of its module."""
    lines = [HEADER]
    family = None
    for entry in entries():
        if entry.family != family:
            family = entry.family
            about = _first_paragraph(importlib.import_module(f"gradcli.ops.{family}"))
            lines += [f"\n## {family}\n", f"{about}\n", "| Call | What it computes |", "|---|---|"]
        calls = ", ".join(f"`{call}`" for call in entry.calls())
        summary = entry.summary.replace("|", "\\|")
        lines.append(f"| {calls} | {summary} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
