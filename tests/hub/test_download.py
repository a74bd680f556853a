"""Downloads from servers that drop, stall, lie, forget and refuse: the whole right file under its name, or none."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from http_file_server import FileServer

from gradcli.errors import WeightsError
from gradcli.hub.download import download
from gradcli.hub.file_lock import locked
from gradcli.hub.http_requests import _redirected
from tests.hub.downloads import CONTENT, OTHER, SHA256, fetch, files_beside

Serve = Callable[..., FileServer]


def test_a_whole_file_gets_its_name_and_nothing_else_stays(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT)
    assert fetch(f"{server.url}/file.bin", destination) == destination
    assert destination.read_bytes() == CONTENT
    assert files_beside(destination) == ["file.bin"]
    [(path, headers)] = server.requests
    assert path == "/file.bin"
    assert headers["Accept-Encoding"] == "identity"
    assert "Range" not in headers


def test_fifty_drops_in_one_download(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, drops=50, bytes_before_drop=4000)
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == [None, *(f"bytes={4000 * count}-" for count in range(1, 51))]
    assert server.asked("If-Range") == [None, *['"1"'] * 50]


@pytest.mark.parametrize(
    "settings",
    [
        {"etag": None, "last_modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"etag": 'W/"1"'},
        {"etag": None},
        {"sends_length": False},
        {"chunk_length": 3000},
    ],
    ids=["last-modified", "weak etag", "nothing names the version", "no length", "in small pieces"],
)
def test_a_drop_is_followed_by_the_rest(serve: Serve, destination: Path, settings: dict[str, object]) -> None:
    server = serve(CONTENT, drops=3, bytes_before_drop=10_000, **settings)
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == [None, "bytes=10000-", "bytes=20000-", "bytes=30000-"]
    condition = settings.get("last_modified") if "etag" in settings else '"1"'
    assert server.asked("If-Range") == [None, *[condition] * 3]


def test_without_validator_and_checksum_it_starts_over(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, drops=1, bytes_before_drop=10_000, etag=None)
    fetch(f"{server.url}/file.bin", destination, sha256=None)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == [None, None]


def test_a_silent_server_is_asked_again(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, drops=2, bytes_before_drop=50_000, stalls=True)
    fetch(f"{server.url}/file.bin", destination, timeouts=(5.0, 0.2), fruitless_tries=50)
    assert destination.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_read_from_the_start(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, drops=2, bytes_before_drop=50_000, ranges=False)
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == [None, "bytes=50000-", "bytes=50000-"]


def test_a_server_that_lies_about_ranges_is_read_from_the_start(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, drops=1, bytes_before_drop=50_000, shift=7)
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == [None, "bytes=50000-", None]


def test_a_file_that_changes_between_drops_is_never_mixed(serve: Serve, destination: Path) -> None:
    server = serve(OTHER, drops=2, bytes_before_drop=50_000, changes=[(OTHER, '"2"'), (CONTENT, '"3"')])
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("If-Range") == [None, '"1"', '"2"']


def test_mixed_pieces_are_noticed_and_fetched_anew(serve: Serve, destination: Path) -> None:
    server = serve(OTHER, drops=1, bytes_before_drop=50_000, changes=[(CONTENT, '"1"')])
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == [None, "bytes=50000-", None]


def test_a_compressed_answer_is_unpacked(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, drops=1, bytes_before_drop=50_000, compresses=True)
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked("Range") == [None, None]


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_errors_that_pass_are_waited_out(serve: Serve, destination: Path, status: int) -> None:
    server = serve(CONTENT, statuses=[status, status], headers={"Retry-After": "0"})
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_redirects_are_followed(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT)
    fetch(f"{server.url}/redirected", destination)
    assert [path for path, _ in server.requests] == ["/redirected", "/file.bin"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("around", "is redirected again and again"),
        ("away", "that is not http or https"),
        ("to?file:///etc/passwd", "that is not http or https"),
        ("to?javascript:alert(1)", "that is not http or https"),
        ("to?http://:80/file.bin", "that is not http or https"),
        ("to?http://[::1/", "to what is no valid address"),
        ("to?http://host:99999999/", "to what is no valid address"),
        ("to?http://host/\x1b[31m", "to what is no valid address"),
        ("to?http://a..b/", "is not a valid address"),
    ],
)
def test_redirects_that_lead_nowhere(serve: Serve, destination: Path, path: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        fetch(f"{serve(CONTENT, redirect=path.partition('?')[2]).url}/{path.partition('?')[0]}", destination)


def test_what_comes_with_a_redirect_is_not_read(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, redirect="/file.bin", redirect_length=1 << 40)
    fetch(f"{server.url}/to", destination)
    assert destination.read_bytes() == CONTENT


def test_nobody_is_led_from_https_to_http() -> None:
    with pytest.raises(WeightsError, match="https://host/file: is redirected from https to http"):
        _redirected("https://host/file", "https://host/other", "http://host/file")
    assert _redirected("https://host/file", "https://host/other", "/file") == "https://host/file"
    assert _redirected("http://host/file", "http://host/other", "https://mirror/file") == "https://mirror/file"


def test_a_proxy_of_the_environment_is_used(serve: Serve, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(CONTENT)
    monkeypatch.setenv("http_proxy", proxy.url)
    fetch("http://weights.invalid/file.bin", destination)
    assert [path for path, _ in proxy.requests] == ["http://weights.invalid/file.bin"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"content": OTHER}, f"is {hashlib.sha256(OTHER).hexdigest()}, expected {SHA256}; another file"),
        ({"content": b"<!DOCTYPE html><p>Sign in</p>", "content_type": "text/html"}, "a web page (HTML), 29 bytes"),
        ({"content": b"<html>sign in", "sends_length": False}, "answers with a web page (HTML) instead of the file"),
        ({"content": b"<p>", "content_type": "text/html", "sends_length": False}, "a web page (HTML) instead"),
        ({"content": CONTENT[:-1]}, "is 204,000 bytes instead of the 204,001 expected; another file"),
        ({"content": CONTENT + b"!", "sends_length": False}, "sends more than the 204,001 bytes of the file"),
        ({"content": CONTENT, "statuses": [404]}, "the server says 404 Not Found: there is no such file any more"),
        ({"content": CONTENT, "statuses": [403]}, "the server says 403 Forbidden: it does not give the file to you"),
        ({"content": CONTENT, "statuses": [416]}, "answers 416 to a request for the whole file"),
        ({"content": CONTENT, "statuses": [418]}, "the server says 418"),
        ({"content": CONTENT, "statuses": [503] * 5}, "cannot be fetched: the server says 503 Service Unavailable"),
        ({"content": CONTENT, "drops": 5}, "cannot be fetched: the connection breaks off"),
    ],
)
def test_what_is_refused_is_said_in_one_line_and_leaves_nothing(
    serve: Serve, destination: Path, settings: dict[str, object], message: str
) -> None:
    server = serve(**settings)
    with pytest.raises(WeightsError) as error:
        fetch(f"{server.url}/file.bin", destination, size=len(CONTENT))
    assert str(error.value).startswith(f"{server.url}/file.bin: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert files_beside(destination) == []


def test_a_connection_that_always_drops_at_the_same_byte_is_given_up(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, drops=100, bytes_before_drop=5000, ranges=False)
    with pytest.raises(WeightsError, match="cannot be fetched"):
        fetch(f"{server.url}/file.bin", destination)
    assert len(server.requests) == 6


def test_a_wrong_file_leaves_the_old_one_alone(serve: Serve, destination: Path) -> None:
    destination.parent.mkdir()
    destination.write_bytes(b"old")
    with pytest.raises(WeightsError):
        fetch(serve(OTHER).url, destination)
    assert destination.read_bytes() == b"old"


def test_a_prefix_of_the_checksum_is_enough(serve: Serve, destination: Path) -> None:
    fetch(serve(CONTENT).url, destination, size=None, sha256=SHA256[:8])
    with pytest.raises(WeightsError, match=f"expected {SHA256[:8]}…; another file"):
        fetch(serve(OTHER).url, destination, size=None, sha256=SHA256[:8])


def test_nobody_listens(serve: Serve, destination: Path) -> None:
    with FileServer(CONTENT) as server:
        url = server.url
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1 cannot be reached .*; put it there by hand") as error:
        fetch(f"{url}/file.bin", destination, advice="put it there by hand")
    assert "\n" not in str(error.value)
    assert files_beside(destination) == []


def test_a_server_without_tls_is_not_spoken_to_by_https(serve: Serve, destination: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be fetched: "):
        fetch(serve(CONTENT).url.replace("http:", "https:"), destination)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "not an http or https address; a file on disk is loaded by its path"),
        ("weights/file.pth", "not an http or https address"),
        ("ftp://host/file.pth", "by http and https only"),
        ("http://ho st/file.pth", "by http and https only"),
        ("http://", "is not a valid address"),
        ("http://user:secret@host:port/file.pth", "^http://host:port/file.pth: is not a valid address"),
        ("http://a..b/file.pth", "is not a valid address"),
    ],
)
def test_addresses_that_are_none(destination: Path, url: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        fetch(url, destination)


def test_passwords_are_not_shown(serve: Serve, destination: Path) -> None:
    url = serve(CONTENT, statuses=[404]).url.replace("http://", "http://user:secret@word@")
    with pytest.raises(WeightsError) as error:
        fetch(f"{url}/file.bin?key=hidden", destination)
    assert "secret" not in str(error.value)
    assert "word" not in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_second_download_of_the_same_file_waits_for_the_first(
    serve: Serve, destination: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(CONTENT)
    destination.parent.mkdir()
    second = threading.Thread(target=fetch, args=(f"{server.url}/file.bin", destination))
    with caplog.at_level(logging.INFO, "gradcli"):
        with locked(destination.parent / "file.bin.lock", "fetching"):
            second.start()
            while "another process is fetching file.bin; waiting for it" not in caplog.messages:
                assert second.is_alive()
            destination.write_bytes(CONTENT)
        second.join()
    assert server.requests == []
    assert files_beside(destination) == ["file.bin"]


def test_an_endless_file_of_unknown_size_is_given_up(
    serve: Serve, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcli.hub.download._LARGEST_OF_UNKNOWN_SIZE", 100_000)
    server = serve(CONTENT, sends_length=False)
    with pytest.raises(WeightsError, match="sends more than 100,000 bytes without saying how many"):
        download(f"{server.url}/file.bin", destination)
    assert files_beside(destination) == []


def test_a_length_of_thousands_of_digits_is_no_length(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, length="9" * 5000)
    fetch(f"{server.url}/file.bin", destination)
    assert destination.read_bytes() == CONTENT


def test_a_version_that_no_request_can_name_is_not_kept(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, etag='"\xff"', drops=1, bytes_before_drop=1000)
    fetch(f"{server.url}/file.bin", destination)
    assert server.asked("If-Range") == [None, None]
    assert destination.read_bytes() == CONTENT


def test_what_a_server_says_fits_on_a_line(serve: Serve, destination: Path) -> None:
    server = serve(CONTENT, statuses=[403], reason="\x1b[31mno\x07")
    with pytest.raises(WeightsError) as error:
        fetch(f"{server.url}/file.bin", destination)
    assert str(error.value).isprintable()
