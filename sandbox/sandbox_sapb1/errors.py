"""Refusals of the Service Layer, in the error shape of v2, and the sandbox's own "not played".

Codes and texts are those of recorded answers and of SAP's guide where there are any. Where no record exists the text
is ours (marked so); a client must not depend on those words, nor on the code -5002 that carries most of them.
"""

from __future__ import annotations

from typing import Any

NO_MATCH = "No matching records found (ODBC -2028)"


class ServiceLayerError(Exception):
    """A request the Service Layer refuses: HTTP status, its code and its text."""

    def __init__(self, status: int, code: int | str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = str(code)
        self.message = message
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The error object of v2; the code is a string there, and ``details`` always holds one empty entry."""
        return {
            "error": {"code": self.code, "details": [{"code": "", "message": ""}], "message": self.message},
        }


class NotPlayed(ServiceLayerError):
    """The real Service Layer could do this; the sandbox does not play it."""

    def __init__(self, what: str) -> None:
        super().__init__(501, "not-played", f"{what} is not played by the sandbox")


def invalid_session(path: str) -> ServiceLayerError:
    """Dead, missing or garbled session. The realm repeats the path; this answer carries no ``OData-Version``."""
    return ServiceLayerError(
        401,
        301,
        "Invalid session or session already timeout.",
        {"WWW-Authenticate": f"Basic realm={path}"},
    )


def login_failed(code: int) -> ServiceLayerError:
    """-304: wrong user or password. -306: unknown company. One text for both."""
    return ServiceLayerError(401, code, "Fail to NONE-SSO login from SLD.")


def parallel_login() -> ServiceLayerError:
    """Another login is under way: seen on 2 of 8 concurrent ones."""
    return ServiceLayerError(500, 299, "SAML Login Failed")


def no_such_entity_to_read() -> ServiceLayerError:
    return ServiceLayerError(404, -2028, NO_MATCH)


def no_such_entity_to_change(key: str) -> ServiceLayerError:
    """``key`` as written between the parentheses of the URL, quotes included."""
    return ServiceLayerError(404, -2028, f"Entity with value({key}) does not exist")


def stale_etag() -> ServiceLayerError:
    return ServiceLayerError(
        412, -2039, "Another user or another operation modified data; to continue, open the window again (ODBC -2039)"
    )


def bad_query(text: str = "Query string error - Invalid filter condition") -> ServiceLayerError:
    return ServiceLayerError(400, 201, text)


def bad_query_property(name: str) -> ServiceLayerError:
    return ServiceLayerError(400, 201, f"Property '{name}' is invalid")


def unknown_property(name: str, type_name: str) -> ServiceLayerError:
    return ServiceLayerError(400, -1000, f"Property '{name}' of '{type_name}' is invalid")


def bad_value(name: str, value: object, allowed: str) -> ServiceLayerError:
    return ServiceLayerError(
        400, -1004, f"'{value}' is not a valid value for property '{name}'. The valid values are: {allowed}"
    )


def too_long(name: str, type_name: str) -> ServiceLayerError:
    """The text is recorded, its code is not."""
    return ServiceLayerError(
        400,
        -5002,
        f"CServiceData::SetPropertyValueString failed; Value too long in property '{name}' of '{type_name}'",
    )


def rule(text: str, where: str = "") -> ServiceLayerError:
    """A business rule refused the document (-10)."""
    return ServiceLayerError(400, -10, f"{text}  {where}" if where else text)


def refused(text: str, where: str = "") -> ServiceLayerError:
    """The DI's generic refusal (-5002)."""
    return ServiceLayerError(400, -5002, f"{text}  {where}" if where else text)


def missing_reference(where: str) -> ServiceLayerError:
    """A code in the document names nothing: -2028, but here with status 400 and the place in brackets."""
    return ServiceLayerError(400, -2028, f"{where} , '{NO_MATCH}'")


def cannot_be_updated(where: str) -> ServiceLayerError:
    return ServiceLayerError(400, -1029, f"{where} , 'Field cannot be updated (ODBC -1029)'")


def action_not_supported() -> ServiceLayerError:
    """Cancel on a closed order; DELETE on an order."""
    return ServiceLayerError(400, -5006, "The requested action is not supported for this object.")


def duplicate_entry() -> ServiceLayerError:
    return ServiceLayerError(400, -2035, "This entry already exists in the following tables (ODBC -2035)")


def line_of(table: str, column: str, position: int) -> str:
    """The place of a line's column as SAP writes it; lines count from 1 there."""
    return f"[{table}.{column}][line: {position + 1}]"
