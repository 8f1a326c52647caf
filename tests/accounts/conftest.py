"""Fixtures that tests of single processes share."""

from tests.accounts.signing_in import place, sign_in_process
from tests.stack.rest_api import api, api_process, database, written

__all__ = ["api", "api_process", "database", "place", "sign_in_process", "written"]
