"""Variables out of files that containers wrote."""

from pathlib import Path

import pytest

from pynetes.kubelet import env_file
from pynetes.kubelet.env import ConfigError, PodFacts, make_environment
from pynetes.kubelet.env_file import EnvFileError, parse

TEXT = """
# a comment
  A='1'
B='two
lines' # and a remark
C= 'nothing'
D='$A "literally"'
"""


@pytest.mark.parametrize("key, value", [("A", "1"), ("B", "two\nlines"), ("C", ""), ("D", '$A "literally"'), ("E", "")])
def test_values_are_what_stands_between_single_quotes(key, value):
    assert parse(TEXT, key) == value


@pytest.mark.parametrize("line", ["A=1", 'A="1"', "A ='1'", "='1'", "A", "A='1", "A='1'2", "A="])
def test_anything_else_is_refused(line):
    with pytest.raises(EnvFileError):
        parse(f"{line}\nB='2'\n", "B")


def test_no_link_leads_out_of_the_volume(tmp_path: Path):
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "secret").write_text("A='outside'")
    (volume / "secret").write_text("A='inside'")
    (volume / "link").symlink_to("/../../secret")
    for path in ("secret", "link", "../secret"):
        assert env_file.read(volume, path, "A") == "inside"


async def _environment(volume: Path | None, **reference):
    entry = {"name": "X", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "f", "key": "A", **reference}}}

    async def nothing(*_: str):
        raise AssertionError

    facts = PodFacts({"metadata": {}, "spec": {}}, [], [], {}, [], nothing, lambda name: volume)
    return (await make_environment({"name": "c", "env": [entry]}, facts)).variables


async def test_what_is_missing_is_said_unless_it_is_optional(tmp_path: Path):
    (tmp_path / "f").write_text("A='1'\n")
    assert await _environment(tmp_path) == {"X": "1"}
    assert await _environment(tmp_path, key="B", optional=True) == {}
    for volume, reference, text in (
        (tmp_path, {"key": "B"}, 'environment variable key "B" not found in file "f"'),
        (tmp_path, {"path": "nope", "optional": True}, "couldn't parse env file"),
        (None, {}, 'cannot find the volume "v" referenced by FileKeyRef'),
    ):
        with pytest.raises(ConfigError) as caught:
            await _environment(volume, **reference)
        assert str(caught.value) == text
