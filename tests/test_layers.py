"""The architecture: every import points down the diagram, there are no cycles, and starting up loads little.

    cli
    inspection -> training
    models   optim   data
    nn   func   hub -> checkpoints
    autograd.functional
    ops
    autograd   kernels

`errors` may be imported from everywhere, and `deferred` and `numpy_settings` are what autograd and kernels have in
common. A layer may import any layer below it that its row of the table names; a module with a row of its own stands on
another floor than its package.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradcli

PACKAGE = Path(gradcli.__file__).parent

# What the modules of a package, or one module, may import besides their own package: packages or modules.
ALLOWED = {
    "errors": set(),
    "numpy_settings": set(),
    "deferred": {"numpy_settings"},
    "autograd": {"errors", "deferred", "numpy_settings"},
    "autograd.functional": {"ops", "autograd"},
    "func": {"autograd", "autograd.functional"},
    "cuda": set(),
    "kernels": {"errors", "deferred", "numpy_settings"},
    "ops": {"autograd", "kernels", "errors", "deferred"},
    "nn": {
        "ops",
        "autograd",
        "deferred",
        "numpy_settings",
        "kernels.clipping",
        "kernels.layout",
        "kernels.memory",
        "kernels.random",
        "kernels.threads",
        "errors",
    },
    "optim": {
        "autograd",
        "deferred",
        "kernels.adam",
        "kernels.layout",
        "kernels.parameter_updates",
        "kernels.sgd",
        "errors",
    },
    "data": {"hub", "checkpoints", "kernels.memory", "kernels.threads", "errors"},
    "checkpoints": {"kernels.statistics", "errors"},
    "hub": {"checkpoints", "errors", "__init__"},
    "models": {"nn", "ops", "autograd", "deferred", "kernels.random", "hub", "checkpoints", "errors"},
    "training": {
        "models",
        "optim",
        "data",
        "hub",
        "checkpoints",
        "nn",
        "ops",
        "autograd",
        "kernels.policy",
        "kernels.statistics",
        "kernels.threads",
        "errors",
    },
    "inspection": {
        "training",
        "models",
        "optim",
        "data",
        "hub",
        "checkpoints",
        "nn",
        "ops",
        "autograd",
        "autograd.functional",
        "kernels.policy",
        "kernels.statistics",
        "kernels.threads",
        "errors",
    },
    "cli": {
        "training",
        "inspection",
        "models",
        "data",
        "hub",
        "checkpoints",
        "ops.random",
        "kernels.policy",
        "kernels.threads",
        "errors",
        "__init__",
    },
    "api": {"ops", "autograd", "kernels.policy", "kernels.random", "kernels.threads"},
    "__init__": {"api", "autograd", "cuda", "func", "models", "nn", "optim"},
    "catalogue": {"api", "nn", "ops", "autograd"},
    "__main__": {"cli"},
}
# The package's version is a plain string that any module may take.
PLAIN_NAMES = {"__version__"}


def module_name(path: Path) -> str:
    """`ops.loss` for gradcli/ops/loss.py, `ops` for gradcli/ops/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_modules(statement: ast.AST) -> Iterator[str]:
    """The modules of gradcli that one import statement names, without the leading `gradcli.`."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name.split(".")[0] == "gradcli":
                yield alias.name.removeprefix("gradcli").lstrip(".") or "__init__"
    elif isinstance(statement, ast.ImportFrom):
        assert statement.level == 0, "imports are absolute"
        base = statement.module or ""
        if base.split(".")[0] == "gradcli":
            inside = base.removeprefix("gradcli").lstrip(".")
            for alias in statement.names:
                whole = f"{inside}.{alias.name}".lstrip(".")
                if whole in MODULES:
                    yield whole
                elif alias.name not in PLAIN_NAMES:
                    yield inside or "__init__"


def top_level_statements(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when the module is imported: no function bodies, nothing under TYPE_CHECKING."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            waiting += statement.orelse
            continue
        yield statement
        waiting += ast.iter_child_nodes(statement)


def parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"), filename=str(MODULES[name]))


def is_within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def row_of(module: str) -> str:
    """The row of the table that says what a module may import: its own, or its package's."""
    return module if module in ALLOWED else module.split(".")[0]


def test_every_package_has_its_row():
    assert {row_of(name) for name in MODULES} == set(ALLOWED)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name):
    row = row_of(name)
    upward = [
        f"line {statement.lineno}: {target}"
        for statement in ast.walk(parsed(name))
        for target in imported_modules(statement)
        if row_of(target) != row and not may_import(row, target)
    ]
    assert not upward


def may_import(row: str, target: str) -> bool:
    """Whether the row names the module or its package, which stands for the modules without a row of their own."""
    return any(row_of(target) == allowed or (is_within(target, allowed) and "." in allowed) for allowed in ALLOWED[row])


def test_the_table_itself_has_no_cycle():
    edges = {name: {row_of(target) for target in targets} for name, targets in ALLOWED.items()}
    del edges["__init__"]  # resolves its names when they are used
    assert not cycle(edges)


def test_modules_do_not_import_each_other_in_a_circle():
    edges = {
        name: {target for statement in top_level_statements(parsed(name)) for target in imported_modules(statement)}
        for name in MODULES
    }
    assert not cycle(edges)


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """What is left of a graph when everything that leads nowhere is taken away again and again."""
    remaining = {name: set(targets) & set(edges) for name, targets in edges.items()}
    while ends := [name for name, targets in remaining.items() if not targets]:
        for name in ends:
            del remaining[name]
        for targets in remaining.values():
            targets.difference_update(ends)
    return sorted(remaining)


def test_a_cycle_would_be_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def loaded_modules(*arguments: str) -> set[str]:
    """The modules that a fresh Python loads when it runs with these arguments."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, encoding="utf-8", check=True
    )
    return {line.rsplit("|", 1)[1].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("arguments", [("-c", "import gradcli"), ("-m", "gradcli", "--help")], ids=["import", "help"])
def test_starting_up_loads_no_numpy(arguments):
    loaded = loaded_modules(*arguments)
    assert "gradcli" in loaded
    assert not {"numpy", "PIL", "safetensors"} & loaded


def test_looking_for_known_weights_loads_no_http_client():
    loaded = loaded_modules("-c", "import gradcli.hub.weights, gradcli.models.loading")
    assert "gradcli.hub.weights" in loaded
    assert not {"requests", "urllib3", "platformdirs", "rich"} & loaded


def test_using_tensors_loads_no_command_line_and_no_file_formats():
    loaded = loaded_modules("-c", "import gradcli; gradcli.tensor([1.0]).exp()")
    assert "numpy" in loaded
    assert not {"typer", "rich", "PIL", "safetensors", "gradcli.cli", "gradcli.training", "gradcli.nn"} & loaded
