"""Fixtures that tests of single processes share."""

from tests.stack.rest_api import api, api_process, database, written

__all__ = ["api", "api_process", "database", "written"]
