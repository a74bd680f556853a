"""`gradcli weights list`, `fetch` and `verify`, known weights in other commands, and `--no-verify`."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_file_server import FileServer
from manifest_writer import entry_of, write_manifest

Run = Callable[..., Any]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test; torch.hub's lies in it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("GRADCLI_HOME", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    return folder


@pytest.fixture
def server(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Serves the model file at every address on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer(model_file.read_bytes()) as running:
        yield running


def know(content: bytes, url: str, **fields: Any) -> None:
    """Enter weights of this content in the user's manifest, by the name of `mine`."""
    write_manifest({"mine": {"file": "mine.safetensors", "classes": 10, **entry_of(content, url, **fields)}})


def put_into_torch_hub(home: Path, name: str, content: bytes) -> Path:
    path = home / "torch" / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def places(gradcli_json: Run) -> dict[str, str]:
    return {entry["name"]: entry["place"] for entry in gradcli_json("weights", "list")["weights"]}


def test_the_list_tells_what_is_known_and_where_it_is(
    gradcli: Run, gradcli_json: Run, home: Path, server: FileServer, model_file: Path
) -> None:
    content = model_file.read_bytes()
    know(content, f"{server.url}/mine.safetensors")
    assert places(gradcli_json)["mine"] == "not here"
    path = put_into_torch_hub(home, "mine.safetensors", content)
    document = gradcli_json("weights", "list")
    assert document["schema"] == "gradcli.weights.list/1"
    assert document["cache"] == str(home / "weights")
    entries = {entry["name"]: entry for entry in document["weights"]}
    assert (entries["mine"]["place"], entries["mine"]["path"]) == ("torch.hub", str(path))
    imagenet = entries["imagenet1k-v1"]
    assert (imagenet["size"], imagenet["classes"], imagenet["licence"]) == (46_830_571, 1000, "BSD-3-Clause")
    assert imagenet["accuracy"] == {"acc1": 69.758, "acc5": 89.078, "at": 224}
    assert (imagenet["place"], imagenet["path"]) == ("not here", None)
    assert gradcli("weights", "fetch", "mine").exit_code == 0
    assert places(gradcli_json)["mine"] == "cached"
    lines = gradcli("weights", "list").stdout.splitlines()
    assert lines[0].split("\t") == ["name", "classes", "acc1", "size", "licence", "place"]
    assert lines[2].split("\t") == ["imagenet1k-v1", "1000", "69.758", "46830571", "BSD-3-Clause", "not here"]


def test_fetched_weights_are_verified_cached_and_used_by_name(
    gradcli: Run, gradcli_json: Run, home: Path, server: FileServer, model_file: Path
) -> None:
    know(server.content, f"{server.url}/mine.safetensors")
    result = gradcli("weights", "fetch", "mine", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    path = home / "weights" / "mine.safetensors"
    assert record == {
        "schema": "gradcli.weights.fetch/1",
        "name": "mine",
        "path": str(path),
        "size": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert json.loads(gradcli("weights", "fetch", "mine", "--json").stdout) == record
    by_name, by_file = (gradcli_json("step", "-w", weights, "--shape", "2,3,32,32") for weights in ("mine", model_file))
    assert by_name["loss"] == by_file["loss"]
    document = gradcli_json("weights", "inspect", "mine")
    assert (document["known_as"], document["converted_from"], document["classes"]) == ("mine", "mine", 10)
    verification = gradcli_json("weights", "verify", "mine")
    assert (verification["ok"], verification["name"], verification["path"]) == (True, "mine", str(path))
    assert len(server.requests) == 1
    assert not list(Path().iterdir())


def test_known_weights_are_fetched_when_first_used(
    gradcli: Run, home: Path, server: FileServer, model_file: Path
) -> None:
    know(server.content, f"{server.url}/mine.safetensors")
    assert gradcli("freeze", "-w", "mine").exit_code == 0
    assert (home / "weights" / "mine.safetensors").is_file()


def test_a_mirror_takes_the_place_of_the_published_address(
    gradcli: Run, home: Path, server: FileServer, model_file: Path
) -> None:
    know(server.content, f"{server.url}/published.safetensors")
    fetch = ["weights", "fetch", "mine", "--url", f"{server.url}/copy"]
    assert gradcli(*fetch, "-q").exit_code == 0
    server.content = b"something else"
    assert gradcli(*fetch).exit_code == 0  # it is here
    assert [path for path, _ in server.requests] == ["/copy"]
    forced = gradcli(*fetch, "--force", "-q")
    assert (forced.exit_code, forced.stdout) == (4, "")
    assert gradcli("freeze", "-w", "mine").exit_code == 0  # what was there is still there


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["mine"], 4, "gone.safetensors"),  # 404
        (["imagenet1k-v2"], 4, "imagenet1k-v2: no known weights have this name; known are imagenet1k-v1, "),
        (["emoji1k", "--url", "http://127.0.0.1/a"], 4, "--url http://127.0.0.1/a: emoji1k comes with gradcli"),
        (["mine", "mein"], 4, "mein: no known weights have this name; known are mine, "),
        (["mine", "imagenet1k-v1", "--url", "http://127.0.0.1/a"], 2, "--url http://127.0.0.1/a: is the place of one"),
        (["mine", "--url", "file:///etc/passwd"], 4, "file:///etc/passwd"),
        (["mine", "-o", "none/report.json"], 3, "none/report.json: cannot be written: there is no folder none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_fetched(
    arguments: list[str], exit_code: int, message: str, gradcli: Run, home: Path, server: FileServer
) -> None:
    know(b"weights", f"{server.url}/gone.safetensors")
    server.statuses.append(404)
    result = gradcli("weights", "fetch", *arguments, "-q")
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.stderr
    assert result.stderr.startswith("gradcli weights fetch: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(Path().iterdir())
    assert not list(home.rglob("*.part")) + list(home.rglob("*.safetensors"))


def test_a_broken_manifest_is_named(gradcli: Run, home: Path) -> None:
    (home / "manifest.toml").write_text('[mine]\nurl = "https://example.org/a"\n')
    result = gradcli("weights", "list")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == (f"gradcli weights list: error: {home / 'manifest.toml'}: the entry mine has no sha256\n")


def test_verify_tells_both_checksums(gradcli: Run, home: Path, model_file: Path) -> None:
    content = model_file.read_bytes()
    know(content, "https://example.org/mine.safetensors")
    Path("mine.safetensors").write_bytes(content)
    Path("renamed.safetensors").write_bytes(content)
    result = gradcli("weights", "verify", "mine.safetensors", "renamed.safetensors", "--format", "csv")
    assert result.exit_code == 0
    sha256 = hashlib.sha256(content).hexdigest()
    assert result.stdout.splitlines() == [
        "path,name,ok,expected,found,reason",
        f"mine.safetensors,mine,true,{sha256},{sha256},",
        f"renamed.safetensors,mine,true,{sha256},{sha256},",
    ]
    changed = bytearray(content)
    changed[-1] ^= 1
    Path("mine.safetensors").write_bytes(changed)
    result = gradcli("weights", "verify", "renamed.safetensors", "mine.safetensors", "--json")
    assert result.exit_code == 4
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["ok"] for record in records] == [True, False]
    assert records[1]["schema"] == "gradcli.weights.verify/1"
    assert (records[1]["expected"], records[1]["found"]) == (sha256, hashlib.sha256(changed).hexdigest())
    assert result.stderr == f"gradcli weights verify: error: mine.safetensors: {records[1]['reason']}\n"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("stranger.safetensors", "is not that of any known weights"),
        ("mine", "mine: is not here; gradcli weights fetch mine downloads it"),
        ("none.pth", "none.pth: no such file"),
    ],
)
def test_what_cannot_be_verified(file: str, message: str, gradcli: Run, home: Path, model_file: Path) -> None:
    know(b"weights", "https://example.org/mine.safetensors")
    Path("stranger.safetensors").write_bytes(model_file.read_bytes())
    result = gradcli("weights", "verify", file)
    assert result.exit_code == 4
    assert result.stderr.startswith("gradcli weights verify: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture
def impostor(gradcli: Run, home: Path, model_file: Path) -> str:
    """A file with the name and size of known weights and other content, in the folder where gradcli runs."""
    content = model_file.read_bytes()
    know(content[:-1] + b"?", "https://example.org/mine.safetensors")
    Path("mine.safetensors").write_bytes(content)
    return "mine.safetensors"


@pytest.mark.parametrize(
    "command",
    ["forward", "backward", "step", "grads --param fc.bias", "freeze", "summary", "finetune DATA --run run --epochs 1"],
)
def test_every_command_verifies_known_weights_unless_told_otherwise(
    command: str, gradcli: Run, impostor: str, images_file: Path
) -> None:
    words = command.replace("DATA", str(images_file)).split()
    small = [] if words[0] in ("freeze", "finetune") else ["--shape", "2,3,32,32"]
    refused = gradcli(*words, "-w", impostor, *small)
    assert (refused.exit_code, refused.stdout) == (4, ""), refused.stderr
    file = Path(impostor).absolute() if words[0] == "finetune" else impostor  # a run can go on from any folder
    assert refused.stderr.startswith(f"gradcli {words[0]}: error: {file}: its SHA-256 is ")
    assert refused.stderr.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == [impostor]
    assert gradcli(*words, "-w", impostor, *small, "--no-verify").exit_code == 0


def test_the_configuration_file_may_skip_verification_and_a_run_notes_it(
    gradcli: Run, impostor: str, images_file: Path
) -> None:
    Path("config.toml").write_text(f'weights = "{impostor}"\nno-verify = true\n')
    assert gradcli("freeze", "--config", "config.toml").exit_code == 0
    result = gradcli("finetune", images_file, "--config", "config.toml", "--epochs", 1, "--run", "run")
    assert result.exit_code == 0, result.stderr
    assert tomllib.loads(Path("run/config.toml").read_text())["no-verify"] is True


def test_inspect_says_that_a_file_is_not_what_its_name_says(gradcli: Run, impostor: str) -> None:
    result = gradcli("weights", "inspect", impostor, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["known_as"] is None
    assert result.stderr == f"warning: {impostor}: {document['suspicion']}\n"


def test_imagenets_classes_are_named(gradcli: Run, gradcli_json: Run, home: Path) -> None:
    assert gradcli("freeze", "-w", "random:0", "--save", "saved.safetensors").exit_code == 0
    content = Path("saved.safetensors").read_bytes()
    know(content, "https://example.org/mine.safetensors", classes=1000, class_names="imagenet1k")
    put_into_torch_hub(home, "mine.safetensors", content)
    document = gradcli_json("forward", "-w", "mine", "--mode", "eval", "--shape", "1,3,32,32", "--top", 1000)
    names = {record["index"]: record["name"] for record in document["classes"]}
    assert len(names) == 1000
    assert (names[0], names[207], names[999]) == ("tench", "golden retriever", "toilet tissue")
