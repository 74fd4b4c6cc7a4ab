"""A server for each module, and definitions to give it."""

from tests.component.apiserver.conftest import http, server  # noqa: F401 - the fixtures of the API server's own tests
