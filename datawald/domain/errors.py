"""The errors of DataWald, named by what happens next.

::

    DataWaldError
    ├── Retryable        nothing was written: the same call may be made again, after ``retry_after`` seconds if given
    ├── InDoubt          a write may or may not have happened: look it up before anything is written again
    ├── Rejected         the target refused this record and wrote nothing: a person decides
    ├── Misconfigured    credentials, rights, URL, company settings: the whole connection is wrong; nothing was written
    ├── BadInput         what the caller handed in cannot be accepted; ``field`` says where
    ├── NotFound         what the caller named does not exist
    └── Conflict         what the caller wants contradicts what is stored

The connectors raise the first four (translated at their edge: no error of requests, urllib3 or OAuth ever gets past
them), the core the last three. ``InDoubt`` is the only one after which something may have been written outside. The
base classes of the agencies turn the first four into outcomes; an error by itself moves no record's status.
"""

from __future__ import annotations

from typing import Any


class DataWaldError(Exception):
    """Base of every error of ours; survives pickling and copying with all it carries.

    ``message`` is for people and free of secrets. ``system`` is the connection or system it came from (``"b1_main"``),
    ``status`` the HTTP status answered, ``code`` the system's own code (SAP's ``"-2028"``), ``detail`` what else the
    system said, made of plain JSON values.
    """

    def __init__(
        self,
        message: str,
        *,
        system: str = "",
        status: int | None = None,
        code: str | None = None,
        detail: Any = None,
    ) -> None:
        # Only the message goes to Exception.args: unpickling calls cls(*args) and then restores __dict__, so that
        # keyword-only arguments of subclasses need no __reduce__ of their own as long as they have defaults.
        super().__init__(message)
        self.message = message
        self.system = system
        self.status = status
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.system}: {self.message}" if self.system else self.message


class Retryable(DataWaldError):
    """It did not work this time and nothing was written: try again, not sooner than ``retry_after`` seconds."""

    def __init__(self, message: str, *, retry_after: float | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after


class InDoubt(DataWaldError):
    """A write was sent and its effect is unknown: it may have happened, or may still happen. Look it up."""


class Rejected(DataWaldError):
    """The target refused this record, and would refuse it again: nothing was written, a person decides."""


class Misconfigured(DataWaldError):
    """Credentials, rights, the URL or a company setting are wrong: every record of this connection would fail."""


class BadInput(DataWaldError):
    """What the caller handed in cannot be accepted; ``field`` names the offending part (``"items.0.sku"``)."""

    def __init__(self, message: str, *, field: str | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.field = field


class NotFound(DataWaldError):
    """What the caller named does not exist."""


class Conflict(DataWaldError):
    """What the caller wants contradicts what is stored (a stale token, a status that forbids it)."""
