"""A server for each module."""

from tests.component.apiserver.conftest import http, server  # noqa: F401 - the fixtures of the API server's own tests
