"""`gradcli weights list`, `fetch` and `verify`: the weights that are known by name."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, get_args

import typer

from gradcli.cli.fetching import FetchFormat, ForceOption, check_url
from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.tables import Column
from gradcli.errors import WeightsError

ListFormat = Literal["table", "json", "jsonl", "csv"]
VerifyFormat = Literal["table", "json", "csv"]

LIST_COLUMNS = [
    Column("name"),
    Column("classes", format=","),
    Column("acc1", "accuracy", ".2f", optional=2),
    Column("size", "bytes", ",", optional=1),
    Column("licence", optional=3),
    Column("place"),
]
FETCH_COLUMNS = [
    Column("name"),
    Column("path"),
    Column("size", "bytes", ","),
    Column("sha256", optional=1),
]
VERIFY_COLUMNS = [
    Column("path"),
    Column("name"),
    Column("ok"),
    Column("expected", optional=2),
    Column("found", optional=1),
    Column("reason", optional=3),
]


def list_weights(output: OutputOptions, format: Annotated[ListFormat | None, FORMAT] = None) -> None:
    """The weights that -w knows by name, and where each of them is.

    \b
    bundled      comes with gradcli
    cached       in gradcli's cache, ready to use
    downloaded   as published, in the cache's downloads, and used from there
    torch.hub    downloaded by PyTorch, and used from there
    not here     fetched by `gradcli weights fetch`, or when first used
    """
    destination = output.resolve(format, get_args(ListFormat))
    from gradcli.hub.cache import weights_folder
    from gradcli.inspection.weights import list_known_weights

    destination.write_records(
        [
            {**dataclasses.asdict(listed.weights), "acc1": listed.weights.accuracy and listed.weights.accuracy.acc1}
            | {"place": listed.place, "path": listed.path}
            for listed in list_known_weights()
        ],
        LIST_COLUMNS,
        document={"cache": weights_folder()},
        records_field="weights",
        caption=f"cache {weights_folder()}",
    )


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of `gradcli weights list`.")],
    output: OutputOptions,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Where to download it instead: a mirror of the file.")
    ] = None,
    force: ForceOption = False,
    format: Annotated[FetchFormat | None, FORMAT] = None,
) -> None:
    """Download known weights into the cache, and verify them.

    A download that broke off goes on where it stopped; a file that PyTorch has downloaded is taken instead. The
    SHA-256 is checked, then the file is converted to safetensors. HTTPS_PROXY and GRADCLI_HOME are honoured.

    \b
    gradcli weights fetch imagenet1k-v1
    gradcli weights fetch imagenet1k-v1 --url https://mirror.example/resnet18.pth
    """
    destination = output.resolve(format, get_args(FetchFormat))
    check_url(url, names, "file")
    from gradcli.inspection.weights import fetch_known_weights

    destination.write_records(fetch_known_weights(names, url=url, force=force), FETCH_COLUMNS)


def verify(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE|NAME...", help="Files of known weights, or names of known weights.")
    ],
    output: OutputOptions,
    format: Annotated[VerifyFormat | None, FORMAT] = None,
) -> None:
    """Compare the SHA-256 of files with that of the known weights.

    Which weights a file should hold is told by its name. Exit code 4 if one differs, or is not known.
    """
    destination = output.resolve(format, get_args(VerifyFormat))
    from gradcli.inspection.weights import verify_known_weights

    wrong = []
    with destination.record_writer(VERIFY_COLUMNS) as write:
        for file in files:
            verification = verify_known_weights(file)
            write(verification)
            if not verification.ok:
                wrong.append(verification)
    if wrong:
        others = f"; {len(wrong) - 1} more of {len(files)} files are not right" if len(wrong) > 1 else ""
        raise WeightsError(f"{wrong[0].path}: {wrong[0].reason}{others}")
