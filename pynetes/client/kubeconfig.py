"""Reading a kubeconfig: which server to speak to, how to know it, and who to be.

Only the facts are gathered here (`Connection`); the client turns them into sockets. Data given inline wins over files,
relative file names are relative to the kubeconfig, and inside a pod without a kubeconfig the service account is used.
"""

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(Exception):
    """The kubeconfig cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything needed to reach one API server as one user."""

    server: str
    ca_data: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None
    token: str | None = None
    token_file: str | None = None
    server_name: str | None = None
    insecure: bool = False
    namespace: str = "default"

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings for `https` servers, None for plain HTTP."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.ca_data.decode() if self.ca_data else None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert and self.key:
            _load_client_certificate(context, self.cert, self.key)
        return context

    def bearer(self) -> str | None:
        """The token to send; a token file is read anew each time, because its owner rotates it."""
        if self.token_file:
            return Path(self.token_file).read_text().strip()
        return self.token


def _load_client_certificate(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """The ssl module takes certificates only from files: these exist as long as the call, readable by us alone."""
    with tempfile.TemporaryDirectory() as folder:
        cert_path, key_path = Path(folder, "cert.pem"), Path(folder, "key.pem")
        cert_path.write_bytes(cert)
        key_path.touch(mode=0o600)
        key_path.write_bytes(key)
        context.load_cert_chain(cert_path, key_path)


def load(path: str | os.PathLike[str] | None = None, context: str | None = None) -> Connection:
    """The connection that `path` (else $KUBECONFIG, else ~/.kube/config, else the pod's account) describes."""
    if path is None:
        candidates = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
        candidates.append(Path.home() / ".kube" / "config")
        found = next((p for p in candidates if p.exists()), None)
        if found is None:
            if (_SERVICE_ACCOUNT / "token").exists():
                return in_cluster()
            raise ConfigError("no kubeconfig found")
        path = found
    path = Path(path)
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    return parse(document, path.parent, context)


def parse(document: dict[str, Any], folder: Path, context: str | None = None) -> Connection:
    """The connection in an already decoded kubeconfig; file names in it are relative to `folder`."""
    chosen = context or document.get("current-context") or ""
    entry = _named(document, "contexts", "context", chosen)
    cluster = _named(document, "clusters", "cluster", entry.get("cluster", ""))
    user = _named(document, "users", "user", entry["user"]) if entry.get("user") else {}
    if not cluster.get("server"):
        raise ConfigError(f"cluster {entry.get('cluster')!r} has no server")
    token_file = user.get("tokenFile")
    return Connection(
        server=cluster["server"].rstrip("/"),
        ca_data=_data(cluster, "certificate-authority", folder),
        cert=_data(user, "client-certificate", folder),
        key=_data(user, "client-key", folder),
        token=user.get("token"),
        token_file=str(folder / token_file) if token_file else None,
        server_name=cluster.get("tls-server-name"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=entry.get("namespace") or "default",
    )


def in_cluster() -> Connection:
    """The connection of a pod's service account."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("KUBERNETES_SERVICE_HOST is not set")
    return Connection(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_data=(_SERVICE_ACCOUNT / "ca.crt").read_bytes(),
        token_file=str(_SERVICE_ACCOUNT / "token"),
        namespace=(_SERVICE_ACCOUNT / "namespace").read_text().strip(),
    )


def _named(document: dict[str, Any], section: str, inner: str, name: str) -> dict[str, Any]:
    for item in document.get(section) or []:
        if item.get("name") == name:
            return item.get(inner) or {}
    raise ConfigError(f"no {inner} named {name!r} in the kubeconfig")


def _data(section: dict[str, Any], field: str, folder: Path) -> bytes | None:
    if section.get(f"{field}-data"):
        return base64.b64decode(section[f"{field}-data"])
    if section.get(field):
        try:
            return (folder / section[field]).read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {field}: {error}") from error
    return None
