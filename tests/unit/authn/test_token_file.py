"""Static tokens."""

from pathlib import Path

import pytest

from pynetes.apiserver.authn import token_file
from pynetes.apiserver.request import UserInfo


def test_a_line_is_a_token_with_its_user(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text('t1,jane,1,"dev,ops"\nt2,bob,2\n\n')
    assert token_file.load(file) == {"t1": UserInfo("jane", "1", ("dev", "ops")), "t2": UserInfo("bob", "2")}


def test_a_short_line_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text("t1,jane\n")
    with pytest.raises(ValueError, match="expected at least 3 columns, found 2"):
        token_file.load(file)
