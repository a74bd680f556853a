"""What each module of the network gives in a pass, and the gradient of that."""

from __future__ import annotations

import dataclasses
import time
from functools import partial

from gradcli.autograd import Tensor
from gradcli.inspection.gradients.collection import Gradients, gradients_of_pass
from gradcli.inspection.module_calls import recorded_module_calls
from gradcli.kernels.policy import using_kernels
from gradcli.kernels.statistics import Array
from gradcli.training.passes import Pass, overflow_allowed, record_loss

GRADIENT_SUFFIX = ".grad"
"""Behind a module's name: the gradient of what it gave."""


def collect_activations(run: Pass) -> Gradients:
    """The outputs of the modules in the order of the pass, each followed by its gradient: `bn1` and `bn1.grad`.

    A module that is called more than once has its calls numbered, `relu#1` and `relu#2`; a result that several modules
    give (a block gives what its last ReLU gave) has the name of the innermost. The gradients of parameters are not
    computed. An output that no gradient reaches is in `unreached`.
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
        for node, result in calls.results.items():
            name = calls.place(node)
            outputs[name] = result
            result.register_hook(partial(found.__setitem__, name))
        loss.backward()
        seconds = time.perf_counter() - start
        arrays: dict[str, Array] = {}
        for name, output in outputs.items():
            arrays[name] = output.detach().array
            if name in found:
                arrays[name + GRADIENT_SUFFIX] = found[name].detach().array
    return dataclasses.replace(
        gradients_of_pass(run, loss.item(), seconds, names=[]),
        arrays=arrays,
        parameters={},
        unreached=[name + GRADIENT_SUFFIX for name in outputs if name not in found],
    )
