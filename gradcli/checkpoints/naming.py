"""What the tensors of a ResNet are called: torchvision's names, Hugging Face's, and the prefixes that wrappers add.

Everything rests on one table of rules, read in both directions. timm's names are torchvision's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal, NamedTuple, get_args

from gradcli.checkpoints.quoting import quoted_if_odd
from gradcli.errors import WeightsError

Style = Literal["torchvision", "hf", "unknown"]

WrittenStyle = Literal["torchvision", "timm", "hf"]
WRITTEN_STYLES: Final = get_args(WrittenStyle)
"""The styles that `names_in` writes."""

# Torchvision's name and that of transformers' ResNetForImageClassification. {stage} and {conv} count from 1 in the
# first and from 0 in the second; {block} counts from 0 in both; {norm} is an entry of a batch norm, {linear} of a
# linear layer. ResNetModel, which has no head, saves the second without its `resnet.`.
_RULES: Final = (
    ("conv1.weight", "resnet.embedder.embedder.convolution.weight"),
    ("bn1.{norm}", "resnet.embedder.embedder.normalization.{norm}"),
    (
        "layer{stage}.{block}.conv{conv}.weight",
        "resnet.encoder.stages.{stage}.layers.{block}.layer.{conv}.convolution.weight",
    ),
    (
        "layer{stage}.{block}.bn{conv}.{norm}",
        "resnet.encoder.stages.{stage}.layers.{block}.layer.{conv}.normalization.{norm}",
    ),
    (
        "layer{stage}.{block}.downsample.0.weight",
        "resnet.encoder.stages.{stage}.layers.{block}.shortcut.convolution.weight",
    ),
    (
        "layer{stage}.{block}.downsample.1.{norm}",
        "resnet.encoder.stages.{stage}.layers.{block}.shortcut.normalization.{norm}",
    ),
    ("fc.{linear}", "classifier.1.{linear}"),
)
_FROM_ONE: Final = {"stage": "[1-4]", "conv": "[1-3]"}
_FROM_ZERO: Final = {"stage": "[0-3]", "conv": "[0-2]"}
_OTHER_FIELDS: Final = {
    "block": "0|[1-9][0-9]?",
    "norm": "weight|bias|running_mean|running_var|num_batches_tracked",
    "linear": "weight|bias",
}

# What wrappers put before every name of the network they hold; `encoder_q` is MoCo's query encoder, `online_encoder`
# BYOL's.
_PREFIXES: Final = (
    "module.",
    "model.",
    "_orig_mod.",
    "backbone.",
    "encoder.",
    "encoder_q.",
    "online_encoder.",
    "image_encoder.",
    "feature_extractor.",
    "resnet.",
    "network.",
    "net.",
)
_PREFIX: Final = re.compile("|".join(map(re.escape, _PREFIXES)))

# A classifier under another name than `fc`, beside the backbone or in it; the number is its place in a Sequential.
_ONE_LAYER_HEAD: Final = re.compile(r"((?:fc|head|classifier|linear)(?:\.fc)?(?:\.[0-9])?)\.(weight|bias)")
_HEAD: Final = re.compile(r"(fc|head|classifier|linear)\.")

# What a training keeps beside the network: of self-supervision the momentum encoder, MoCo's queue and projections of
# features, of Lightning the loss and the metrics, of torch.optim.swa_utils.AveragedModel its counter.
_TRAINING_ONLY: Final = re.compile(
    rf"(?:{_PREFIX.pattern})*"
    r"(?:encoder_k|target_encoder|target_network|teacher|momentum_[a-z_]+"
    r"|projector|projection_head|predictor|prediction_head|online_projector|online_predictor|queue|queue_ptr"
    r"|criterion|loss|loss_fn|loss_function|n_averaged"
    r"|(?:train|val|valid|test)_[a-z0-9_]+|(?:[a-z0-9_]+_)?(?:accuracy|acc|metric|metrics))(?:\.|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Naming:
    """How the tensors of one file are named, as far as the rules of a ResNet go.

    `style` is "unknown" where no block of a ResNet was recognised, or where more than one network was. `prefix` is
    what stands before the network's names. `name_of` maps the names in the file to torchvision's, for those that a rule
    knows. Of the others, `other_head` are those of a classifier that is more than one linear layer, `training_only`
    those that a training keeps beside the network, such as a momentum encoder or metrics, and `unrecognised` the rest.
    `networks` are the prefixes of the networks that were recognised, where they are several.
    """

    style: Style
    prefix: str = ""
    name_of: dict[str, str] = field(default_factory=dict)
    unrecognised: tuple[str, ...] = ()
    other_head: tuple[str, ...] = ()
    training_only: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    def torchvision_name(self, name: str) -> str:
        """Torchvision's name for a name in the file; where no rule knows it, the name itself without the prefix."""
        return self.name_of.get(name) or name.removeprefix(self.prefix)


class _Match(NamedTuple):
    style: Style
    prefix: str
    torchvision_name: str


def recognise_naming(names: Iterable[str]) -> Naming:
    """The naming style of a file, told from the names of its tensors alone.

    A classifier that stands beside the backbone (`backbone.conv1.weight` … `head.weight`), or as the only linear layer
    of a `Sequential` (`fc.1.weight`), is taken as the network's `fc` if there is just one and no `fc` of its own.
    """
    names = list(dict.fromkeys(names))
    networks: dict[tuple[Style, str], dict[str, str]] = defaultdict(dict)
    for name in names:
        if match := _match(name):
            networks[match.style, match.prefix][name] = match.torchvision_name
    networks = {key: found for key, found in networks.items() if any(map(_in_a_block, found.values()))}
    if len(networks) != 1:
        several = tuple(prefix for _, prefix in networks)
        return Naming("unknown", unrecognised=tuple(names), networks=several)
    [((style, prefix), name_of)] = networks.items()
    if not any(name.startswith("fc.") for name in name_of.values()):
        name_of |= _one_layer_head(names, prefix)
    rest = [name for name in names if name not in name_of]
    if not set(name_of.values()).isdisjoint(rest):
        # A `fc.weight` beside the `fc` of the backbone, say: which of them is meant, nobody can tell.
        return Naming("unknown", unrecognised=tuple(names))
    headless = not any(name.startswith("fc.") for name in name_of.values())
    other_head = [name for name in rest if headless and _starts_with(_HEAD, name, prefix)]
    training_only = [name for name in rest if _TRAINING_ONLY.match(name)]
    explained = {*other_head, *training_only}
    return Naming(
        style,
        prefix,
        {name: name_of[name] for name in names if name in name_of},
        tuple(name for name in rest if name not in explained),
        tuple(other_head),
        tuple(training_only),
    )


def names_in(style: str, names: Iterable[str]) -> dict[str, str]:
    """The names that torchvision's `names` have in a style of `WRITTEN_STYLES`; a name that no rule knows stays.

    Hugging Face's are those of `ResNetForImageClassification`. WeightsError if two names would become one.
    """
    if style not in WRITTEN_STYLES:
        raise ValueError(f"style {style!r}: must be one of {', '.join(WRITTEN_STYLES)}")
    written = {name: _hugging_face_name(name) if style == "hf" else name for name in names}
    first: dict[str, str] = {}
    for name, new in written.items():
        if first.setdefault(new, name) != name:
            both = f"{quoted_if_odd(first[new])} and {quoted_if_odd(name)}"
            raise WeightsError(f"{both} would both be named {quoted_if_odd(new)}")
    return written


def _match(name: str) -> _Match | None:
    for pattern, _ in _torchvision_patterns():
        if match := pattern.fullmatch(name):
            return _Match("torchvision", match["prefix"], name[match.end("prefix") :])
    for pattern, torchvision in _hugging_face_patterns():
        if match := pattern.fullmatch(name):
            return _Match("hf", match["prefix"], _filled(torchvision, match, +1))
    return None


def _hugging_face_name(name: str) -> str:
    for pattern, hugging_face in _torchvision_patterns():
        if (match := pattern.fullmatch(name)) and not match["prefix"]:
            return _filled(hugging_face, match, -1)
    return name


# Apart, since to compile those of a style takes longer than most files' names take to match.
@cache
def _torchvision_patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The torchvision side of each rule as a pattern, and the other side."""
    return tuple((_compiled(torchvision, _FROM_ONE), hugging_face) for torchvision, hugging_face in _RULES)


@cache
def _hugging_face_patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Hugging Face's side of each rule as a pattern, and the other side."""
    return tuple((_compiled(hugging_face, _FROM_ZERO), torchvision) for torchvision, hugging_face in _RULES)


def _compiled(template: str, numbers: dict[str, str]) -> re.Pattern[str]:
    text = re.escape(template.removeprefix("resnet."))
    for name, values in (numbers | _OTHER_FIELDS).items():
        text = text.replace(rf"\{{{name}\}}", f"(?P<{name}>{values})")
    optional = r"(?:resnet\.)?" if template.startswith("resnet.") else ""
    return re.compile(rf"(?P<prefix>(?:{_PREFIX.pattern})*?){optional}{text}")


def _filled(template: str, match: re.Match[str], offset: int) -> str:
    counted = {name: str(int(value) + offset) for name, value in match.groupdict().items() if name in _FROM_ONE}
    return template.format(**(match.groupdict() | counted))


def _in_a_block(torchvision_name: str) -> bool:
    return torchvision_name.startswith("layer")


def _one_layer_head(names: list[str], prefix: str) -> dict[str, str]:
    """The one linear layer that can only be the classifier, as entries of `name_of`; none where there are several."""
    heads: dict[str, dict[str, str]] = defaultdict(dict)
    for outer in _outer_prefixes(prefix):
        for name in names:
            if name.startswith(outer) and (match := _ONE_LAYER_HEAD.fullmatch(name, len(outer))):
                heads[outer + match[1]][name] = f"fc.{match[2]}"
    if len(heads) != 1:
        return {}
    [head] = heads.values()
    return head if "fc.weight" in head.values() else {}


def _outer_prefixes(prefix: str) -> list[str]:
    """The prefix and every shorter one: `module.backbone.`, `module.`, nothing."""
    ends = [0, *(match.end() for match in _PREFIX.finditer(prefix))]
    return [prefix[:end] for end in reversed(ends)]


def _starts_with(pattern: re.Pattern[str], name: str, prefix: str) -> bool:
    """Whether the pattern stands at the start of the name, after the prefix or a shorter one."""
    return any(
        name.startswith(outer) and pattern.match(name, len(outer)) is not None for outer in _outer_prefixes(prefix)
    )
