"""Links that keep a client inside the proxy."""

import gzip

import pytest

from pynetes.apiserver.tunnels import rewrite
from pynetes.apiserver.tunnels.proxy import parse_target

PREFIX = "/api/v1/namespaces/x/services/y/proxy"


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("/a?b=c#d", f"{PREFIX}/a?b=c#d"),
        ("/", f"{PREFIX}/"),
        ("a/b", "a/b"),
        ("#top", "#top"),
        ("http://10.0.0.1:80/a", f"{PREFIX}/a"),
        ("http://example.com/a", "http://example.com/a"),
        ("//example.com/a", "//example.com/a"),
        ("mailto:me", "mailto:me"),
        (f"{PREFIX}/a", f"{PREFIX}/a"),
    ],
)
def test_links(link: str, wanted: str) -> None:
    assert rewrite.location(link, PREFIX, "10.0.0.1:80") == wanted


def test_pages() -> None:
    page = b"""<p title="/no">/text <A HREF="/a" x='1'><img src='/b' alt="/c"></A> <form action="d"></form> 1 < /2"""
    wanted = page.replace(b'"/a"', f'"{PREFIX}/a"'.encode()).replace(b"'/b'", f"'{PREFIX}/b'".encode())
    assert rewrite.html(page, "", PREFIX, "h:80") == wanted
    assert gzip.decompress(rewrite.html(gzip.compress(page), "gzip", PREFIX, "h:80")) == wanted
    assert rewrite.html(page, "br", PREFIX, "h:80") == page


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a", ("", "a", "")),
        ("a:80", ("", "a", "80")),
        ("https:a:", ("https", "a", "")),
        ("http:a:web", ("http", "a", "web")),
        (":a:1", ("", "a", "1")),
        ("ftp:a:1", None),
        ("", None),
        (":80", None),
        ("a:b:c:d", None),
    ],
)
def test_targets(text: str, wanted: tuple[str, str, str] | None) -> None:
    assert parse_target(text) == wanted
