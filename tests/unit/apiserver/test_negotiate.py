"""What Accept and Content-Type headers mean."""

import pytest

from pynetes.apiserver import negotiate
from pynetes.apiserver.http import warning
from pynetes.apiserver.request import Request
from pynetes.machinery.errors import StatusError

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "media", "transform"),
    [
        ("", "application/json", ""),
        ("*/*", "application/json", ""),
        ("application/yaml", "application/yaml", ""),
        ("text/html,application/*;q=0.5", "application/json", ""),
        ("application/json;q=0.1,application/yaml", "application/yaml", ""),
        (f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "application/json", "Table"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "application/json", ""),
        ("application/json;as=Poem;v=v1;g=meta.k8s.io,application/json", "application/json", ""),
        ("application/vnd.kubernetes.protobuf,application/json", "application/json", ""),
        ("application/vnd.kubernetes.protobuf, */*", "application/json", ""),
    ],
)
def test_the_most_wanted_form_that_can_be_had(accept: str, media: str, transform: str) -> None:
    form = negotiate.accepted(Request("GET", "/", headers={"accept": accept}))
    assert (form.media, form.transform) == (media, transform)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/vnd.kubernetes.protobuf", "application/json;as=Poem;g=x;v=y"]
)
def test_what_cannot_be_had_is_406(accept: str) -> None:
    with pytest.raises(StatusError) as caught:
        negotiate.accepted(Request("GET", "/", headers={"accept": accept}))
    assert caught.value.code == 406


def test_an_error_is_told_even_to_who_accepts_nothing() -> None:
    error = negotiate.error_response(Request("GET", "/", headers={"accept": "text/html"}), StatusError(404, "x", "y"))
    assert (error.status, error.headers["Content-Type"]) == (404, "application/json")


def test_people_get_indented_json() -> None:
    assert negotiate.wants_pretty(Request("GET", "/", headers={"user-agent": "curl/8"}))
    assert negotiate.wants_pretty(Request("GET", "/", raw_query="pretty=true"))
    assert not negotiate.wants_pretty(Request("GET", "/", raw_query="pretty=false", headers={"user-agent": "curl/8"}))
    assert not negotiate.wants_pretty(Request("GET", "/", headers={"user-agent": "kubectl/v1.32"}))


def test_warnings_are_quoted() -> None:
    assert warning('say "a\\b"\n') == '299 - "say \\"a\\\\b\\" "'
