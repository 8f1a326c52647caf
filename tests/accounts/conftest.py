"""Fixtures that tests of single processes share."""

from tests.accounts.pair import elsewhere, processors, second
from tests.accounts.signing_in import place, sign_in_process
from tests.stack.rest_api import api, api_process, database, written

__all__ = ["api", "api_process", "database", "elsewhere", "place", "processors", "second", "sign_in_process", "written"]
