"""Names of a ResNet's tensors: what is recognised, the way there and back, and what is left unrecognised."""

from __future__ import annotations

import pytest

from gradcli.checkpoints.naming import WRITTEN_STYLES, names_in, recognise_naming
from gradcli.errors import WeightsError

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def resnet_names(blocks=(2, 2, 2, 2), convolutions=2, norm=NORM, head=True) -> list[str]:
    """Torchvision's names of a ResNet, in torchvision's order."""
    names = ["conv1.weight", *(f"bn1.{entry}" for entry in norm)]
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            for number in range(1, convolutions + 1):
                names.append(f"layer{stage}.{block}.conv{number}.weight")
                names += [f"layer{stage}.{block}.bn{number}.{entry}" for entry in norm]
            if block == 0 and (stage > 1 or convolutions == 3):
                names.append(f"layer{stage}.0.downsample.0.weight")
                names += [f"layer{stage}.0.downsample.1.{entry}" for entry in norm]
    return [*names, "fc.weight", "fc.bias"] if head else names


NAMES = resnet_names()
BACKBONE = resnet_names(head=False)
HUGGING_FACE = {
    "conv1.weight": "resnet.embedder.embedder.convolution.weight",
    "bn1.running_var": "resnet.embedder.embedder.normalization.running_var",
    "layer1.0.conv1.weight": "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight",
    "layer1.1.bn2.num_batches_tracked": "resnet.encoder.stages.0.layers.1.layer.1.normalization.num_batches_tracked",
    "layer3.1.bn1.bias": "resnet.encoder.stages.2.layers.1.layer.0.normalization.bias",
    "layer4.0.downsample.0.weight": "resnet.encoder.stages.3.layers.0.shortcut.convolution.weight",
    "layer2.0.downsample.1.running_mean": "resnet.encoder.stages.1.layers.0.shortcut.normalization.running_mean",
    "fc.weight": "classifier.1.weight",
    "fc.bias": "classifier.1.bias",
}


def prefixed(prefix: str, names=NAMES) -> list[str]:
    return [prefix + name for name in names]


# --- there and back ---------------------------------------------------------------------------------------------------


def test_hugging_face_names_of_a_resnet18():
    names = names_in("hf", NAMES)
    assert list(names) == NAMES
    assert len(set(names.values())) == len(NAMES) == 122
    assert {name: names[name] for name in HUGGING_FACE} == HUGGING_FACE
    assert all(name.startswith(("resnet.", "classifier.1.")) for name in names.values())


@pytest.mark.parity
def test_hugging_face_names_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic"
    )
    theirs = transformers.ResNetForImageClassification(config).state_dict()
    assert set(names_in("hf", NAMES).values()) == set(theirs)


@pytest.mark.parametrize("style", WRITTEN_STYLES)
@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        resnet_names(norm=NORM[:4]),
        BACKBONE,
        resnet_names((3, 4, 6, 3)),
        resnet_names((3, 4, 23, 3), 3),
    ],
    ids=["resnet18", "without num_batches_tracked", "without a head", "resnet34", "resnet101"],
)
def test_every_style_leads_back_to_the_same_names(style, names):
    written = names_in(style, names)
    naming = recognise_naming(written.values())
    assert naming.style == ("hf" if style == "hf" else "torchvision")
    assert naming.prefix == ""
    assert (naming.unrecognised, naming.other_head, naming.training_only) == ((), (), ())
    assert naming.name_of == {new: name for name, new in written.items()}
    assert names_in(style, naming.name_of.values()) == written


@pytest.mark.parametrize("style", ["torchvision", "timm"])
def test_names_of_timm_are_those_of_torchvision(style):
    assert names_in(style, NAMES) == {name: name for name in NAMES}


def test_names_that_no_rule_knows_stay():
    names = ["conv1.weight", "conv1.bias", "layer5.0.conv1.weight", "layer01.0.conv1.weight", "layer1.0.conv4.weight"]
    assert list(names_in("hf", names).values()) == [HUGGING_FACE["conv1.weight"], *names[1:]]


def test_names_with_a_prefix_are_not_torchvisions():
    assert names_in("hf", ["module.conv1.weight"]) == {"module.conv1.weight": "module.conv1.weight"}


def test_two_names_never_become_one():
    with pytest.raises(WeightsError) as caught:
        names_in("hf", ["classifier.1.bias", "fc.bias"])
    assert str(caught.value) == "classifier.1.bias and fc.bias would both be named classifier.1.bias"


def test_a_style_that_there_is_not():
    with pytest.raises(ValueError, match="style 'keras': must be one of torchvision, timm, hf"):
        names_in("keras", NAMES)


# --- prefixes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "backbone.",
        "encoder.",
        "model.",
        "net.",
        "network.",
        "_orig_mod.",
        "resnet.",
        "feature_extractor.",
        "image_encoder.",
        "module.encoder_q.",
        "module.module._orig_mod.backbone.",
    ],
)
@pytest.mark.parametrize("style", ["torchvision", "hf"])
def test_prefixes_of_wrappers(style, prefix):
    names = prefixed(prefix, names_in(style, NAMES).values())
    naming = recognise_naming(names)
    assert (naming.style, naming.prefix, naming.unrecognised) == (style, prefix, ())
    assert list(naming.name_of) == names
    assert list(naming.name_of.values()) == NAMES


def test_hugging_face_names_without_a_head_lack_the_prefix():
    names = [name.removeprefix("resnet.") for name in names_in("hf", BACKBONE).values()]
    naming = recognise_naming(names)
    assert (naming.style, naming.prefix, naming.unrecognised) == ("hf", "", ())
    assert list(naming.name_of.values()) == BACKBONE


def test_a_prefix_that_no_wrapper_writes_is_not_taken_off():
    names = prefixed("student.")
    naming = recognise_naming(names)
    assert (naming.style, naming.prefix, naming.name_of) == ("unknown", "", {})
    assert naming.unrecognised == tuple(names)


# --- heads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "head"),
    [
        ("backbone.", "fc"),
        ("backbone.", "head"),
        ("backbone.", "classifier"),
        ("encoder.", "linear"),
        ("encoder.", "classifier.1"),
        ("module.backbone.", "module.head"),
        ("module.backbone.", "head.fc"),
        ("model.backbone.", "model.backbone.fc.1"),
        ("", "fc.1"),
        ("", "head"),
    ],
)
def test_a_classifier_elsewhere_is_taken_as_the_head(prefix, head):
    names = [*prefixed(prefix, BACKBONE), f"{head}.weight", f"{head}.bias"]
    naming = recognise_naming(names)
    assert (naming.style, naming.prefix) == ("torchvision", prefix)
    assert (naming.unrecognised, naming.other_head) == ((), ())
    assert list(naming.name_of.values()) == NAMES
    assert naming.name_of[f"{head}.weight"] == "fc.weight"


def test_a_head_without_bias_is_a_head():
    naming = recognise_naming([*prefixed("backbone.", BACKBONE), "head.weight"])
    assert naming.name_of["head.weight"] == "fc.weight"
    assert "fc.bias" not in naming.name_of.values()


@pytest.mark.parametrize(
    "head",
    [
        ["fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"],
        ["head.weight", "classifier.weight"],
        ["classifier.mlp.weight"],
    ],
)
def test_a_classifier_that_is_not_one_linear_layer_is_named_and_not_taken(head):
    naming = recognise_naming([*BACKBONE, *head])
    assert naming.other_head == tuple(head)
    assert naming.unrecognised == ()
    assert list(naming.name_of.values()) == BACKBONE


def test_beside_a_head_of_its_own_another_is_unrecognised():
    naming = recognise_naming([*prefixed("backbone."), "head.weight"])
    assert (naming.other_head, naming.unrecognised) == ((), ("head.weight",))
    assert naming.name_of["backbone.fc.weight"] == "fc.weight"


def test_of_two_heads_that_would_have_one_name_none_is_chosen():
    assert recognise_naming([*prefixed("backbone."), "fc.weight"]).style == "unknown"


# --- what is not part of the network ----------------------------------------------------------------------------------


def test_the_query_encoder_of_moco_and_what_was_beside_it():
    beside = [*prefixed("module.encoder_k."), "module.queue", "module.queue_ptr"]
    naming = recognise_naming([*prefixed("module.encoder_q."), *beside])
    assert (naming.style, naming.prefix) == ("torchvision", "module.encoder_q.")
    assert list(naming.name_of.values()) == NAMES
    assert naming.training_only == tuple(beside)
    assert naming.unrecognised == ()


def test_projections_of_self_supervised_training():
    beside = ["projection_head.layers.0.weight", "backbone.projector.0.weight", "predictor.weight"]
    naming = recognise_naming([*prefixed("backbone.", BACKBONE), *beside, "projection.weight"])
    assert naming.training_only == tuple(beside)
    assert naming.unrecognised == ("projection.weight",)


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("module.", ["n_averaged"]),
        ("model.", ["loss_fn.weight", "train_acc.tp", "val_metrics.MulticlassAccuracy.fp", "test_f1.tp"]),
        ("backbone.", ["criterion.weight", "accuracy.confmat", "momentum_backbone.conv1.weight"]),
        ("online_encoder.", ["target_encoder.conv1.weight", "online_predictor.0.weight"]),
        ("", ["module.encoder_k.layer1.0.conv1.weight", "queue"]),
    ],
    ids=["AveragedModel", "loss and metrics", "another criterion", "BYOL", "MoCo, once it was renamed"],
)
def test_what_a_training_keeps_beside_the_network(prefix, beside):
    naming = recognise_naming([*prefixed(prefix), *beside])
    assert (naming.style, naming.prefix) == ("torchvision", prefix)
    assert list(naming.name_of.values()) == NAMES
    assert (naming.training_only, naming.unrecognised) == (tuple(beside), ())


def test_of_several_networks_the_prefixes_are_named():
    assert recognise_naming([*prefixed("net."), *prefixed("online_encoder.net.")]).networks == (
        "net.",
        "online_encoder.net.",
    )
    assert recognise_naming(NAMES).networks == ()


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["conv1.weight", "bn1.weight", "fc.weight", "fc.bias"],
        ["features.0.weight", "classifier.1.weight"],
        [*NAMES, *prefixed("module.")],
        [*prefixed("backbone."), *prefixed("encoder.")],
        [*NAMES, *names_in("hf", NAMES).values()],
        [name.replace("layer", "Layer") for name in NAMES],
    ],
    ids=["nothing", "no blocks", "another network", "twice", "two networks", "both styles", "upper case"],
)
def test_files_that_are_no_single_resnet(names):
    naming = recognise_naming(names)
    assert (naming.style, naming.prefix, naming.name_of) == ("unknown", "", {})
    assert naming.unrecognised == tuple(names)


def test_names_of_parts_that_only_variants_have():
    naming = recognise_naming([*prefixed("module."), "module.layer1.0.se.fc1.weight", "module.conv1.0.weight", "step"])
    assert naming.unrecognised == ("module.layer1.0.se.fc1.weight", "module.conv1.0.weight", "step")
    assert naming.torchvision_name("module.conv1.0.weight") == "conv1.0.weight"
    assert naming.torchvision_name("module.fc.bias") == "fc.bias"
    assert naming.torchvision_name("step") == "step"


@pytest.mark.parametrize(
    "name", ["module." * 50_000, "a" * 1_000_000, "layer1." + "9" * 100_000 + ".conv1.weight", "layer1.٢.conv1.weight"]
)
def test_names_made_to_be_a_burden_are_unrecognised(name):
    assert recognise_naming([*NAMES, name]).unrecognised == (name,)
