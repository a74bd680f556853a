"""What a report tells: a pass's gradients by layer, their distribution, the recorded graph, saliency, and a run."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradcli import __version__
from gradcli.inspection.gradients.collection import INPUT_NAME, collect_gradients
from gradcli.inspection.gradients.grouping import grouped, groups_of_parameters
from gradcli.inspection.gradients.histogram import Histogram, histogram
from gradcli.inspection.gradients.saliency import saliency_of, saliency_picture
from gradcli.inspection.gradients.statistics import GroupRecord, group_records, total_record
from gradcli.inspection.graphs.collapse import collapse
from gradcli.inspection.graphs.model_graph import record_model_graph
from gradcli.inspection.graphs.recorded import RecordedGraph
from gradcli.inspection.training_runs.history import RunHistory, RunStatus
from gradcli.training.freezing import ParameterCount, count_parameters, require_trainable
from gradcli.training.passes import Pass

BINS = 30
MOST_PICTURES = 12


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything that stands in a report; `run` and `status` are None without a run.

    `histograms` are of magnitudes, of each block of the network and of the whole. `saliency` is a PNG file of the first
    images, None where a gradient of the input is not finite.
    """

    command: str
    versions: Mapping[str, str]
    weights: str
    mode: str
    kernels: str
    images: tuple[int, ...]
    loss_name: str
    loss: float
    lr: float
    parameters: ParameterCount
    total: GroupRecord
    layers: list[GroupRecord]
    histograms: Mapping[str, Histogram]
    graph: RecordedGraph
    depth: int
    saliency: bytes | None
    pictured: list[str]
    run: RunHistory | None
    status: RunStatus | None


def collect_report(
    prepared: Pass,
    *,
    command: str,
    lr: float,
    depth: int,
    run: RunHistory | None = None,
    status: RunStatus | None = None,
) -> ReportContent:
    """Run a forward and a backward pass, record its graph, and gather what a report tells.

    `command` is the line that asked for it, `lr` that of the update ratios, `depth` how deep modules are shown in the
    graph. UsageError where everything is frozen. What is not finite is part of a report, not refused.
    """
    require_trainable(prepared.model, "there is no gradient")
    gradients = collect_gradients(prepared, wrt_input=True)
    prepared.data.requires_grad = False  # the graph is that of training
    records = group_records(gradients, groups_of_parameters(prepared.model, "layer"), lr)
    arrays = {name: array for name, array in gradients.arrays.items() if name != INPUT_NAME}
    blocks = grouped(arrays, groups_of_parameters(prepared.model, "block"))
    images = prepared.data.array[:MOST_PICTURES]
    saliency = saliency_of(gradients.arrays[INPUT_NAME][:MOST_PICTURES])
    is_finite = bool(np.isfinite(saliency).all() and np.isfinite(images).all())
    recorded = record_model_graph(prepared)
    return ReportContent(
        command=command,
        versions={"gradcli": __version__, "numpy": np.__version__, "python": platform.python_version()},
        weights=gradients.weights,
        mode=gradients.mode,
        kernels=gradients.kernels,
        images=tuple(prepared.data.shape),
        loss_name=prepared.settings.loss,
        loss=gradients.loss,
        lr=lr,
        parameters=count_parameters(prepared.model.parameters()),
        total=total_record(gradients, lr),
        layers=[record for record in records if record.name != INPUT_NAME],
        histograms={
            name: histogram(group, BINS, log_scale=True)
            for name, group in {"all parameters": list(arrays.values()), **blocks}.items()
        },
        graph=collapse(recorded.graph, depth),
        depth=depth,
        saliency=saliency_picture(images, saliency) if is_finite else None,
        pictured=prepared.names[:MOST_PICTURES],
        run=run,
        status=status,
    )
