"""What users do with kubectl to running pods: logs, exec, attach, cp, and the ways in. Through every kubectl found."""

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import BUSYBOX, Cluster, container, eventually, pod
from tests.e2e.kubectl import WEB, Terminal, background, read_until, start

# -- in containers --------------------------------------------------------------------------------------------------


def test_logs_of_one_container_of_several(k: Cluster) -> None:
    start(k, pod("p", container("a", "echo from a; sleep 3600"), container("b", "echo from b; sleep 3600")))
    eventually(lambda: k.kubectl("logs", "p", "-c", "a") == "from a\n")
    eventually(lambda: k.kubectl("logs", "p", "-c", "b") == "from b\n")
    both = k.kubectl("logs", "-l", "app=p", "--all-containers", "--prefix")
    assert "[pod/p/a] from a" in both
    unnamed = k.kubectl("get", "--raw", f"/api/v1/namespaces/{k.namespace}/pods/p/log", ok=False)
    assert "a container name must be specified for pod p, choose one of: [a b]" in unnamed
    unknown = k.kubectl("logs", "p", "-c", "none", ok=False)
    assert "container none is not valid for pod p" in unknown


def test_logs_tail_since_and_timestamps(k: Cluster) -> None:
    start(k, pod("p", container(command="seq 1 5; sleep 3600")))
    eventually(lambda: k.kubectl("logs", "p").split() == ["1", "2", "3", "4", "5"])
    assert k.kubectl("logs", "p", "--tail=2").split() == ["4", "5"]
    assert k.kubectl("logs", "p", "--tail=0") == ""
    assert k.kubectl("logs", "p", "--since=1h").split() == ["1", "2", "3", "4", "5"]
    assert k.kubectl("logs", "p", "--limit-bytes=3") == "1\n2"
    stamp, text = k.kubectl("logs", "p", "--timestamps", "--tail=1").split()
    assert text == "5"
    assert stamp.endswith("Z") and "T" in stamp
    time.sleep(1.5)
    assert k.kubectl("logs", "p", "--since=1s") == ""


def test_logs_follow_until_the_container_ends(k: Cluster) -> None:
    k.apply(pod("p", container(command="for i in 1 2 3; do echo $i; sleep 0.5; done"), restartPolicy="Never"))
    k.kubectl("wait", "--for=condition=PodScheduled", "pod/p")
    eventually(lambda: k.kubectl("logs", "p", ok=False).startswith("1"))
    assert k.kubectl("logs", "-f", "p", timeout=20).split() == ["1", "2", "3"]


def test_logs_of_the_previous_instance(k: Cluster) -> None:
    k.apply(pod("p", container(command="echo $HOSTNAME $(cat /proc/uptime | cut -d. -f1); exit 1")))

    def has_restarted() -> bool:
        statuses = k.get("pod", "p")["status"].get("containerStatuses")
        return bool(statuses) and statuses[0]["restartCount"] >= 1

    eventually(has_restarted)
    assert k.kubectl("logs", "p", "-p").startswith("p ")
    start(k, pod("fresh"))
    assert 'previous terminated container "c" in pod "fresh" not found' in k.kubectl("logs", "fresh", "-p", ok=False)


def test_exec_runs_commands_and_returns_their_exit_code(k: Cluster) -> None:
    start(k, pod("p"))
    assert k.kubectl("exec", "p", "--", "echo", "hello") == "hello\n"
    done = k.popen("exec", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 7",
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    out, err = done.communicate(timeout=20)
    assert (done.returncode, out) == (7, b"out\n")
    assert b"err\n" in err
    assert "not found" in k.kubectl("exec", "p", "--", "no-such-command", ok=False)
    assert 'pods "none" not found' in k.kubectl("exec", "none", "--", "true", ok=False)
    assert "container" in k.kubectl("exec", "p", "-c", "none", "--", "true", ok=False)


def test_exec_passes_piped_input_whole(k: Cluster) -> None:
    start(k, pod("p"))
    text = "".join(f"{number}\n" for number in range(100_000))
    assert k.kubectl("exec", "-i", "p", "--", "cat", stdin=text) == text
    assert k.kubectl("exec", "-i", "p", "--", "wc", "-l", stdin=text).strip() == "100000"


def test_exec_on_a_terminal_follows_its_size(k: Cluster) -> None:
    start(k, pod("p"))
    terminal = Terminal(k, "exec", "-it", "p", "--", "sh", rows=31, columns=101)
    terminal.expect("#")
    eventually(lambda: terminal.type("stty size\n") or "31 101" in terminal.expect("#"), 5)
    terminal.resize(42, 123)
    eventually(lambda: terminal.type("stty size\n") or "42 123" in terminal.expect("#"), 5)
    terminal.type("tty; exit 3\n")
    terminal.expect("/dev/pts/")
    assert terminal.close() == 3


def test_attach_speaks_with_the_first_process(k: Cluster) -> None:
    talker = container(command='while read line; do echo "got $line"; done; echo over', stdin=True, stdinOnce=True)
    start(k, pod("p", talker, restartPolicy="Never"))
    text = k.kubectl("attach", "-i", "p", stdin="one\ntwo\n")
    assert "got one\ngot two\n" in text
    eventually(lambda: k.get("pod", "p")["status"]["phase"] == "Succeeded")


def test_run_rm_attaches_and_cleans_up(k: Cluster) -> None:
    text = k.kubectl("run", "once", "--rm", "-i", "--restart=Never", f"--image={BUSYBOX}", "--",
                     "sh", "-c", "read line; echo said $line", stdin="hello\n", timeout=60)  # fmt: skip
    assert "said hello" in text
    assert 'pod "once" deleted' in text
    eventually(lambda: "NotFound" in k.kubectl("get", "pod", "once", ok=False), 10)


def test_cp_both_ways(k: Cluster, tmp_path: Path) -> None:
    start(k, pod("p"))
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "file").write_bytes(os.urandom(300_000))
    k.kubectl("cp", str(tmp_path / "sent"), f"{k.namespace}/p:/tmp/there")
    k.kubectl("cp", f"{k.namespace}/p:/tmp/there/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent" / "file").read_bytes()


# -- ways in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["pod/web", "service/web"])
def test_port_forward_reaches_the_container(k: Cluster, target: str) -> None:
    start(k, pod("web", container(command=WEB, ports=[{"containerPort": 8080}])))
    k.kubectl("expose", "pod", "web", "--port=80", "--target-port=8080")
    port = "8080" if target.startswith("pod") else "80"
    with background(k, "port-forward", target, f":{port}") as forwarding:
        line = read_until(forwarding, "-> 8080")
        address = line.split("Forwarding from ")[1].split(" ")[0]
        for _ in range(5):
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                assert answer.read() == b"hello\n"


def test_proxy_serves_the_api_pods_and_services(k: Cluster) -> None:
    start(k, pod("web", container(command=WEB, readinessProbe={"httpGet": {"port": 8080}, "periodSeconds": 1})))
    k.kubectl("expose", "pod", "web", "--port=80", "--target-port=8080")
    with background(k, "proxy", "--port=0") as proxy:
        address = read_until(proxy, "\n").split()[-1]

        def get(path: str) -> bytes:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return bytes(answer.read())

        assert json.loads(get("/version"))["minor"] == "37"
        prefix = f"/api/v1/namespaces/{k.namespace}"
        assert get(f"{prefix}/pods/web:8080/proxy/") == b"hello\n"
        assert eventually(lambda: k.get("endpoints", "web").get("subsets"))
        assert get(f"{prefix}/services/web:80/proxy/") == b"hello\n"


def test_expose_gives_a_service_that_answers(k: Cluster) -> None:
    start(k, pod("web", container(command=WEB), labels={"app": "web"}))
    assert (
        k.kubectl("expose", "pod", "web", "--port=80", "--target-port=8080", "--name=front")
        == "service/front exposed\n"
    )
    row = k.kubectl("get", "service", "front").splitlines()[1].split()
    assert row[1] == "ClusterIP" and row[3:5] == ["<none>", "80/TCP"]
    start(k, pod("client"))
    ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2"
    eventually(lambda: "hello" in k.kubectl("exec", "client", "--", "sh", "-c", f"{ask} {row[2]} 80", ok=False))
    name = f"front.{k.namespace}.svc.cluster.local"
    eventually(lambda: row[2] in k.kubectl("exec", "client", "--", "nslookup", "-type=a", name))
