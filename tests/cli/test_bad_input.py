"""Bad input to the commands of a pass: one line that names the culprit, the contract's exit code, nothing left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcli.checkpoints import load_checkpoint, save_safetensors

Run = Callable[..., Any]
HEAD = "shape (2, 10)"

# Words in capitals are files that the fixture below writes.
CASES = [
    # weights
    ("step -w none.safetensors", 4, "none.safetensors: no such file"),
    ("step -w nonsense", 4, "nonsense: no such weights or file; known names are default, random[:SEED]"),
    ("step -w random:x", 4, "weights random:x: the seed must be an integer"),
    ("step -w TEXT", 4, "TEXT: is a text file (starts with"),
    ("step -w EMPTY", 4, "EMPTY: is empty; download or write it again"),
    ("step -w CUT.safetensors", 4, "CUT.safetensors: cut short after"),
    ("step -w FOLDER", 4, "FOLDER: a folder without model.safetensors; give a run folder or a weights file"),
    ("step -w MISSING.safetensors", 4, "MISSING.safetensors: not the weights of a ResNet-18: missing bn1.weight"),
    ("step -w EXTRA.safetensors", 4, "EXTRA.safetensors: not the weights of a ResNet-18: unexpected layer5.weight"),
    (
        "step -w SHAPED.safetensors",
        4,
        "SHAPED.safetensors: is a ResNet-18 for CIFAR's small images (conv1 has 3x3 filters, not 7x7)",
    ),
    # input
    ("forward -i none.jpg", 3, "none.jpg: no such file; expected an image"),
    ("forward -i TEXT", 3, "TEXT: not an image; expected a file such as JPEG, PNG"),
    ("forward -i CUT.png", 3, "CUT.png: can't be "),
    ("forward -i FOLDER", 3, "FOLDER: no images in this folder; expected files ending in jpg"),
    ("forward -i none.npy", 3, "none.npy: no such file; expected a .npy file of numbers"),
    ("forward -i TEXT.npy", 3, "TEXT.npy: corrupt, or no such file format"),
    ("forward -i FOUR.npy", 3, "FOUR.npy: shape (1, 4, 40, 40); expected (N, 3, H, W)"),
    ("forward -i NAN.npy", 3, "NAN.npy: 1 NaN or infinite value, the first at [0, 1, 2, 3] (nan); expected finite"),
    ("step -i BATCH.npy --shape 1,3,64,64", 2, "--shape is the shape of a random input; leave it out with --input"),
    ("step --shape 0,3,64,64", 2, "'0,3,64,64' is not four positive integers N,C,H,W such as 1,3,64,64"),
    ("step --shape 1,4,64,64", 3, "--shape 1,4,64,64: the network takes 3 channels, not 4"),
    ("step --shape 1,3,1000000,1000000", 3, "--shape 1,3,1000000,1000000: a pass needs more than 140,000 GB"),
    ("summary --shape 1,1,64,64", 3, "--shape 1,1,64,64: the network takes 3 channels, not 1"),
    ("summary --shape 1000000,3,1000,1000", 3, "take fewer or smaller images"),
    ("step --shape 1,3,32,32", 3, "a batch of 1 image of 32x32 leaves the last batch norms one value per channel"),
    # target
    ("step -i BATCH.npy -t 10 --loss cross-entropy", 3, "--target 10: class index 10 is out of range"),
    ("step -i BATCH.npy -t -1 --loss cross-entropy", 3, "--target -1: class index -1 is out of range"),
    ("step -i BATCH.npy -t LABELS.npy --loss cross-entropy", 3, "--target LABELS.npy: int64 of shape (3,); expected"),
    (
        "step -i BATCH.npy -t LABELS.npy",
        3,
        f"--target LABELS.npy: int64 of shape (3,); this loss expects floats of the prediction's {HEAD}",
    ),
    ("step -i BATCH.npy -t 3", 3, "--target 3: int64 of shape (2,); this loss expects floats"),
    ("step -i BATCH.npy -t none.npy", 3, "none.npy: no such file; expected a .npy file of numbers"),
    ("step -i BATCH.npy -t something", 3, "target something: expected a .npy file or a whole number"),
    # patterns and freezing
    ("grads --param layer1", 2, "--param 'layer1' matches no parameter; did you mean layer1.*?"),
    ("grads --param fc.wait", 2, "--param 'fc.wait' matches no parameter; did you mean fc.weight?"),
    ("grads --param layer5.*", 2, "--param 'layer5.*' matches no parameter; did you mean layer"),
    ("grads --param zebra", 2, "--param 'zebra' matches no parameter; `gradcli freeze` lists the names"),
    ("freeze fc", 2, "--freeze 'fc' matches no parameter; did you mean fc.*?"),
    ("step --unfreeze conv9.weight", 2, "--unfreeze 'conv9.weight' matches no parameter; did you mean conv1.weight"),
    ("step --freeze *", 2, "every parameter is frozen, so there is nothing to train; --unfreeze some"),
    ("backward --freeze *", 2, "every parameter is frozen, so there is no gradient; --unfreeze some"),
    ("grads --freeze *", 2, "every parameter is frozen, so there is no gradient; --unfreeze some"),
    # output
    ("step -o none/steps.json", 3, "none/steps.json: cannot be written: there is no folder none"),
    ("step -o FOLDER", 3, "FOLDER: cannot be written: it is a folder; name a file"),
    ("step -o steps.xlsx", 2, "--output steps.xlsx: .xlsx is no format of this command; it writes table, json"),
    ("step --save none/w.safetensors", 3, "none/w.safetensors: cannot be written: there is no folder none"),
    ("step --save w.pth", 2, "--save w.pth: weights are saved as safetensors; name the file w.safetensors"),
    ("freeze --save FOLDER/TEXT/w.safetensors", 3, "FOLDER/TEXT/w.safetensors: cannot be written"),
    # numbers
    ("step --seed -1", 2, "Invalid value for '--seed': -1 is not an integer from 0 to 2**64 - 1"),
    ("step --seed 18446744073709551616", 2, "Invalid value for '--seed': 18446744073709551616 is not an integer"),
    ("step --lr nan", 2, "--lr must be a finite number"),
    ("step --lr -1", 2, "Invalid value for '--lr': -1.0 is not in the range x>=0"),
    ("step --nesterov --momentum 0", 2, "--nesterov needs --momentum above 0 and --dampening 0"),
    ("step --steps 0", 2, "Invalid value for '--steps': 0 is not in the range x>=1"),
    ("step --loss mae", 2, "Invalid value for '--loss': 'mae' is not one of"),
    # configuration
    ("step --config none.toml", 2, "--config none.toml: No such file or directory"),
    ("step --config TEXT", 2, "--config TEXT: not valid TOML"),
    ("step --config UNKNOWN.toml", 2, "UNKNOWN.toml: unknown key 'learning-rate'; "),
    ("step --config WRONG.toml", 2, "WRONG.toml: lr = 'fast': "),
    ("step --config TABLE.toml", 2, "TABLE.toml: [stpe] is the name of no command; a table is named as its command"),
]


@pytest.fixture
def files(gradcli: Run, model_file: Path, batch_file: Path) -> None:
    """The files that the cases name, in the folder where gradcli runs."""
    Path("FOLDER").mkdir()
    Path("FOLDER/TEXT").write_text("in the way")
    for name in ("TEXT", "TEXT.npy"):
        Path(name).write_text("this is = no file of numbers\n")
    Path("EMPTY").touch()
    Path("CUT.safetensors").write_bytes(model_file.read_bytes()[:100_000])
    Image.effect_noise((64, 64), 50).save("CUT.png")
    Path("CUT.png").write_bytes(Path("CUT.png").read_bytes()[:1000])
    batch = np.load(batch_file)
    np.save("BATCH.npy", batch)
    np.save("FOUR.npy", np.zeros((1, 4, 40, 40), np.float32))
    np.save("LABELS.npy", np.array([1, 2, 3]))
    batch[0, 1, 2, 3] = np.nan
    np.save("NAN.npy", batch)
    Path("UNKNOWN.toml").write_text("learning-rate = 0.1\n")
    Path("WRONG.toml").write_text('lr = "fast"\n')
    Path("TABLE.toml").write_text("[stpe]\nlr = 0.1\n")


def write_misfits(model_file: Path) -> None:
    tensors = load_checkpoint(model_file).tensors
    save_safetensors("MISSING.safetensors", {name: tensors[name] for name in tensors if name != "bn1.weight"})
    save_safetensors("EXTRA.safetensors", {**tensors, "layer5.weight": np.zeros(3, np.float32)})
    save_safetensors("SHAPED.safetensors", {**tensors, "conv1.weight": np.zeros((64, 3, 3, 3), np.float32)})


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("line", "exit_code", "message"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_is_one_line_and_leaves_nothing(
    line: str, exit_code: int, message: str, gradcli: Run, model_file: Path
) -> None:
    words = line.split()
    if any(name in line for name in ("MISSING", "EXTRA", "SHAPED")):
        write_misfits(model_file)
    if "-w" not in words:
        words += ["-w", str(model_file)]
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    result = gradcli(*words)
    assert result.exit_code == exit_code, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith(f"gradcli {words[0]}: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_an_array_on_standard_input_that_is_none(gradcli: Run, model_file: Path) -> None:
    result = gradcli("forward", "-w", model_file, "-i", "-", input=b"no array")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("gradcli forward: error: standard input: corrupt, or no such file format")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_weights_that_cannot_be_written_to_the_end(gradcli: Run, model_file: Path) -> None:
    result = gradcli("grads", "-w", model_file, "--shape", "2,3,32,32", "--format", "npz", "-o", "/dev/full")
    assert result.exit_code == 3
    assert result.stderr.startswith("gradcli grads: error: /dev/full: ")
    assert result.stderr.count("\n") == 1
