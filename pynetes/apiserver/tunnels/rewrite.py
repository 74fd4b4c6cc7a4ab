"""Keeping a client inside the proxy: absolute paths in redirects and HTML pages get the proxy's prefix."""

import gzip
import re
import zlib
from urllib.parse import urlsplit, urlunsplit

_TAG = re.compile(rb"<[a-zA-Z][^<>]*>")
_LINK = re.compile(
    rb"(\s(?:action|background|cite|classid|codebase|data|formaction|href|icon|longdesc|manifest|poster|profile|src|"
    rb"usemap)\s*=\s*)(\"[^\"]*\"|'[^']*')",
    re.IGNORECASE,
)


def is_html(content_type: str) -> bool:
    """Whether an answer is a web page."""
    return content_type.partition(";")[0].strip().lower() == "text/html"


def location(url: str, prefix: str, authority: str) -> str:
    """A link as the client must follow it: one to the same server gets the prefix, others stay."""
    parts = urlsplit(url)
    if parts.netloc and parts.netloc != authority:
        return url
    if not parts.netloc and not parts.path.startswith("/"):
        return url
    path = parts.path or "/"
    if path.startswith(prefix + "/") or path == prefix:
        return url
    return urlunsplit(("", "", prefix + path, parts.query, parts.fragment))


def html(page: bytes, encoding: str, prefix: str, authority: str) -> bytes:
    """A page with its links rewritten; one whose encoding is not known stays as it is."""
    match encoding.lower():
        case "" | "identity":
            return _links(page, prefix, authority)
        case "gzip":
            return gzip.compress(_links(gzip.decompress(page), prefix, authority))
        case "deflate":
            return zlib.compress(_links(zlib.decompress(page), prefix, authority))
    return page


def _links(page: bytes, prefix: str, authority: str) -> bytes:
    def replaced(found: re.Match[bytes]) -> bytes:
        quoted = found.group(2)
        mark, link = quoted[:1], quoted[1:-1].decode("utf-8", "surrogateescape")
        return found.group(1) + mark + location(link, prefix, authority).encode("utf-8", "surrogateescape") + mark

    return _TAG.sub(lambda tag: _LINK.sub(replaced, tag.group()), page)
