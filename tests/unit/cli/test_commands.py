"""The command line: help that teaches, completion, and errors in one line instead of a traceback."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pynetes import __version__
from pynetes.cli import main as cli
from pynetes.cli.common import table
from pynetes.cluster.config import Cluster

Run = subprocess.CompletedProcess[str]
Pynetes = Callable[..., Run]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYNETES_STATE_DIR": str(tmp_path / "state"), "KUBECONFIG": str(tmp_path / "kubeconfig")}


@pytest.fixture
def pynetes(environment: dict[str, str]) -> Pynetes:
    def run(*arguments: str, **more: str) -> Run:
        command = [sys.executable, "-m", "pynetes", *arguments]
        return subprocess.run(
            command, env=environment | more, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    return run


def refusal(done: Run) -> str:
    """What a command that failed says: never a traceback."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_help_names_every_command_with_what_it_does(pynetes: Pynetes) -> None:
    done = pynetes("--help")
    assert done.returncode == 0
    for name in cli.COMMANDS:
        assert re.search(rf"^ +{name} +\w", done.stdout, re.MULTILINE), name
    assert "pynetes up" in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main([name, "--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: pynetes {name}")
    assert re.search(r"\n\n[A-Z].*\.\n", text), text


@pytest.mark.parametrize("verb", ["load", "build", "ls", "rm"])
def test_every_image_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["image", verb, "--help"])
    assert leaving.value.code == 0
    assert "--name" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_scripts_know_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["--print-completion", shell])
    assert leaving.value.code == 0
    script = capsys.readouterr().out
    for name in (*cli.COMMANDS, "--control-plane-only"):
        assert name in script


def test_bash_accepts_its_completion_script(pynetes: Pynetes) -> None:
    script = pynetes("--print-completion", "bash").stdout
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_version_says_which_kubernetes(pynetes: Pynetes) -> None:
    assert pynetes("--version").stdout == f"pynetes {__version__}\n"
    lines = pynetes("version").stdout.splitlines()
    assert lines[0] == f"pynetes {__version__}"
    assert lines[1].startswith("Kubernetes v1.37")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("fly",), "invalid choice: 'fly'"),
        (("up", "--nodes", "0"), "1 to 100 nodes"),
        (("up", "--nodes", "many"), "--nodes"),
        (("up", "--nodes", "2", "--control-plane-only"), "exclude each other"),
        (("up", "--name", "Bad_Name"), "invalid cluster name 'Bad_Name'"),
        (("up", "--extra-config", "kubelet.max-pods"), "'kubelet.max-pods' is not of the form COMPONENT.FLAG=VALUE"),
        (("up", "--extra-config", "etcd.port=1"), "'etcd.port=1' is not of the form COMPONENT.FLAG=VALUE"),
        (("node", "list"), "no cluster named 'default'"),
        (("node", "stop", "node-1", "--name", "x"), "no cluster named 'x'"),
        (("node", "start"), "NODE"),
        (("node",), "VERB"),
        (("status", "--name", "../x"), "invalid cluster name '../x'"),
        (("status",), "no cluster named 'default'; `pynetes up` starts one"),
        (("down", "--name", "none"), "no cluster named 'none'"),
        (("kubeconfig",), "no cluster named 'default'"),
        (("logs", "apiserver"), "no cluster named 'default'"),
        (("image", "ls"), "no cluster named 'default'"),
        (("image", "load", "/no/such"), "no cluster named 'default'"),
        (("image",), "VERB"),
        (("server",), "the first start needs --address"),
        (("server", "--join", "x"), "no cluster named 'default'"),
        (("agent",), "--join-file"),
        (("agent", "--join-file", "/no/such"), "/no/such"),
    ],
)
def test_mistakes_are_told_in_a_sentence(pynetes: Pynetes, arguments: tuple[str, ...], text: str) -> None:
    assert text in refusal(pynetes(*arguments))


@pytest.mark.parametrize("content", ["{", "[]", "text", '{"a": 1}'])
def test_a_join_file_that_is_none_is_refused(pynetes: Pynetes, tmp_path: Path, content: str) -> None:
    file = tmp_path / "join"
    file.write_text(content)
    assert str(file) in refusal(pynetes("agent", "--join-file", str(file)))


def test_deleting_what_is_not_there_leaves_the_machine_as_it_is(pynetes: Pynetes, tmp_path: Path) -> None:
    done = pynetes("delete")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()


def test_doctor_says_what_is_there_and_what_is_not(pynetes: Pynetes) -> None:
    done = pynetes("doctor")
    assert "Traceback" not in done.stderr
    for what in ("containerd", "runc", "cgroups"):
        assert what in done.stdout


def test_a_table_is_aligned_and_has_no_trailing_space() -> None:
    assert table(("A", "LONGER"), [("longest", "x"), ("", "y")]) == "A         LONGER\nlongest   x\n          y"


def test_a_stopped_cluster_is_told_with_the_command_that_starts_it(
    pynetes: Pynetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYNETES_STATE_DIR", str(tmp_path / "state"))
    Cluster("other").save()
    done = pynetes("status", "--name", "other")
    assert (done.returncode, done.stdout) == (1, "cluster other is stopped; `pynetes up --name other` starts it\n")
    assert "`pynetes up --name other` starts it" in refusal(pynetes("image", "ls", "--name", "other"))
    assert pynetes("status", "--all").stdout.splitlines()[1].split() == [
        "other",
        "stopped",
        "1",
        "https://127.0.0.1:6443",
    ]
