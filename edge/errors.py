"""The one way to say no: a code of the protocol's table, the same over WebSocket and REST."""

from collections.abc import Mapping

from schemas.frames import ERRORS, ErrorCode


class Refused(Exception):
    """A request is not done, and the client is told why.

    Attributes:
        code: a code of the protocol's table; `schemas.frames.ERRORS` says its HTTP status and whether to try again.
        message: a sentence for the client; the table's where none was given.
        retry_after_ms: milliseconds until the same request may succeed, where that is known.
        fields: what is wrong with each field, by its name, where fields are what is wrong.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str | None = None,
        *,
        retry_after_ms: int | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.message = ERRORS[code].message if message is None else message
        self.retry_after_ms = retry_after_ms
        self.fields = dict(fields or {})
        super().__init__(f"{code}: {self.message}")

    @property
    def retryable(self) -> bool:
        """Whether the same request, with the same ids, may succeed later."""
        return ERRORS[self.code].retryable


class Forbidden(Refused):
    """`forbidden`: their role, or the installation, does not allow it. The audit log is told.

    Attributes:
        project_id: where it was not allowed, and whose admins may read that.
        action: what, as `schemas.roles.Action` calls it.
    """

    def __init__(self, project_id: str, action: str, message: str | None = None) -> None:
        self.project_id = project_id
        self.action = action
        super().__init__(ErrorCode.FORBIDDEN, message)


def invalid(**fields: str) -> Refused:
    """A refusal that names the fields that are wrong and says what is wrong with each."""
    sentence = "; ".join(f"{name}: {what}" for name, what in fields.items())
    return Refused(ErrorCode.INVALID, sentence, fields=fields)
