"""Calling a webhook: where it is, how it is trusted, and what it answered.

A webhook is a URL, or a service of the cluster; for the latter a ready endpoint is dialled directly and the
certificate checked for the name `<service>.<namespace>.svc`. `post` returns the decoded answer or raises
`CallFailed`, whose text reads as upstream's; what a failure means is the caller's policy.
"""

import asyncio
import base64
import errno
import ssl
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
import msgspec

from pynetes.apiserver.endpoints import NoEndpoint, resolve_service
from pynetes.apiserver.registry import Registry
from pynetes.machinery import clock, json_syntax, wire
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

_LARGEST_ANSWER = 3 * 1024 * 1024


class CallFailed(Exception):
    """The webhook could not be asked, or its answer made no sense."""


class BadConfig(CallFailed):
    """What is configured is enough to know that the webhook cannot be asked."""


_FAILURES = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
"""What an answer of this status means, as client-go says it."""


class _Target(NamedTuple):
    shown: str  # the URL in messages
    url: str  # the URL that is dialled
    host: str  # the name that the certificate must be for, and the Host header


@dataclass
class WebhookClient:
    """Posts reviews; connections are kept open between calls."""

    registry: Registry
    _session: aiohttp.ClientSession | None = None

    async def post(self, client_config: dict[str, Any], review: Obj, timeout: float) -> Obj:
        """The answer to `review`; raises CallFailed, also when `timeout` seconds pass."""
        target = self._target(client_config, timeout)
        context = _tls(client_config.get("caBundle") or "")
        try:
            return await clock.wait_for(self._exchange(target, context, review), timeout)
        except TimeoutError:
            raise CallFailed(f"Post {quote(target.shown)}: context deadline exceeded") from None
        except (aiohttp.ClientError, OSError, ssl.SSLError, asyncio.IncompleteReadError) as error:
            raise CallFailed(f"Post {quote(target.shown)}: {_go_text(error, target)}") from None

    async def _exchange(self, target: _Target, context: ssl.SSLContext, review: Obj) -> Obj:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=True, trust_env=False)
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*", "Host": target.host}
        async with self._session.post(
            target.url,
            data=wire.encode(review),
            headers=headers,
            ssl=context,
            server_hostname=target.host.rpartition(":")[0] or target.host,
            allow_redirects=False,
        ) as answer:
            body = await answer.content.read(_LARGEST_ANSWER)
            if not 200 <= answer.status <= 206:
                raise CallFailed(_refusal(answer.status, body))
            try:
                decoded = wire.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                said = json_syntax.error(body) or error
                raise CallFailed(f"couldn't get version/kind; json parse error: {said}") from None
            if not isinstance(decoded, dict):
                raise CallFailed("couldn't get version/kind; json parse error: not an object")
            return decoded

    def _target(self, client_config: dict[str, Any], timeout: float) -> _Target:
        suffix = f"?timeout={int(timeout)}s"
        service = client_config.get("service")
        if service is None:
            url = client_config.get("url", "")
            joined = url + (suffix if "?" not in url else "&" + suffix[1:])
            rest = url.partition("://")[2]
            host = rest.partition("/")[0].partition("?")[0]
            return _Target(joined, joined, host if ":" in host else f"{host}:443")
        name, namespace = service["name"], service["namespace"]
        port, path = service.get("port") or 443, service.get("path") or "/"
        path = path if path.startswith("/") else f"/{path}"
        host = f"{name}.{namespace}.svc:{port}"
        shown = f"https://{host}{path}{suffix}"
        try:
            address, target_port = resolve_service(self.registry, namespace, name, str(port))
        except NoEndpoint as error:
            raise CallFailed(f"Post {quote(shown)}: {error}") from None
        dialled = f"[{address}]" if ":" in address else address
        return _Target(shown, f"https://{dialled}:{target_port}{path}{suffix}", host)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _refusal(status: int, body: bytes) -> str:
    if status in _FAILURES:
        return _FAILURES[status]
    text = body.decode(errors="replace").strip()
    if status >= 500:
        return f"an error on the server ({quote(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"


def _go_text(error: Exception, target: _Target) -> str:
    """Why a connection failed, in the words of Go's net and crypto/tls."""
    address = target.url.partition("://")[2].partition("/")[0].partition("?")[0]
    cause = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_certificate_fault(cause, target)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {address.rpartition(':')[0] or address}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        reached = address if address.rpartition(":")[2].isdigit() else f"{address}:443"
        said = {errno.ECONNREFUSED: "connection refused", errno.EHOSTUNREACH: "no route to host"}
        return f"dial tcp {reached}: connect: {said.get(error.os_error.errno or 0, error.strerror or str(error))}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error) or type(error).__name__


def _certificate_fault(error: ssl.SSLCertVerificationError, target: _Target) -> str:
    name = target.host.rpartition(":")[0] or target.host
    if error.verify_code in (_HOST_MISMATCH, _ADDRESS_MISMATCH):
        return f"certificate is not valid for {name}"
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        return "certificate has expired or is not yet valid"
    return "certificate signed by unknown authority"


# OpenSSL's numbers for what is wrong with a certificate.
_NOT_YET_VALID, _EXPIRED, _HOST_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64

_contexts: dict[str, ssl.SSLContext] = {}


def _tls(bundle: str) -> ssl.SSLContext:
    context = _contexts.get(bundle)
    if context is None:
        if len(_contexts) > 256:
            _contexts.clear()
        try:
            authorities = base64.b64decode(bundle).decode() if bundle else None
            context = ssl.create_default_context(cadata=authorities)
        except (ValueError, ssl.SSLError):
            raise BadConfig("unable to load root certificates: unable to parse bytes as PEM block") from None
        # Go accepts authorities without key usage extensions; Python 3.13's default would not.
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        _contexts[bundle] = context
    return context
