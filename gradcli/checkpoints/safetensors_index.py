"""Reading weights that are spread over several safetensors files, by the index that says what is where.

Hugging Face writes it as `model.safetensors.index.json`: `weight_map` names the file of each tensor, `metadata` holds
what is true of all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gradcli.checkpoints.checkpoint import Checkpoint
from gradcli.checkpoints.file_opening import read_opening
from gradcli.checkpoints.quoting import quoted
from gradcli.checkpoints.safetensors_reader import looks_like_safetensors, read_safetensors, without_duplicates
from gradcli.errors import WeightsError

_LARGEST_INDEX: Final = 20_000_000  # bytes; an index of two hundred thousand tensors is of this size
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def looks_like_safetensors_index(opening: bytes) -> bool:
    """Whether a file that starts with these bytes is a JSON object, as an index is. Only its end tells more."""
    return opening.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"{")


def read_safetensors_index(path: Path) -> Checkpoint:
    """The tensors of all files that an index names, in the order of the index.

    The files stand beside the index. Text that they agree on and that of the index is the metadata; `ignored` names the
    entries on which they don't, and tensors that the index doesn't.

    WeightsError if the index is none, a file that it names is missing, elsewhere or corrupt, a tensor is not in the
    file it is said to be in, or is in two.
    """
    index = _index(path)
    weight_map = _weight_map(path, index)
    shards: dict[str, Checkpoint] = {}
    for shard_name in dict.fromkeys(weight_map.values()):
        shards[shard_name] = _read_shard(path, shard_name)
    _check_places(path, weight_map, shards)
    metadata, disputed = _merged_metadata(index, shards)
    unlisted = [name for shard in shards.values() for name in shard.tensors if name not in weight_map]
    return Checkpoint(
        tensors={name: shards[shard_name].tensors[name] for name, shard_name in weight_map.items()},
        metadata=metadata,
        path=path,
        container="safetensors-sharded",
        dtypes={name: shards[shard_name].dtypes[name] for name, shard_name in weight_map.items()},
        ignored=(*unlisted, *disputed),
        shards=tuple(shard.path for shard in shards.values()),
    )


def _index(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > _LARGEST_INDEX:
        raise WeightsError(f"{path}: is JSON text of {size} bytes; an index of weights has at most {_LARGEST_INDEX}")
    try:
        index = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=without_duplicates)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path}: looks like JSON text but is not valid ({reason}); download it again") from error
    if not isinstance(index.get("weight_map"), dict):
        raise WeightsError(
            f"{path}: is JSON text without a weight_map, so neither weights nor the index of any; "
            "give a safetensors file, a file of torch.save or .npz"
        )
    return index  # type: ignore[no-any-return]


def _weight_map(path: Path, index: Mapping[str, Any]) -> dict[str, str]:
    weight_map: dict[str, str] = index["weight_map"]
    if not weight_map:
        raise WeightsError(f"{path}: its weight_map is empty")
    for name, shard_name in weight_map.items():
        if (
            not isinstance(shard_name, str)
            or shard_name in ("", ".", "..")
            or set(shard_name) & set("/\\:")
            or not shard_name.isprintable()
        ):
            raise WeightsError(
                f"{path}: its weight_map puts {quoted(name)} into {quoted(str(shard_name))}, "
                "which is not the name of a file beside it"
            )
    return weight_map


def _read_shard(path: Path, shard_name: str) -> Checkpoint:
    shard = path.parent / shard_name
    try:
        opening = read_opening(shard)
        if not looks_like_safetensors(opening):
            raise WeightsError(f"{shard}: is not a safetensors file")
        return read_safetensors(shard)
    except WeightsError as error:
        raise WeightsError(f"{error} (a part of {path.name})") from error


def _check_places(path: Path, weight_map: Mapping[str, str], shards: Mapping[str, Checkpoint]) -> None:
    for name, shard_name in weight_map.items():
        if name not in shards[shard_name].tensors:
            raise WeightsError(f"{path}: its weight_map puts {quoted(name)} into {shard_name}, which does not hold it")
    for name, count in Counter(name for shard in shards.values() for name in shard.tensors).items():
        if count > 1:
            holders = " and ".join(shard_name for shard_name, shard in shards.items() if name in shard.tensors)
            raise WeightsError(f"{path}: the tensor {quoted(name)} is in {holders}; which one is meant is not said")


def _merged_metadata(index: Mapping[str, Any], shards: Mapping[str, Checkpoint]) -> tuple[dict[str, str], list[str]]:
    """The text that nothing contradicts, and the names of the entries where the parts disagree.

    The sizes that the index sums up over its parts are left out: they need not be true of what is made of the tensors.
    """
    of_all = index.get("metadata")
    metadata = {
        _encodable(key): _encodable(value) if isinstance(value, str) else json.dumps(value)
        for key, value in (of_all.items() if isinstance(of_all, dict) else ())
        if key not in ("total_size", "total_parameters")
    }
    disputed = set()
    for shard in shards.values():
        for key, text in shard.metadata.items():
            if metadata.setdefault(key, text) != text:
                disputed.add(key)
    for key in disputed:
        del metadata[key]
    return metadata, [f"metadata {quoted(key)}" for key in sorted(disputed)]


def _encodable(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which JSON can spell and UTF-8 can't."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
