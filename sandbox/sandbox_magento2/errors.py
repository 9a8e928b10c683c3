"""What the shop answers when it refuses.

MagentoError         a refusal Magento itself would give: status, message, and one of the two ``parameters`` shapes
└─ NotPlayed         501: real Magento does something here that this sandbox does not play
"""

from __future__ import annotations

from typing import Any

Parameters = list[Any] | dict[str, Any]


class MagentoError(Exception):
    """A refusal with Magento's body. ``parameters`` is a list for ``%1`` placeholders, an object for ``%name``."""

    def __init__(
        self,
        status: int,
        message: str,
        parameters: Parameters | None = None,
        errors: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.parameters = parameters
        self.errors = errors

    def body(self) -> dict[str, Any]:
        """The JSON body: keys that hold nothing are left out."""
        body: dict[str, Any] = {"message": self.message}
        if self.errors:
            body["errors"] = self.errors
        if self.parameters is not None:
            body["parameters"] = self.parameters
        return body


class NotPlayed(MagentoError):
    """The sandbox says so instead of inventing an answer: a wrong invention would be learnt by the connector."""

    def __init__(self, what: str) -> None:
        super().__init__(501, f"{what}: not played by the sandbox")


NO_ENTITY = "The entity that was requested doesn't exist. Verify the entity and try again."


def no_such_entity() -> MagentoError:
    """404 of orders, shipments and invoices."""
    return MagentoError(404, NO_ENTITY)


def required(field: str) -> MagentoError:
    """400 for a missing parameter."""
    return MagentoError(400, '"%fieldName" is required. Enter and try again.', {"fieldName": field})


def bad_type(value: object, expected: str, field: str | None = None) -> MagentoError:
    """400 for a value of the wrong type; Magento names the field only inside bodies and search criteria."""
    text = f'The "{value}" value\'s type is invalid. The "{expected}" type was expected. Verify and try again.'
    if field:
        text = f'Error occurred during "{field}" processing. {text}'
    return MagentoError(400, text)


def internal_error(report_number: int) -> MagentoError:
    """500, also for callers' mistakes such as an unknown search field on orders."""
    report = f"webapi-{0x6B0515A70DE2E + report_number:013x}"
    return MagentoError(500, f"Internal Error. Details are available in Magento log file. Report ID: {report}")
