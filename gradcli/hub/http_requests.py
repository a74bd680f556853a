"""One HTTP request for a file or for the rest of it, and what the server's answer means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from gradcli import __version__
from gradcli.checkpoints.foreign_files import looks_like_web_page
from gradcli.errors import WeightsError

if TYPE_CHECKING:
    import requests

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_TRY_AGAIN: Final = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT: Final = 60.0
_MOST_REDIRECTS: Final = 10
_LONGEST_NUMBER: Final = 18  # digits of a size or position; Python refuses to convert thousands
_LONGEST_REASON: Final = 200
_VALIDATOR: Final = re.compile(r"[ -~]{1,1000}")
_CERTIFICATE_ADVICE: Final = "REQUESTS_CA_BUNDLE names the file of certificates to trust"


class InterruptedTransferError(Exception):
    """What may go better at the next try; `wait` is how many seconds the server asks to be left alone."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class UnreachableServerError(Exception):
    """Nobody answers there: no network, no such name, nothing that listens."""


def checked_url(url: str) -> str:
    """The address, if it is one of http or https; WeightsError if not."""
    if url.startswith(("http://", "https://")) and not re.search(r"\s", url):
        return url
    if url.startswith("file:") or "://" not in url:
        raise WeightsError(f"{url}: not an http or https address; a file on disk is loaded by its path (-w PATH)")
    raise WeightsError(f"{shown_url(url)}: files are fetched by http and https only")


def shown_url(url: str) -> str:
    """The address without what may be secret in it: a user's name and password, and the query."""
    return re.sub(r"^([a-z]+://)[^/]*@", r"\1", url.partition("#")[0].partition("?")[0], flags=re.IGNORECASE)


@contextmanager
def open_url(
    session: requests.Session, url: str, *, position: int, validator: str | None, timeouts: tuple[float, float]
) -> Iterator[requests.Response]:
    """The server's answer to a request for the file from byte `position` on, its body not read yet.

    With a validator, a file that is another by now comes whole. `timeouts` are the seconds to wait for a connection
    and for the next bytes. Raises InterruptedTransferError, UnreachableServerError, or WeightsError for what no
    further try would change: a certificate that isn't trusted, an address that is none. What the body raises while it
    is read is translated in the same way.
    """
    import ssl

    import requests
    import urllib3

    # A compressed body has no bytes that one could go on from.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"gradcli/{__version__}"}
    if position:
        headers["Range"] = f"bytes={position}-"
        if validator is not None:
            headers["If-Range"] = validator
    try:
        with _followed(session, url, headers, timeouts) as response:
            yield response
    except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError) as error:
        raise WeightsError(f"{shown_url(url)}: is not a valid address") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        causes = list(_causes(error))
        reason = _reason(causes)
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                refusal = f"the server's certificate is not trusted ({cause.verify_message})"
                raise WeightsError(f"{shown_url(url)}: {refusal}; {_CERTIFICATE_ADVICE}") from error
        if any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes):
            proxy = isinstance(error, requests.exceptions.ProxyError)
            server = "the proxy" if proxy else urllib3.util.parse_url(url).host
            raise UnreachableServerError(f"{server} cannot be reached ({reason})") from error
        raise InterruptedTransferError(reason) from error


def new_session() -> requests.Session:
    """A session that leaves redirects to `open_url`: by itself it reads whatever comes with one, however long."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            return None

    return Session()


def _followed(
    session: requests.Session, url: str, headers: dict[str, str], timeouts: tuple[float, float]
) -> requests.Response:
    """The answer at the end of the redirects from `url`, its body not read yet.

    WeightsError if they lead nowhere, from https to http, or to another kind of address.
    """
    address = url
    for _ in range(_MOST_REDIRECTS + 1):
        response = session.get(address, headers=headers, stream=True, timeout=timeouts)
        if not response.is_redirect:
            return response
        response.close()
        address = _redirected(url, address, response.headers["Location"])
    raise WeightsError(f"{shown_url(url)}: is redirected again and again")


def _redirected(url: str, address: str, location: str) -> str:
    """The address that `address`, at which a request for `url` has come, redirects to."""
    try:
        # Servers send UTF-8, the library reads Latin-1; what still is no ASCII gets escaped when it is asked for.
        target = urljoin(address, location.encode("latin-1", "replace").decode("utf-8", "replace"))
        parts = urlsplit(target)
        valid = target.isprintable() and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise WeightsError(f"{shown_url(url)}: is redirected to what is no valid address")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WeightsError(f"{shown_url(url)}: is redirected to an address that is not http or https")
    if parts.scheme == "http" and urlsplit(address).scheme == "https":
        raise WeightsError(f"{shown_url(url)}: is redirected from https to http, where anyone could change the file")
    return target


def check_status(response: requests.Response, url: str) -> None:
    """Nothing for an answer with content; InterruptedTransferError or WeightsError for a status that is an error."""
    status = response.status_code
    if status in (200, 206, 416):
        return
    said = f"the server says {status} {_printable(response.reason or '')}".rstrip()
    if status in _TRY_AGAIN:
        wait = response.headers.get("Retry-After", "")
        raise InterruptedTransferError(
            said, min(float(wait), _LONGEST_WAIT) if wait.isascii() and wait.isdigit() else 0.0
        )
    if status in (404, 410):
        said += ": there is no such file any more"
    elif status in (401, 403, 407):
        said += ": it does not give the file to you"
    raise WeightsError(f"{shown_url(url)}: {said}")


def is_encoded(response: requests.Response) -> bool:
    """Whether the body is compressed although it was asked for as it is."""
    return response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity")


def validator_of(response: requests.Response) -> str | None:
    """What names this version of the file in If-Range: a strong ETag, else the time of its last change."""
    etag: str | None = response.headers.get("ETag")
    if etag is None or not etag.startswith('"'):
        etag = response.headers.get("Last-Modified")
    return etag if etag is not None and _VALIDATOR.fullmatch(etag) else None


def content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """The first byte of the range that was sent and the size of the whole file, None for what isn't said."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    first, _, total = match.groups()
    return _number(first or ""), _number(total)


def content_length(response: requests.Response) -> int | None:
    """The number of bytes of the body, None if the server doesn't say or compresses it."""
    return None if is_encoded(response) else _number(response.headers.get("Content-Length", ""))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


def _printable(text: str) -> str:
    """What a server says, fit for one line of a message."""
    return "".join(character if character.isprintable() else " " for character in text).strip()[:_LONGEST_REASON]


def is_web_page(response: requests.Response, opening: bytes) -> bool:
    """Whether the body that starts with these bytes is a page or an error message, HTML or XML, whatever the status."""
    start = opening.lstrip()
    is_html = response.headers.get("Content-Type", "").lower().startswith("text/html")
    return looks_like_web_page(opening) or start.startswith(b"<?xml") or (is_html and start.startswith(b"<"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those it was raised from or carries."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__]


def _reason(causes: list[BaseException]) -> str:
    """The plainest of the causes: what the operating system said, else what the library says."""
    import http.client

    for cause in causes:
        if isinstance(cause, TimeoutError) or "timed out" in str(cause).lower():
            return "it does not answer in time"
        if isinstance(cause, http.client.IncompleteRead | http.client.RemoteDisconnected):
            return "the connection breaks off"
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror)
    return _printable(" ".join(str(causes[-1]).split())) or type(causes[-1]).__name__
