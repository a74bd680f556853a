"""gradcli and PyTorch side by side: training workers of their own processes that take turns."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from machine import BLAS_THREAD_VARIABLES, thread_environment
from processes import Worker, output_of, require_modules
from workers.training_case import TrainingCase

HERE = Path(__file__).resolve().parent
SETTLE_SECONDS = 0.05
"""The pause before a turn: threads of the worker before may spin for a while until they sleep."""
TURN_SECONDS = 0.25
"""How long the measured steps or passes of a turn take the slowest worker, about; there is one at least."""
WARM_UP_TURNS = 2
MAGNITUDE_TOLERANCE = 1e-2
"""How far mean outputs may lie apart, relative: different work differs by far more, rounding by far less."""

PYTORCH = "PyTorch"
PYTORCH_CHANNELS_LAST = "PyTorch channels-last"


def gradcli_configuration(kernels: str) -> str:
    """The name of gradcli's configuration with `exact` or `fast` kernels."""
    return f"gradcli {kernels}"


def kernels_of(configuration: str) -> str | None:
    """The kernels of one of gradcli's configurations; None for PyTorch's."""
    library, _, kernels = configuration.partition(" ")
    return kernels if library == "gradcli" else None


@dataclass(frozen=True)
class Turn:
    """The median step or pass of a turn, the mean magnitude of its output, and the worker's peak memory until then."""

    seconds: float
    mean_magnitude: float
    peak_rss_mib: float


@dataclass(frozen=True)
class Setup:
    """What all workers have in common: PyTorch's Python, the environment, the folder of the weights, threads."""

    pytorch_python: str
    environment: Mapping[str, str]
    weights: Path
    threads: int

    def start_worker(self, configuration: str, case: TrainingCase) -> Worker:
        """Start the worker of a configuration."""
        environment = dict(self.environment)
        options = [*case.arguments(), "--threads", str(self.threads)]
        kernels = kernels_of(configuration)
        if kernels is not None:
            program = [sys.executable, "-P", "-m", "workers.gradcli"]
            options += ["--weights", str(self.weights / "resnet18.safetensors"), "--kernels", kernels]
            # As the command line has it: the threads are gradcli's own.
            environment.update(dict.fromkeys(BLAS_THREAD_VARIABLES, "1"))
        else:
            program = [self.pytorch_python, "-P", "-m", "workers.pytorch"]
            options += ["--weights", str(self.weights / "resnet18.pth")]
            if configuration == PYTORCH_CHANNELS_LAST:
                options.append("--channels-last")
        return Worker([*program, *options], environment)


@contextmanager
def prepared_setup(pytorch_python: str, threads: int) -> Iterator[Setup]:
    """Weights in a temporary folder and an environment for workers; exit with one line where a package is missing."""
    require_modules(sys.executable, ["gradcli"], "install it there, in a checkout with pip install -e .")
    require_modules(
        pytorch_python,
        ["torch", "safetensors", "numpy"],
        "this benchmark compares with PyTorch; install its CPU build there or name another Python: --pytorch-python",
    )
    environment = thread_environment(threads)
    # Workers import what lies beside this file, and the PyTorch model of the tests.
    folders = [str(HERE), str(HERE.parent / "tests"), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(folders)
    with tempfile.TemporaryDirectory() as weights:
        output_of([pytorch_python, str(HERE / "make_weights.py"), weights], environment)
        yield Setup(pytorch_python, environment, Path(weights), threads)


class TrainingWorkers:
    """Fresh workers of one case, by configuration. `libraries` says the version of each."""

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self._workers = workers
        self.libraries = {name: str(json.loads(worker.read())["library"]) for name, worker in workers.items()}
        self._calls = 1
        for _ in range(WARM_UP_TURNS):
            turns = {name: self.take_turn(name) for name in workers}
            require_same_work(turns)
        # The same number for all, so that training stays in step.
        self._calls = max(1, round(TURN_SECONDS / max(turn.seconds for turn in turns.values())))

    def take_turn(self, configuration: str, calls: int | None = None) -> Turn:
        """Have one worker take its turn, after a pause; of as many measured calls as usual, unless told."""
        time.sleep(SETTLE_SECONDS)
        return Turn(**json.loads(self._workers[configuration].ask(str(self._calls if calls is None else calls))))

    def in_turns(self, rounds: int) -> Iterator[str]:
        """Every configuration once in each round, in an order that is reversed from round to round.

        So no worker always follows the same other one.
        """
        for round_number in range(rounds):
            yield from list(self._workers)[:: -1 if round_number % 2 else 1]


@contextmanager
def training_workers(setup: Setup, case: TrainingCase, configurations: Sequence[str]) -> Iterator[TrainingWorkers]:
    """Start workers, warm them up and see that they compute the same; they end with the `with` block."""
    with ExitStack() as stack:
        yield TrainingWorkers({name: stack.enter_context(setup.start_worker(name, case)) for name in configurations})


def require_same_work(turns: Mapping[str, Turn]) -> None:
    """Exit unless the outputs of all configurations have the same mean magnitude."""
    magnitudes = {name: turn.mean_magnitude for name, turn in turns.items()}
    first, *others = magnitudes.values()
    # isclose() is False for NaN, which comparisons of minimum and maximum can miss.
    if not all(math.isclose(first, other, rel_tol=MAGNITUDE_TOLERANCE) for other in others):
        sys.exit(f"the configurations compute different things; mean magnitude of their outputs: {magnitudes}")


def median_and_minimum(turns: Sequence[Turn]) -> dict[str, float]:
    """The seconds that carry the goals, and the steadier ones of a busy machine."""
    seconds = [turn.seconds for turn in turns]
    return {"median": median(seconds), "minimum": min(seconds)}
