"""The images that the suite uses, made here so that they behave as the tests need.

Upstream's come from registries. These have the same names, entry points, ports and answers: what upstream builds from
its own tree (agnhost, the sample API server, …) is built from that tree, the rest is made from Debian packages. All
of them go into one archive, in which the Debian root file system that several share stands once.
"""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from conformance.build import Build, install, run_step
from pynetes.cluster import oci
from pynetes.cluster.oci import File, Image, ImageConfig, Layer

# Which registry each of upstream's names stands for; the invalid one must fail without a question to any DNS server.
REGISTRIES = {
    "gcAuthenticatedRegistry": "127.0.0.1:1/authenticated",
    "dockerLibraryRegistry": "docker.io/library",
    "dockerGluster": "docker.io/gluster",
    "e2eRegistry": "conformance.local/e2e",
    "e2eVolumeRegistry": "conformance.local/volume",
    "promoterE2eRegistry": "conformance.local/e2e",
    "buildImageRegistry": "conformance.local/build",
    "invalidRegistry": "127.0.0.1:1/invalid",
    "gcRegistry": "conformance.local",
    "sigStorageRegistry": "conformance.local/storage",
    "gcrReleaseRegistry": "conformance.local/release",
    "privateRegistry": "127.0.0.1:1/private",
    "sampleRegistry": "conformance.local/samples",
}
HOST_PACKAGES = ("debootstrap", "busybox-static", "catatonit", "etcd-server")
ROOT_PACKAGES = (
    "bash bind9-dnsutils bind9-host curl iperf iproute2 iputils-ping net-tools netcat-openbsd nginx-light perl "
    "procps redis-server redis-tools"
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Images:
    """Makes the archive in a build's cache."""

    build: Build

    @property
    def archive(self) -> Path:
        """The finished archive; a change of this file makes another."""
        recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
        return self.build.cache / f"images-{recipe}.tar"

    @property
    def registries(self) -> Path:
        """The file for KUBE_TEST_REPO_LIST."""
        return self.build.cache / "registries.yaml"

    def make(self) -> Path:
        """Make what is missing; returns the archive."""
        text = "".join(f"{name}: {registry}\n" for name, registry in REGISTRIES.items())
        self.registries.parent.mkdir(parents=True, exist_ok=True)
        self.registries.write_text(text)
        if self.archive.exists():
            return self.archive
        install(HOST_PACKAGES, self.build.tell)
        debian = self._debian()
        self.build.tell("making the test images")
        draft = self.archive.with_suffix(".new")
        oci.write_archive(draft, self._all(debian))
        draft.rename(self.archive)
        return self.archive

    def _debian(self) -> Layer:
        """A Debian root file system with the tools that tests run in containers."""
        packed = self.build.cache / "debian.tar.gz"
        if not packed.exists():
            self.build.tell("making a Debian root file system")
            root = self.build.cache / "debian"
            subprocess.run(["rm", "-rf", str(root)], check=True)
            include = ",".join(ROOT_PACKAGES.split())
            run_step(["debootstrap", "--variant=minbase", f"--include={include}", "bookworm", str(root)], Path("/"))
            for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
                subprocess.run(["rm", "-rf", str(root / waste)], check=True)
            draft = packed.with_suffix(".new")
            run_step(["tar", "--numeric-owner", "--sort=name", "-C", str(root), "-czf", str(draft), "."], Path("/"))
            draft.rename(packed)
            subprocess.run(["rm", "-rf", str(root)], check=True)
        return oci.layer_from(packed)

    def _all(self, debian: Layer) -> list[Image]:
        tree, binary = self.build.tree, self.build.binary
        box = _busybox()
        images = tree / "test" / "images"
        agnhost_files = {
            "/agnhost": File(binary("agnhost"), mode=0o755),
            "/agnhost-2": File(link="agnhost"),
            "/uploads": File(directory=True, mode=0o755),
            "/localhost.crt": File(images / "agnhost" / "porter" / "localhost.crt"),
            "/localhost.key": File(images / "agnhost" / "porter" / "localhost.key"),
        }
        path = {"PATH": PATH}
        agnhost = ImageConfig(
            entrypoint=["/agnhost"],
            command=["pause"],
            env=path,
            exposed_ports=["80/tcp", "8080/tcp", "8081/tcp", "9376/tcp"],
        )
        e2e, library = REGISTRIES["e2eRegistry"], REGISTRIES["dockerLibraryRegistry"]
        shell = ImageConfig(command=["sh"], env=path)
        page = {"/usr/local/apache2/htdocs/index.html": File(b"<html><body><h1>It works!</h1></body></html>\n")}
        # The first process of a container ignores SIGTERM unless it asks for it; the real httpd does, and ends at once.
        serve = "httpd -f -p 80 -h /usr/local/apache2/htdocs & trap 'kill $!; exit 0' TERM INT; wait"
        httpd = ImageConfig(command=["sh", "-c", serve], env=path, exposed_ports=["80/tcp"])
        nginx = ImageConfig(command=["nginx", "-g", "daemon off;"], env=path, exposed_ports=["80/tcp"])
        out = [
            Image(f"{e2e}/agnhost:2.21", [debian, oci.layer_of(agnhost_files)], agnhost),
            Image(f"{e2e}/jessie-dnsutils:1.0", [debian], ImageConfig(command=["bash"], env=path)),
            Image(f"{library}/busybox:1.29", [box], shell),
            Image(f"{library}/httpd:2.4.38-alpine", [box, oci.layer_of(page)], httpd),
            Image(f"{library}/httpd:2.4.39-alpine", [box, oci.layer_of(page)], httpd),
            Image(f"{library}/nginx:1.14-alpine", [debian], nginx),
            Image(f"{library}/nginx:1.15-alpine", [debian], nginx),
            Image(f"{library}/perl:5.26", [debian], ImageConfig(command=["perl", "-de0"], env=path)),
            Image(
                f"{library}/redis:5.0.5-alpine",
                [debian],
                ImageConfig(command=["redis-server", "--protected-mode", "no"], env=path, exposed_ports=["6379/tcp"]),
            ),
            Image(
                f"{REGISTRIES['gcRegistry']}/pause:3.2",
                [oci.layer_of({"/pause": File(Path("/usr/bin/catatonit"), mode=0o755)})],
                ImageConfig(entrypoint=["/pause", "-P"]),
            ),
            Image(
                f"{REGISTRIES['gcRegistry']}/etcd:3.4.13-0",
                [debian, oci.layer_of({"/usr/local/bin/etcd": File(Path("/usr/bin/etcd"), mode=0o755)})],
                ImageConfig(command=["/usr/local/bin/etcd"], env=path),
            ),
            Image(
                f"{e2e}/sample-apiserver:1.17",
                [box, oci.layer_of({"/kube-sample-apiserver": File(binary("sample-apiserver"), mode=0o755)})],
                ImageConfig(entrypoint=["/kube-sample-apiserver"], env=path),
            ),
            Image(
                f"{e2e}/nonewprivs:1.0",
                [box, oci.layer_of({"/usr/local/bin/nnp": File(binary("nonewprivs"), mode=0o6755)})],
                ImageConfig(command=["nnp"], env=path),
            ),
            Image(f"{e2e}/nonroot:1.0", [box], ImageConfig(command=["sh"], env=path, user="1234")),
        ]
        for animal in ("nautilus", "kitten"):
            html = images / animal / "html"
            files = {f"/{name}": File(html / name) for name in (f"{animal}.jpg", "data.json")}
            agnhost_only = oci.layer_of({"/agnhost": File(binary("agnhost"), mode=0o755)})
            # Upstream's base image serves its root directory on port 80.
            config = ImageConfig(entrypoint=["/agnhost"], command=["test-webserver"], env=path)
            out.append(Image(f"{e2e}/{animal}:1.0", [box, agnhost_only, oci.layer_of(files)], config))
        return out


def _busybox() -> Layer:
    files: dict[str, File] = {"/bin/busybox": File(Path("/bin/busybox"), mode=0o755)}
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    files |= {f"/bin/{applet}": File(link="/bin/busybox") for applet in applets if applet != "busybox"}
    files |= {
        "/etc/passwd": File(b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
        "/etc/group": File(b"root:x:0:\nnobody:x:65534:\n"),
        "/tmp": File(directory=True, mode=0o1777),
        "/root": File(directory=True, mode=0o700),
        "/home": File(directory=True),
        "/var": File(directory=True),
    }
    return oci.layer_of(files)


def environment(images: Images) -> dict[str, str]:
    """What e2e.test must see of them."""
    return dict(os.environ) | {"KUBE_TEST_REPO_LIST": str(images.registries)}
