"""What the supervisor's children share: modules, and what OpenSSL works out at its first connection.

Memory that is written before a fork is the children's together until one of them writes to it. So the components'
modules are imported here, and one TLS handshake is made with itself, in memory: what OpenSSL looks up and keeps for
that would otherwise be in each process once more.
"""

import contextlib
import gc
import importlib
import ssl
from pathlib import Path

from pynetes.cluster import config, units


def preload(cluster: config.Cluster) -> None:
    """Do what all components would do first; then put it out of the garbage collector's reach."""
    for module in sorted({unit.module for unit in units.all_units(cluster) if unit.module}):
        importlib.import_module(f"{module}.main")
    pki = cluster.path("pki")
    for certificate in [pki / "apiserver.crt", *pki.glob("kubelet-server-*.crt")]:
        if certificate.exists():
            with contextlib.suppress(ssl.SSLError):  # the components will say it better; here it only costs memory
                shake_hands(pki / "ca.crt", certificate)
            break
    gc.collect()
    gc.freeze()


def shake_hands(authority: Path, certificate: Path) -> None:
    """A TLS handshake between a server with this certificate (its key beside it) and a client that trusts the CA."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, certificate.with_suffix(".key"))
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False  # nobody is at the other end
    asking.load_verify_locations(authority)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [asking.wrap_bio(down, up), serving.wrap_bio(up, down, server_side=True)]
    while sides:
        for side in [*sides]:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
