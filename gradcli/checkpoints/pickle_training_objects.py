"""What training frameworks keep beside their weights, as objects that hold values and do nothing.

Each name is on the list because files in use name it and its objects are settings or statistics: nothing of theirs is
needed for the tensors. Dictionaries of every make are plain ones, so that what they hold can be read.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

from gradcli.checkpoints.pickle_objects import Constructor, Entries, Name, Record, entries_of, record_of


def _attribute(owner: Any, name: Any) -> Record:
    """What a pickle calls to name a function inside a class. Nothing is looked up."""
    if not isinstance(owner, Name | Constructor) or type(name) is not str:
        raise ValueError(f"refuses to run getattr on a {type(owner).__name__}")
    return Record(f"{owner.name}.{name}")


def _dictionary(*arguments: Any) -> Entries:
    """The entries of a dictionary, if there is one, or of what is given as pairs; others follow in the pickle."""
    return entries_of(arguments[0] if len(arguments) == 1 and type(arguments[0]) is dict else arguments)


def _text(text: Any = "") -> str:
    if type(text) is not str:
        raise ValueError(f"text is made of a {type(text).__name__}")
    return text


# Only mentioned, as keys (callbacks), as the class of settings, or as the owner of a function.
_NAMES: Final = {
    "builtins": ("Ellipsis", "NotImplemented", "object"),
    "__builtin__": ("Ellipsis", "NotImplemented", "object"),
    "typing": ("Any",),
    "mmengine.logging.history_buffer": tuple(f"HistoryBuffer.{method}" for method in ("current", "max", "mean", "min")),
    # A learning rate's schedule by an older PyTorch holds functions of its class.
    "torch.optim.lr_scheduler": (
        "CyclicLR",
        "CyclicLR._exp_range_scale_fn",
        "CyclicLR._triangular2_scale_fn",
        "CyclicLR._triangular_scale_fn",
        "OneCycleLR",
        "OneCycleLR._annealing_cos",
        "OneCycleLR._annealing_linear",
    ),
    "torch": (
        "channels_last",
        "channels_last_3d",
        "contiguous_format",
        "per_channel_affine",
        "per_tensor_affine",
        "per_tensor_symmetric",
        "preserve_format",
    ),
    "numpy": ("bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"),
}
_RECORDS: Final = {
    "torch._C": ("Generator",),
    "random": ("Random",),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "types": ("SimpleNamespace",),
    "uuid": ("UUID",),
    "numpy.random": ("__RandomState_ctor",),
    "numpy.random._pickle": ("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"),
    "numpy.random.bit_generator": ("SeedSequence", "__pyx_unpickle_SeedSequence"),
    "torchvision.transforms.functional": ("InterpolationMode",),
    "mmengine.logging.history_buffer": ("HistoryBuffer",),
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": (
        "AnyNode",
        "BooleanNode",
        "BytesNode",
        "FloatNode",
        "IntegerNode",
        "PathNode",
        "StringNode",
    ),
}
# The classes of NumPy's random bits are named as such, and their states are set on what is made of them.
_BIT_GENERATORS: Final = {"_mt19937": "MT19937", "_pcg64": "PCG64", "_philox": "Philox", "_sfc64": "SFC64"}
_DICTIONARIES: Final = {
    "addict.addict": ("Dict",),
    "easydict": ("EasyDict",),
    "mmcv.utils.config": ("ConfigDict",),
    "mmengine.config.config": ("ConfigDict",),
    "yacs.config": ("CfgNode",),
}
# Lightning under the names it has had, with what its files hold.
_LIGHTNING: Final = ("pytorch_lightning", "lightning.pytorch")
_ATTRIBUTE_DICTIONARIES: Final = (
    *(f"{root}.utilities.parsing" for root in _LIGHTNING),
    "lightning_fabric.utilities.data",
    "lightning.fabric.utilities.data",
)
_CALLBACKS: Final = {
    "early_stopping": ("EarlyStopping",),
    "finetuning": ("BackboneFinetuning", "BaseFinetuning"),
    "gradient_accumulation_scheduler": ("GradientAccumulationScheduler",),
    "lr_monitor": ("LearningRateMonitor",),
    "model_checkpoint": ("ModelCheckpoint",),
    "stochastic_weight_avg": ("StochasticWeightAveraging",),
    "timer": ("Timer",),
}

TRAINING_GLOBALS: Final[dict[tuple[str, str], Any]] = {
    **{(module, name): Name(f"{module}.{name}") for module, names in _NAMES.items() for name in names},
    **{(module, name): record_of(f"{module}.{name}") for module, names in _RECORDS.items() for name in names},
    **{
        (f"numpy.random.{module}", name): record_of(f"numpy.random.{module}.{name}")
        for module, name in _BIT_GENERATORS.items()
    },
    **{
        (module, name): Constructor(f"{module}.{name}", _dictionary)
        for module, names in _DICTIONARIES.items()
        for name in names
    },
    **{
        (module, "AttributeDict"): Constructor(f"{module}.AttributeDict", _dictionary)
        for module in _ATTRIBUTE_DICTIONARIES
    },
    **{
        (f"{root}.callbacks.{module}", name): Name(f"{root}.callbacks.{module}.{name}")
        for root, (module, names) in itertools.product(_LIGHTNING, _CALLBACKS.items())
        for name in names
    },
    **{(module, "getattr"): Constructor("getattr", _attribute) for module in ("builtins", "__builtin__")},
    ("torch.torch_version", "TorchVersion"): Constructor("torch.torch_version.TorchVersion", _text),
}
