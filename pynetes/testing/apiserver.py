"""A real API server for tests, in the test's own process, over TLS, on a loopback port.

    async with running_apiserver() as server:
        client = server.client()
        await client.create(resources.lookup("configmaps"), {...}, namespace="default")

It starts with the bootstrap objects every cluster has, but without controllers: nothing but the test changes anything.
`admin_kubeconfig` is a file for kubectl; `kubeconfig_for` makes one for any user.
"""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pynetes.apiserver.main import ApiServer
from pynetes.apiserver.options import Options
from pynetes.client.client import Client
from pynetes.cluster.pki import Authority, ensure_token_key
from pynetes.storage.interface import Store

ADMIN = ("kubernetes-admin", ("system:masters",))


@dataclass
class RunningApiServer:
    """A server that runs until the test's block ends."""

    server: ApiServer
    directory: Path
    authority: Authority
    _clients: list[Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.server.port}"

    @property
    def ca_file(self) -> Path:
        """Who signed its certificate, and signs its clients'."""
        return self.authority.certificate_file

    @property
    def admin_kubeconfig(self) -> Path:
        """A kubeconfig of an administrator."""
        return self.kubeconfig_for(*ADMIN)

    def kubeconfig_for(self, user: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig of a user with a client certificate."""
        path = self.directory / f"{_file_name(user)}.kubeconfig"
        certificate, key = self.authority.ensure(f"client-{_file_name(user)}", user, groups)
        path.write_text(
            yaml.safe_dump(self._document({"client-certificate": str(certificate), "client-key": str(key)}))
        )
        return path

    def kubeconfig_with_token(self, token: str) -> Path:
        """A kubeconfig of whoever a bearer token stands for."""
        path = self.directory / f"token-{abs(hash(token))}.kubeconfig"
        path.write_text(yaml.safe_dump(self._document({"token": token})))
        return path

    def client(self, user: str = ADMIN[0], groups: tuple[str, ...] = ADMIN[1]) -> Client:
        """A client of a user, the administrator if none is named; it is closed with the server."""
        client = Client.from_kubeconfig(self.kubeconfig_for(user, groups))
        self._clients.append(client)
        return client

    async def close_clients(self) -> None:
        """Close every client that was handed out."""
        for client in self._clients:
            await client.close()

    def _document(self, user: dict[str, str]) -> dict[str, Any]:
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }


def _file_name(user: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in user)


def options_for(directory: Path, **changes: Any) -> tuple[Options, Authority]:
    """The options of a server whose keys are in `directory`, with `changes`."""
    authority = Authority(directory, "ca", "kubernetes-ca")
    certificate, key = authority.ensure(
        "apiserver",
        "kube-apiserver",
        dns=("localhost", "kubernetes", "kubernetes.default.svc"),
        addresses=("127.0.0.1",),
        server=True,
        client=False,
    )
    kubelet_certificate, kubelet_key = authority.ensure(
        "apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)
    )
    ensure_token_key(directory)
    options = Options(
        secure_port=0,
        bind_address=["127.0.0.1"],
        advertise_address="127.0.0.1",
        tls_cert_file=str(certificate),
        tls_private_key_file=str(key),
        client_ca_file=str(authority.certificate_file),
        service_account_key_file=[str(directory / "sa.pub")],
        service_account_signing_key_file=str(directory / "sa.key"),
        kubelet_client_certificate=str(kubelet_certificate),
        kubelet_client_key=str(kubelet_key),
        kubelet_certificate_authority=str(authority.certificate_file),
        shutdown_grace=1.0,
    )
    for name, value in changes.items():
        if not hasattr(options, name):
            raise TypeError(f"the API server has no option {name!r}")
        setattr(options, name, value)
    return options, authority


@contextlib.contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="pynetes-apiserver-") as made:
        yield Path(made)


@contextlib.asynccontextmanager
async def running_apiserver(
    *, directory: Path | None = None, store: Store | None = None, **options: Any
) -> AsyncIterator[RunningApiServer]:
    """A server with a store in memory (or the one given); `options` are fields of `apiserver.options.Options`."""
    with _directory(directory) as where:
        chosen, authority = options_for(where, **options)
        server = ApiServer(chosen, store)
        running = RunningApiServer(server, where, authority)
        await server.start()
        try:
            yield running
        finally:
            await running.close_clients()
            await server.stop()
