"""The report as one HTML page that loads nothing: text, charts, tables of their numbers, the graph, pictures."""

from __future__ import annotations

import base64

from gradcli.inspection.graphs.drawing import draw
from gradcli.inspection.graphs.labels import shapes_text
from gradcli.inspection.graphs.svg import svg_text
from gradcli.inspection.report.charts import bar_chart, histogram_chart, line_chart
from gradcli.inspection.report.content import ReportContent
from gradcli.inspection.report.markup import Markup, element, joined, numbers, table
from gradcli.inspection.report.style import GRAPH_SCRIPT, STYLE_SHEET
from gradcli.inspection.training_runs.history import RunHistory, as_number


def report_page(content: ReportContent) -> str:
    """The page as HTML5 text; it is readable without JavaScript, which only zooms the graph."""
    title = f"Gradients of {content.weights}"
    sections = [_overview(content)]
    if content.run is not None:
        sections.append(_run(content.run, content))
    sections += [_norms(content), _histograms(content), _saliency(content), _graph(content)]
    body = element(
        "main",
        element("header", element("h1", title), element("p", "Made by ", element("code", content.command))),
        *sections,
        element("footer", ", ".join(f"{name} {version}" for name, version in content.versions.items())),
    )
    head = joined(
        [
            Markup('<meta charset="utf-8">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup('<meta name="color-scheme" content="light dark">'),
            Markup('<link rel="icon" href="data:,">'),
            element("title", f"{title} - gradcli report"),
            element("style", Markup(STYLE_SHEET)),
        ]
    )
    script = element("script", Markup(GRAPH_SCRIPT))
    return f'<!DOCTYPE html>\n<html lang="en">{element("head", head)}{element("body", body, script)}</html>\n'


def _overview(content: ReportContent) -> Markup:
    total = content.total
    rows = [
        ("weights", content.weights),
        ("pass", f"{content.mode} mode, {content.kernels} kernels"),
        ("input", "x".join(map(str, content.images))),
        (f"loss ({content.loss_name})", content.loss),
        ("parameters", f"{content.parameters.trainable:,} trainable, {content.parameters.frozen:,} frozen"),
        ("gradient norm", total.norm),
        (f"update ratio at learning rate {content.lr:g}", total.update_ratio),
        ("zeros in gradients", f"{total.zeros:,} of {total.numel:,}"),
        ("numbers that are not finite", total.nonfinite),
    ]
    broken = [layer.name for layer in content.layers if layer.nonfinite]
    warning = [element("p", f"Not finite: gradients of {', '.join(broken)}.", class_="warning")] if broken else []
    return _section("One pass", *warning, table(["what", "value"], rows))


def _run(run: RunHistory, content: ReportContent) -> Markup:
    parts: list[Markup] = [element("p", f"{run.path}: {content.status}.")]
    if not run.epochs and not run.gradients:
        parts.append(element("p", "The run has no records yet."))
    if run.epochs:
        epochs = [float(record["epoch"]) for record in run.epochs]
        for identity, what in (("loss", "Loss"), ("accuracy", "Accuracy")):
            fields = [f"train_{identity}", f"val_{identity}"]
            series = {
                name: [as_number(record[field]) for record in run.epochs]
                for name, field in zip(("training", "validation"), fields, strict=True)
            }
            parts += [
                _chart(f"{what} by epoch", line_chart(f"run-{identity}", f"{what} by epoch", "epoch", epochs, series)),
                numbers(["epoch", *fields], zip((int(epoch) for epoch in epochs), *series.values(), strict=True)),
            ]
    if run.gradients:
        steps = [float(record["step"]) for record in run.gradients]
        losses = [as_number(record.get("loss")) for record in run.gradients]
        if any(loss is not None for loss in losses):
            chart = line_chart("run-step-loss", "Loss by step", "optimizer step", steps, {"training": losses}, log=True)
            parts += [
                _chart("Loss by step", chart),
                numbers(["step", "loss"], zip(map(int, steps), losses, strict=True)),
            ]
        for field, what in (("grad_norm", "Gradient norm"), ("update_ratio", "Update ratio")):
            of_layers = run.layer_series(field)
            last = [name for name in of_layers if of_layers[name][-1] is not None]
            largest = sorted(last, key=lambda name: -_sortable(of_layers[name][-1]))
            chosen = dict.fromkeys([*largest[:2], *largest[-1:]])
            series = {"all": [as_number(record[field]) for record in run.gradients]}
            series |= {name: of_layers[name] for name in chosen}
            parts += [
                _chart(
                    f"{what} by step",
                    line_chart(f"run-{field}", f"{what} by step", "optimizer step", steps, series, log=True),
                ),
                element(
                    "p", "All layers together, the two largest of the last record and the smallest.", class_="note"
                ),
                numbers(
                    ["step", "all", *of_layers],
                    zip((int(step) for step in steps), series["all"], *of_layers.values(), strict=True),
                ),
            ]
    return _section("The run", *parts)


def _chart(title: str, chart: Markup) -> Markup:
    return joined([element("h3", title), element("div", chart, class_="scroll")])


def _norms(content: ReportContent) -> Markup:
    norms = {layer.name: layer.norm for layer in content.layers}
    ratios = {layer.name: layer.update_ratio for layer in content.layers}
    rows = [
        (layer.name, layer.numel, layer.norm, layer.weight_norm, layer.update_ratio, layer.zero_share, layer.nonfinite)
        for layer in content.layers
    ]
    return _section(
        "Gradients by layer",
        _chart("Norm", bar_chart("norms", "Gradient norm by layer", "Euclidean norm", norms)),
        _chart(
            "Update ratio",
            bar_chart("ratios", "Update ratio by layer", f"{content.lr:g} * |gradient| / |weight|", ratios),
        ),
        element(
            "p",
            "The update ratio is by what share of their size one step of plain SGD moves a layer's weights.",
            class_="note",
        ),
        numbers(["layer", "numbers", "norm", "weight_norm", "update_ratio", "zero_share", "nonfinite"], rows),
    )


def _histograms(content: ReportContent) -> Markup:
    charts, rows = [], []
    for place, (name, counted) in enumerate(content.histograms.items()):
        charts.append(histogram_chart(f"histogram-{place}", name, counted.edges, counted.counts))
        rows += [
            (name, low, high, count)
            for low, high, count in zip(counted.edges, counted.edges[1:], counted.counts, strict=False)
        ]
    return _section(
        "How the gradients are distributed",
        element("p", "Magnitudes of the gradients' elements, zeros left out, in bins of equal ratios.", class_="note"),
        element("div", *charts, class_="charts"),
        numbers(["block", "from", "to", "count"], rows),
    )


def _saliency(content: ReportContent) -> Markup:
    if content.saliency is None:
        return _section("Saliency", element("p", "The input or its gradient is not finite."))
    shown = f"{', '.join(content.pictured)}: image and, to its right, saliency in red over it"
    data = base64.b64encode(content.saliency).decode("ascii")
    return _section(
        "Saliency",
        element("p", "How much each pixel matters to the loss: the largest magnitude of its channels' gradients."),
        element(
            "figure",
            Markup(element("img", src=f"data:image/png;base64,{data}", alt=shown).removesuffix("</img>")),
            element("figcaption", shown),
        ),
    )


def _graph(content: ReportContent) -> Markup:
    graph = content.graph
    rows = [
        (
            node.id,
            node.name,
            node.variable or node.module,
            shapes_text(node.shapes),
            node.saved_bytes,
            "yes" if node.frozen else "",
            "yes" if node.skipped else "",
        )
        for node in graph.nodes
    ]
    buttons = element(
        "p",
        *(element("button", text, type="button", data_zoom=factor) for text, factor in _ZOOMS),
        class_="zoom",
        hidden="",
    )
    return _section(
        "The recorded graph",
        element("p", f"From the input down to the loss; {graph.saved_bytes:,} bytes are kept for backward."),
        buttons,
        element("div", Markup(svg_text(draw(graph))), id="graph", tabindex="0", role="group", aria_label="Graph"),
        numbers(["node", "name", "of", "shapes", "saved bytes", "frozen", "skipped"], rows),
    )


_ZOOMS = (("Larger", "1.25"), ("Smaller", "0.8"), ("Fit", "0"), ("Full size", "1"))


def _section(heading: str, *content: str) -> Markup:
    return element("section", element("h2", heading), *content)


def _sortable(value: float | None) -> float:
    return -1.0 if value is None or value != value else value
