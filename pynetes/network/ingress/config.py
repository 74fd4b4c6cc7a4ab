"""Virtual hosts as nginx's configuration: one pure function from values to text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pynetes.network.ingress.model import EXACT, REGEX, Host, Location, Upstream

_UNSAFE = re.compile(r'[\s"\'\\;{}$]')

_HEAD = """\
daemon off;
worker_processes 2;
worker_shutdown_timeout 240s;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log stderr warn;
{user}
events {{
    worker_connections 8192;
}}

http {{
    access_log off;
    server_tokens off;
    default_type application/octet-stream;
    client_body_temp_path {directory}/client-body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server_names_hash_bucket_size 256;
    client_max_body_size 1m;
    keepalive_timeout 75s;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    {resolver}

    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    map $scheme $pass_port {{
        https 443;
        default 80;
    }}

    proxy_http_version 1.1;
    proxy_connect_timeout 5s;
    proxy_read_timeout 60s;
    proxy_send_timeout 60s;
    proxy_next_upstream error timeout;
    proxy_next_upstream_tries 3;
    proxy_redirect off;
    proxy_buffer_size 4k;
    proxy_ssl_server_name on;
"""

# Inside each location: a location that sets one header inherits none from outside.
_HEADERS = """\
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $pass_port;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Scheme $scheme;
            proxy_set_header X-Scheme $scheme;
            proxy_set_header Proxy "";
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where nginx works and listens."""

    directory: Path
    address: str
    http_port: int
    https_port: int
    user: str = ""
    resolver: str = ""

    def certificate(self, secret: str) -> Path:
        """The file with the certificate and key of a secret (`namespace/name`), or of nobody (the default one)."""
        return self.directory / f"{secret.replace('/', '_') or 'default'}.pem"


def render(hosts: Iterable[Host], place: Place, certificates: frozenset[str]) -> str:
    """The configuration; `certificates` are the secrets whose files are there."""
    hosts = list(hosts)
    out = [
        _HEAD.format(
            directory=place.directory,
            user=f"user {place.user};" if place.user else "",
            resolver=f"resolver {place.resolver} valid=5s ipv6=off;" if place.resolver else "",
        )
    ]
    upstreams = {location.upstream.name: location.upstream for host in hosts for location in host.locations.values()}
    out += [_upstream(upstream) for _, upstream in sorted(upstreams.items()) if upstream.servers]
    if not any(host.name == "" for host in hosts):
        out.append(_server(Host(""), place, certificates))
    out += [_server(host, place, certificates) for host in hosts]
    return "\n".join([*out, "}", ""])


def _upstream(upstream: Upstream) -> str:
    if upstream.external:
        return ""
    servers = "".join(f"        server {server} max_fails=0;\n" for server in upstream.servers)
    return f"    upstream {upstream.name} {{\n        random two least_conn;\n{servers}        keepalive 64;\n    }}\n"


def _server(host: Host, place: Place, certificates: frozenset[str]) -> str:
    default = " default_server" if not host.name else ""
    certificate = place.certificate(host.secret if host.secret in certificates else "")
    lines = [
        "    server {",
        f"        listen {place.address}:{place.http_port}{default} backlog=1024;"
        if default
        else f"        listen {place.address}:{place.http_port};",
        f"        listen {place.address}:{place.https_port} ssl http2{default};",
        f"        server_name {_server_name(host.name)};",
        f"        ssl_certificate {certificate};",
        f"        ssl_certificate_key {certificate};",
    ]
    if host.redirect:
        lines += ["        if ($scheme = http) {", "            return 308 https://$host$request_uri;", "        }"]
    # Regular expressions are tried in the order in which they stand: the longest path first.
    for location in sorted(host.locations.values(), key=lambda entry: -len(entry.path)):
        lines += _locations(host, location)
    if not any(_is_root(location) for location in host.locations.values()):
        lines.append("        location / { return 404; }")
    return "\n".join([*lines, "    }", ""])


def _server_name(name: str) -> str:
    if not name:
        return "_"
    if name.startswith("*."):
        return '"~^[^.]+' + re.escape(name[1:]) + '$"'
    return name


def _is_root(location: Location) -> bool:
    return location.kind not in (EXACT, REGEX) and location.path == "/"


def _locations(host: Host, location: Location) -> list[str]:
    """The location, or the two that a prefix of whole path elements takes."""
    path = _UNSAFE.sub("", location.path) if location.kind != REGEX else location.path.replace('"', "")
    if location.kind == REGEX:
        return _location(f'~* "^{path}"', location, path)
    if location.kind == EXACT:
        return _location(f"= {path}", location, path)
    if path == "/":
        return _location("/", location, path)
    both = [] if (EXACT, location.path) in host.locations else _location(f"= {path}", location, path)
    return both + _location(f"{path}/", location, path)


def _location(matcher: str, location: Location, path: str) -> list[str]:
    if not location.upstream.servers:
        return [f"        location {matcher} {{ return 503; }}"]
    scheme = "https" if location.secure else "http"
    overridden = {directive for directive, _ in location.directives}
    headers = "".join(
        line for line in _HEADERS.splitlines(keepends=True) if not any(line.strip().startswith(d) for d in overridden)
    )
    lines = [f"        location {matcher} {{", headers.rstrip("\n")]
    lines += [f"            {directive} {value};" for directive, value in location.directives]
    if location.rewrite:
        lines.append(f'            rewrite "(?i){path}" {_UNSAFE_REWRITE.sub("", location.rewrite)} break;')
    if location.upstream.external:
        lines.append(f'            set $external "{_UNSAFE.sub("", location.upstream.servers[0])}";')
        lines.append(f"            proxy_pass {scheme}://$external;")
    else:
        lines.append(f"            proxy_pass {scheme}://{location.upstream.name};")
    return [*lines, "        }"]


_UNSAFE_REWRITE = re.compile(r'[\s"\'\\;{}]')  # `$1` is what a rewrite is for
