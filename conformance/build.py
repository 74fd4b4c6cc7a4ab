"""Building upstream's e2e test binary and the programs its test images need, out of Debian's source package.

Debian ships the source of Kubernetes 1.20 with all it vendors. It is fetched with apt through the machine's own
sources (only turned to `deb-src`, in a directory of ours), built with Debian's Go in GOPATH mode, and kept in a cache
outside the repository; a step whose result is there is not done again. Nothing of upstream's is committed.

Three things are amended in the cached tree, because the package leaves them out or Go moved on: two generated files
are made with the vendored go-bindata, and two vendored libraries that crash under Go 1.18 and later give way to
Debian's packages of them.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "dpkg-dev",
    "golang-go",
    "golang-github-modern-go-reflect2-dev",
    "golang-github-json-iterator-go-dev",
)
# kubectl's idea of its version, which the linker sets: a test reads it.
_VERSION = {"gitVersion": "v1.20.2", "gitMajor": "1", "gitMinor": "20", "gitTreeState": "archive"}
_VERSION_PACKAGES = ("component-base/version", "client-go/pkg/version")
DEBIAN_GO = Path("/usr/share/gocode/src/github.com")
PROGRAMS = {
    "agnhost": "./test/images/agnhost",
    "nonewprivs": "./test/images/nonewprivs",
    "sample-apiserver": "./staging/src/k8s.io/sample-apiserver",
    "ginkgo": "./vendor/github.com/onsi/ginkgo/ginkgo",
    "go-bindata": "./vendor/github.com/go-bindata/go-bindata/go-bindata",
}
BINDATA = (
    (
        "test/e2e/generated/bindata.go",
        (),
        (
            "test/conformance/testdata/...",
            "test/e2e/testing-manifests/...",
            "test/e2e_node/testing-manifests/...",
            "test/images/...",
            "test/fixtures/...",
        ),
    ),
    ("staging/src/k8s.io/kubectl/pkg/generated/bindata.go", ("-nocompress",), ("translations/...",)),
)
IGNORED = (r".jpg", r".png", r".md", r"BUILD(\.bazel)?")

Tell = Callable[[str], None]


def default_cache() -> Path:
    """Where builds are kept: `$PYNETES_CONFORMANCE_CACHE`, or below the user's cache directory."""
    if chosen := os.environ.get("PYNETES_CONFORMANCE_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pynetes" / "conformance"


@dataclass
class Build:
    """The cache and what is in it."""

    cache: Path
    tell: Tell = print

    @property
    def tree(self) -> Path:
        """The source tree, at its place below GOPATH."""
        return self.cache / "gopath" / "src" / "k8s.io" / "kubernetes"

    def binary(self, name: str) -> Path:
        """A built program."""
        return self.cache / "bin" / name

    def all(self) -> None:
        """Fetch, amend and build whatever is missing."""
        if all(self.binary(name).exists() for name in (*PROGRAMS, "e2e.test", "kubectl")):
            return
        install(PACKAGES, self.tell)
        self._fetch()
        self._amend()
        for name, package in PROGRAMS.items():
            self._go(name, "build", package)
        self._generate()
        self._go("kubectl", "build", "./cmd/kubectl")
        self._go("e2e.test", "test", "-c", "./test/e2e")

    def _fetch(self) -> None:
        if self.tree.exists():
            return
        self.tell("fetching Debian's source package of Kubernetes")
        work = self.cache / "source"
        for directory in ("parts", "lists/partial"):
            (work / directory).mkdir(parents=True, exist_ok=True)
        for file in _apt_sources():
            text = file.read_text()
            if file.suffix == ".sources":
                text = text.replace("Types: deb\n", "Types: deb-src\n")
            else:
                text = "\n".join(line.replace("deb ", "deb-src ", 1) for line in text.splitlines()) + "\n"
            (work / "parts" / file.name).write_text(text)
        options = [
            f"-oDir::Etc::sourceparts={work / 'parts'}",
            "-oDir::Etc::sourcelist=/dev/null",
            f"-oDir::State::lists={work / 'lists'}",
        ]
        run_step(["apt-get", *options, "update", "-qq"], work)
        run_step(["apt-get", *options, "source", "-qq", "kubernetes=1.20*"], work)
        unpacked = next(path for path in work.glob("kubernetes-1.20*") if path.is_dir())
        self.tree.parent.mkdir(parents=True, exist_ok=True)
        unpacked.rename(self.tree)

    def _amend(self) -> None:
        """Put Debian's libraries in the place of the two that do not work with its Go."""
        for library in ("modern-go/reflect2", "json-iterator/go"):
            vendored = self.tree / "vendor" / "github.com" / library
            marker = vendored / ".from-debian"
            if not marker.exists():
                shutil.rmtree(vendored)
                shutil.copytree(DEBIAN_GO / library, vendored)
                marker.touch()

    def _generate(self) -> None:
        """The two files of embedded data that the source package lacks."""
        for output, options, inputs in BINDATA:
            target = self.tree / output
            if target.exists():
                continue
            self.tell(f"generating {output}")
            target.parent.mkdir(parents=True, exist_ok=True)
            ignored = [word for pattern in IGNORED for word in ("-ignore", pattern)]
            command = [str(self.binary("go-bindata")), "-nometadata", *options, "-o", output, "-pkg", "generated"]
            run_step([*command, *ignored, *inputs], self.tree)

    def _go(self, name: str, verb: str, *arguments: str) -> None:
        target = self.binary(name)
        if target.exists():
            return
        self.tell(f"building {name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{name}.new")
        environment = os.environ | {
            "GO111MODULE": "off",
            "CGO_ENABLED": "0",
            "GOPATH": str(self.cache / "gopath"),
            "GOCACHE": str(self.cache / "go-build"),
            "GOFLAGS": "",
        }
        flags = ["-c"] if arguments[:1] == ("-c",) else []
        package = arguments[-1]
        versions = " ".join(
            f"-X k8s.io/kubernetes/vendor/k8s.io/{where}.{key}={value}"
            for where in _VERSION_PACKAGES
            for key, value in _VERSION.items()
        )
        command = ["go", verb, *flags, "-ldflags", f"-s -w {versions}", "-o", str(draft), package]
        run_step(command, self.tree, environment)
        draft.rename(target)


def install(packages: tuple[str, ...], tell: Tell) -> None:
    """Install the Debian packages that are missing."""
    missing = [name for name in packages if not _installed(name)]
    if missing:
        tell(f"installing {' '.join(missing)}")
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run_step(["apt-get", "update", "-qq"], Path("/"), environment)
        run_step(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], Path("/"), environment)


def _installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${Status}", package]
    return "install ok installed" in subprocess.run(query, capture_output=True, text=True, check=False).stdout


def _apt_sources() -> list[Path]:
    """The machine's lists of Debian's own packages; other vendors' have no source of Kubernetes."""
    found = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    return [file for file in found if file.is_file() and " main" in file.read_text() and "debian" in file.read_text()]


class BuildError(Exception):
    """A step failed; the text says which and how it ended."""


def run_step(command: list[str], directory: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise BuildError(f"{' '.join(command)} failed:\n{last}")
