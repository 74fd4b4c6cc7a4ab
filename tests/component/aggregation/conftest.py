"""A server for each module."""

from tests.component.apiserver.conftest import http  # noqa: F401 - the fixture of the API server's own tests
