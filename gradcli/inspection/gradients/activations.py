"""What each module of the network gives in a pass, and the gradient of that."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from functools import partial

from gradcli.autograd import Tensor
from gradcli.inspection.gradients.collection import Gradients, gradients_of_pass
from gradcli.inspection.module_calls import recorded_module_calls
from gradcli.kernels.policy import using_kernels
from gradcli.kernels.statistics import Array
from gradcli.training.freezing import match_names
from gradcli.training.passes import Pass, overflow_allowed, record_loss

GRADIENT_SUFFIX = ".grad"
"""Behind a module's name: the gradient of what it gave."""


def collect_activations(run: Pass, patterns: Sequence[str] = ()) -> Gradients:
    """The outputs of modules in the order of the pass, each followed by its gradient: `bn1` and `bn1.grad`.

    Of the modules that any pattern matches, of all without patterns. A module that is called more than once has its
    calls numbered, `relu#1` and `relu#2`; a result that several modules give (a block gives what its last ReLU gave)
    has the name of the innermost. The gradients of parameters are not computed. An output that no gradient reaches is
    in `unreached`.

    A pattern means modules, all calls of each (`layer1.*`), single calls (`layer1.0.relu#1`), or gradients alone
    (`*.grad`). UsageError for one without match.
    """
    for parameter in run.model.parameters():
        parameter.requires_grad = False
    run.data.requires_grad = True
    found: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    start = time.perf_counter()
    with overflow_allowed(), using_kernels(run.settings.kernels):
        with recorded_module_calls(run.model, keep_results=True) as calls:
            _, loss = record_loss(run)
        results = {calls.place(node): result for node, result in calls.results.items()}
        chosen = _chosen(list(results), patterns)
        for name, result in results.items():
            if name in chosen or name + GRADIENT_SUFFIX in chosen:
                outputs[name] = result
                result.register_hook(partial(found.__setitem__, name))
        loss.backward()
        seconds = time.perf_counter() - start
        arrays: dict[str, Array] = {}
        for name, output in outputs.items():
            if name in chosen:
                arrays[name] = output.detach().array
            if name in found and name + GRADIENT_SUFFIX in chosen:
                arrays[name + GRADIENT_SUFFIX] = found[name].detach().array
    return dataclasses.replace(
        gradients_of_pass(run, loss.item(), seconds, names=[]),
        arrays=arrays,
        parameters={},
        unreached=[
            gradient for name in outputs if name not in found and (gradient := name + GRADIENT_SUFFIX) in chosen
        ],
    )


def _chosen(labels: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """The names of outputs, and of their gradients, that the patterns mean; `labels` are those of all outputs."""
    meant: dict[str, list[str]] = {label: [label, label.partition("#")[0]] for label in labels}
    meant |= {label + GRADIENT_SUFFIX: [*names, label + GRADIENT_SUFFIX] for label, names in meant.items()}
    if not patterns:
        return set(meant)
    names = list(dict.fromkeys(name for names in meant.values() for name in names))
    advice = "`gradcli summary` lists the modules"
    matched = {
        name
        for pattern in patterns
        for name in match_names(pattern, names, option="--param", called="output of a module", advice=advice)
    }
    return {name for name, names in meant.items() if matched.intersection(names)}
