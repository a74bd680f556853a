"""What the commands share that fetch files known by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from gradcli.errors import UsageError

FetchFormat = Literal["table", "json", "csv"]

ForceOption = Annotated[bool, typer.Option("--force", help="Download it even if it is here.")]


def check_url(url: str | None, names: Sequence[str], place_of: str) -> None:
    """UsageError for a `--url` with several names: it is the place of one `place_of`."""
    if url is not None and len(names) > 1:
        raise UsageError(f"--url {url}: is the place of one {place_of}; fetch {names[0]} and the others one by one")
