"""Images without a registry: what is built can be built upon, run, and removed."""

from pathlib import Path

from tests.e2e.conftest import BUSYBOX, Cluster, pod


def test_an_image_is_built_upon_what_the_nodes_hold(cluster: Cluster, tmp_path: Path) -> None:
    for name, dockerfile in (
        ("pynetes.test/first:1", f"FROM {BUSYBOX}\nRUN echo first >/said\n"),
        ("second", f"FROM pynetes.test/first:1 AS first\nFROM {BUSYBOX}\nCOPY --from=first /said /said\n"),
    ):
        (tmp_path / "Dockerfile").write_text(dockerfile)
        cluster.pynetes("image", "build", "-t", name, str(tmp_path))
    listed = cluster.pynetes("image", "ls")
    assert "pynetes.test/first:1" in listed and "docker.io/library/second:latest" in listed
    told = {"name": "c", "image": "second", "imagePullPolicy": "Never", "command": ["cat", "/said"]}
    cluster.apply(pod("p", told, restartPolicy="Never"))
    cluster.wait("jsonpath={.status.phase}=Succeeded", "pod/p")
    assert cluster.kubectl("logs", "p") == "first\n"
    for name in ("pynetes.test/first:1", "second"):
        cluster.pynetes("image", "rm", name)
    assert "second" not in cluster.pynetes("image", "ls")


def test_a_faulty_dockerfile_is_refused_in_buildahs_words(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    answer = cluster.pynetes("image", "build", "-t", "faulty", str(tmp_path), ok=False)
    assert f"pynetes: the build of {tmp_path} failed:" in answer and '"/nothing": no such file' in answer
    (tmp_path / "Dockerfile").unlink()
    assert "failed" in cluster.pynetes("image", "build", "-t", "faulty", str(tmp_path), ok=False)
