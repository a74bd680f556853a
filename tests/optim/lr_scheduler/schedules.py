"""A schedule of each kind, made alike by gradcli's library and PyTorch's, and runs that tell what rates they set."""

from __future__ import annotations

from typing import Any

SCHEDULES = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda epoch: 0.95**epoch, lambda epoch: 1 / (1 + epoch)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, [lambda epoch: 0.95, lambda epoch: 0.9]),
    "step": lambda s, o: s.StepLR(o, 7, 0.3),
    "multi-step": lambda s, o: s.MultiStepLR(o, [5, 9, 9, 60], 0.3),
    "constant": lambda s, o: s.ConstantLR(o, 0.3, 8),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 0.7, 33),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 90),
    "cosine-again": lambda s, o: s.CosineAnnealingLR(o, 17, 0.001),
    "warm-restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 7),
    "longer-restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 7, 2, 0.001),
    "polynomial": lambda s, o: s.PolynomialLR(o, 60, 0.9),
    "one-cycle": lambda s, o: s.OneCycleLR(o, [0.5, 0.2], 100),
    "one-cycle-three-phases": lambda s, o: s.OneCycleLR(
        o, 0.5, epochs=10, steps_per_epoch=10, three_phase=True, anneal_strategy="linear", base_momentum=[0.7, 0.8]
    ),
    "one-cycle-of-rates": lambda s, o: s.OneCycleLR(o, 0.5, 100, pct_start=0.1, cycle_momentum=False),
    "warm-up-cosine": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1.0, 10), s.CosineAnnealingLR(o, 70), s.ExponentialLR(o, 0.9)], [10, 80]
    ),
    "constant-restarts": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 10), s.CosineAnnealingWarmRestarts(o, 9, 2)], [10]
    ),
    "step-polynomial": lambda s, o: s.SequentialLR(
        o, [s.StepLR(o, 2), s.MultiStepLR(o, [3, 6]), s.PolynomialLR(o, 50)], [10, 20]
    ),
    "chained": lambda s, o: s.ChainedScheduler([s.LinearLR(o, 0.1, 1.0, 10), s.CosineAnnealingLR(o, 90)]),
    "chained-sequence": lambda s, o: s.ChainedScheduler(
        [s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 10), s.ConstantLR(o, 1.0)], [10]), s.ExponentialLR(o, 0.97)]
    ),
}
"""How each is made: called with the module `lr_scheduler` and an optimizer of two groups."""


def optimizer_of(library: Any, kind: str = "SGD") -> Any:
    """An optimizer with two groups of different learning rates."""
    first, second = (library.nn.Parameter(library.ones(1)) for _ in range(2))
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return getattr(library.optim, kind)([{"params": [first]}, {"params": [second], "lr": 0.03}], lr=0.1, **options)


def rates_of(optimizer: Any) -> list[Any]:
    """What a schedule may set, of each group."""
    return [(group["lr"], group.get("momentum"), *group.get("betas", ())) for group in optimizer.param_groups]


def run(optimizer: Any, scheduler: Any, steps: int) -> list[Any]:
    """The rates before each of some steps."""
    rates = []
    for _ in range(steps):
        rates.append([*rates_of(optimizer), *scheduler.get_last_lr()])
        optimizer.step()
        scheduler.step()
    return rates
