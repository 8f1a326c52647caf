"""Who calls, known before anything is done for them, and whether they may ask once more.

A request of somebody counts for that person, wherever they are; every other one for the address that it comes from.
Whose sign-in has ended is nobody: a stolen token that was revoked takes nothing of its owner's allowance.
"""

from typing import TypeAlias

from fastapi.security.utils import get_authorization_scheme_param

from edge.errors import Refused
from edge.rest.limits import Limits
from edge.revocations import Revocations
from edge.tokens import Principal, Tokens

Called: TypeAlias = Principal | Refused | None
"""Who calls; why not who they say they are; None where they say nothing."""


class Admission:
    """Looks at every request of REST at the door."""

    def __init__(self, tokens: Tokens, revocations: Revocations, limits: Limits) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._limits = limits

    async def admit(self, authorization: str | None, address: str) -> Called:
        """Count this request.

        Args:
            authorization: the header of that name.

        Raises:
            Refused: `rate_limited`.
        """
        called = await self._called(authorization)
        if isinstance(called, Principal):
            await self._limits.requests_of_people.take(called.user_id)
        else:
            await self._limits.requests_of_addresses.take(address)
        return called

    async def _called(self, authorization: str | None) -> Called:
        scheme, token = get_authorization_scheme_param(authorization)
        if scheme.lower() != "bearer" or not token:
            return None
        try:
            principal = self._tokens.verify(token)
            await self._revocations.check(principal.sign_in_id)
        except Refused as refused:
            return refused
        return principal
