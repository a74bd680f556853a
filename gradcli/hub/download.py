"""Fetching a file by HTTP so that its name only ever stands for the whole, verified file."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gradcli.checkpoints import file_sha256
from gradcli.errors import DataError, WeightsError
from gradcli.hub.cache import make_folder
from gradcli.hub.file_lock import locked
from gradcli.hub.http_requests import (
    InterruptedTransferError,
    UnreachableServerError,
    check_status,
    checked_url,
    content_length,
    content_range,
    is_encoded,
    is_web_page,
    new_session,
    open_url,
    shown_url,
    validator_of,
)
from gradcli.hub.partial_file import PartialFile
from gradcli.hub.progress import Report, download_progress

if TYPE_CHECKING:
    import requests

TIMEOUTS: Final = (15.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""
FRUITLESS_TRIES: Final = 5
"""After so many tries in a row that brought no further byte, a download is given up."""
FIRST_PAUSE: Final = 0.5
"""Seconds to pause after a fruitless try; twice as long after each further one."""

_PIECE_LENGTH: Final = 1 << 18
_LARGEST_OF_UNKNOWN_SIZE: Final = 1 << 32


def download(
    url: str,
    destination: str | os.PathLike[str],
    *,
    size: int | None = None,
    sha256: str | None = None,
    description: str | None = None,
    advice: str | None = None,
    progress: bool = True,
    timeouts: tuple[float, float] = TIMEOUTS,
    fruitless_tries: int = FRUITLESS_TRIES,
    first_pause: float = FIRST_PAUSE,
) -> Path:
    """Fetch `url`, by http or https, as the file `destination`, and replace one that is there.

    `size` in bytes and `sha256` (all digits or the first ones) are checked before the file gets its name. What came
    so far lies in `destination.part`: a connection that drops or stalls is opened again for the rest as long as more
    bytes arrive, and a download that was stopped goes on from there at the next call, if the server's file is still
    the same. One that ignores ranges is read from the start. A second process that fetches the same destination waits
    for the first. Proxies and certificates are those of the environment, as the requests library takes them.
    `description` stands beside the progress, and `advice` at the end of an error that says the server can't be had.

    WeightsError names the address and says what is wrong: nobody answers, the server refuses, a web page in place of
    the file, another size or checksum. DataError if the destination can't be written.
    """
    checked_url(url)
    destination = Path(destination)
    description = description or destination.name
    make_folder(destination.parent)
    lock = destination.with_name(f"{destination.name}.lock")
    with locked(lock, f"fetching {description}") as waited:
        if waited and destination.is_file() and (sha256 is None or file_sha256(destination).startswith(sha256)):
            return destination
        with (
            PartialFile(destination, shown_url(url)) as part,
            download_progress(description, wanted=progress) as report,
        ):
            transfer = _Transfer(url, part, size, sha256, report, timeouts)
            transfer.run(advice, fruitless_tries, first_pause)
    return destination


class _Transfer:
    """One download, over as many requests as it takes."""

    def __init__(
        self,
        url: str,
        part: PartialFile,
        size: int | None,
        sha256: str | None,
        report: Report,
        timeouts: tuple[float, float],
    ) -> None:
        self.url = url
        self.part = part
        self.size = size
        self.sha256 = sha256
        self.report = report
        self.timeouts = timeouts
        self.answered = False
        self.in_pieces = part.position > 0
        """Whether the bytes come from several answers."""
        self.ranges = True
        """Off once the server has sent a range that was not asked for."""

    def run(self, advice: str | None, fruitless_tries: int, first_pause: float) -> None:
        """Request until the file is whole, verified and has its name."""
        furthest = self.part.position
        fruitless = 0
        with new_session() as session:
            while True:
                try:
                    self.request_rest(session)
                    if not self.is_right():
                        if not self.in_pieces:
                            raise self.wrong_content()
                        # Pieces of two versions may have met: from the start, and then it's final.
                        self.part.start_over(None, None)
                        self.ranges = False
                        continue
                    self.part.finish()
                    return
                except InterruptedTransferError as interruption:
                    if self.part.position > furthest:
                        furthest, fruitless = self.part.position, 0
                    else:
                        fruitless += 1
                    if fruitless >= fruitless_tries:
                        raise WeightsError(self.given_up(str(interruption), advice)) from interruption
                    time.sleep(max(interruption.wait, first_pause * 2 ** (fruitless - 1) if fruitless else 0.0))
                except UnreachableServerError as failure:
                    fruitless += 1
                    if not self.answered or fruitless >= fruitless_tries:
                        raise WeightsError(self.given_up(str(failure), advice)) from failure
                    time.sleep(first_pause * 2 ** (fruitless - 1))
                except WeightsError as error:
                    if advice is None or self.part.position:
                        raise
                    raise WeightsError(f"{error}; {advice}") from error

    def request_rest(self, session: requests.Session) -> None:
        """One request for the bytes that are missing; returns when all are there."""
        part = self.part
        total = self.size if self.size is not None else part.total
        if part.position and (not self.can_continue() or (total is not None and part.position > total)):
            part.start_over(None, None)
        if part.position and part.position == total:
            return
        with open_url(
            session, self.url, position=part.position, validator=part.validator, timeouts=self.timeouts
        ) as response:
            self.answered = True
            check_status(response, self.url)
            if part.position and response.status_code in (206, 416):
                if not self.continues_here(response):
                    return
            else:
                self.starts(response)
            self.check_space()
            self.read_body(response)

    def can_continue(self) -> bool:
        """Whether the bytes on disk may be gone on from: the rest is sure to be of the same version, or is checked."""
        return self.ranges and (self.part.validator is not None or self.sha256 is not None)

    def continues_here(self, response: requests.Response) -> bool:
        """Whether more bytes follow in this answer to a request for a range; False if the file is whole already."""
        part = self.part
        first, total = content_range(response)
        known_total = part.total if part.total is not None else self.size
        same_size = total is None or known_total is None or total == known_total
        if response.status_code == 416:
            if total == part.position and same_size:
                return False
        elif first == part.position and same_size and not is_encoded(response):
            self.in_pieces = True
            return True
        else:
            self.ranges = False
        part.start_over(None, None)
        raise InterruptedTransferError("the server sends another range than it was asked for")

    def starts(self, response: requests.Response) -> None:
        """Take this answer as the whole file from its first byte on; WeightsError if it is of another size."""
        total = content_length(response)
        if response.status_code != 200:
            raise WeightsError(
                f"{shown_url(self.url)}: the server answers {response.status_code} to a request for the whole file"
            )
        self.in_pieces = False
        self.part.start_over(None if is_encoded(response) else validator_of(response), total)
        self.ranges = self.ranges and not is_encoded(response)
        if total is not None and self.size is not None and total != self.size:
            page = response.headers.get("Content-Type", "").lower().startswith("text/html")
            raise WeightsError(
                f"{shown_url(self.url)}: "
                + ("answers with a web page (HTML), " if page else "is ")
                + f"{total:,} bytes instead of the {self.size:,} expected; another file stands at this address"
            )

    def check_space(self) -> None:
        """DataError if the disk has less space than the rest of the file needs, before that is filled."""
        total = self.size if self.size is not None else self.part.total
        free = shutil.disk_usage(self.part.destination.parent).free
        if total is not None and total - self.part.position > free:
            raise DataError(
                f"{self.part.destination}: cannot be written: {total - self.part.position:,} bytes are missing, and "
                f"the disk has {free:,} left"
            )

    def read_body(self, response: requests.Response) -> None:
        """Append the body to the part; InterruptedTransferError if it ends before the file does."""
        part = self.part
        total = self.size if self.size is not None else part.total
        self.report(part.position, total)
        while piece := response.raw.read1(_PIECE_LENGTH, decode_content=True):
            if part.position == 0 and is_web_page(response, piece):
                raise WeightsError(f"{shown_url(self.url)}: answers with a web page (HTML) instead of the file")
            part.append(piece)
            self.report(part.position, total)
            if total is not None and part.position > total:
                part.start_over(None, None)
                raise WeightsError(f"{shown_url(self.url)}: sends more than the {total:,} bytes of the file")
            if total is None and part.position > _LARGEST_OF_UNKNOWN_SIZE:
                part.start_over(None, None)
                raise WeightsError(
                    f"{shown_url(self.url)}: sends more than {_LARGEST_OF_UNKNOWN_SIZE:,} bytes without saying how many"
                )
        if total is not None and part.position < total:
            raise InterruptedTransferError(f"the connection ends after {part.position:,} of {total:,} bytes")

    def is_right(self) -> bool:
        return self.sha256 is None or self.part.sha256().startswith(self.sha256)

    def wrong_content(self) -> WeightsError:
        found = self.part.sha256()
        self.part.discard()
        return WeightsError(
            f"{shown_url(self.url)}: the SHA-256 of its {self.part.position:,} bytes is {found}, expected {self.sha256}"
            f"{'…' if len(self.sha256 or '') < len(found) else ''}; another file stands at this address, or it was "
            "cut short or changed on the way"
        )

    def given_up(self, reason: str, advice: str | None) -> str:
        """Why no further try is made, in one line."""
        kept = f"; the first {self.part.position:,} bytes are kept for the next try" if self.part.position else ""
        return f"{shown_url(self.url)}: cannot be fetched: {reason}{kept}" + (f"; {advice}" if advice else "")
