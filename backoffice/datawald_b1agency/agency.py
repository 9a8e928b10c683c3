"""The agency of SAP Business One: opens the connector, holds the mappings of ``entities/``, offers a project its hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from pydantic import BaseModel

from datawald.domain.agent import Check
from datawald.domain.connection import Connection
from datawald.domain.errors import Misconfigured
from datawald.entities.order import Order
from datawald_b1agency import checks
from datawald_b1agency.lookups import Lookups
from datawald_b1agency.settings import B1Settings
from datawald_backoffice import Backoffice
from flask_b1connector import B1Connector


class B1Agency(Backoffice):
    """One SAP Business One company, spoken to through its Service Layer. Takes orders, gives shipments."""

    system: ClassVar[str] = "b1"
    settings_model: ClassVar[type[BaseModel]] = B1Settings
    secret_names: ClassVar[tuple[str, ...]] = ("password",)
    verbs: ClassVar[Mapping[str, str]] = {"install": "Add the two user-defined fields to the company."}

    settings: B1Settings

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        password = connection.secrets.get("password", "")
        if not password:
            raise Misconfigured("the secret 'password' is not set", system=connection.name)
        self.connector = B1Connector(
            connection.endpoint,
            company_db=self.settings.company_db,
            username=self.settings.username,
            password=password,
            sessions=self.settings.sessions,
            system=connection.name,
            verify=False if self.settings.insecure else self.settings.ca_file or True,
            deadline_s=connection.deadline_s,
        )
        self.lookups = Lookups(self.connector)

    def probe(self) -> None:
        self.connector.probe()

    def doctor(self) -> Iterator[Check]:
        yield from super().doctor()
        yield from checks.all_checks(self)

    def install(self) -> Iterator[Check]:
        """Add the two user-defined fields to the company. Called by ``datawald b1 install``, never unasked."""
        yield from checks.install_fields(self)

    def today(self) -> date:
        """Today in the company's time zone: what a document is dated with."""
        return datetime.now(UTC).astimezone(self.settings.zone).date()

    # what a project overrides

    def card_code_for(self, order: Order) -> str:
        """The customer an order is booked on; "" fails the order. Asked twice with the same order it must say the same.

        By default the shared customer of the order's store view and currency.
        """
        for view in (order.store_view, "*"):
            code = self.settings.card_codes.get(f"{view}/{order.currency}", "")
            if code:
                return code
        return ""

    def document_for(self, order: Order, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body of the sales order as this project wants it: return a changed copy, with UDFs or other fields set.

        Customer, currency, items, quantities, amounts and tax codes stay as they are; changing them fails the order.
        """
        return document
