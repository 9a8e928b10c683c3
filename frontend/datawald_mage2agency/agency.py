"""The Magento 2 agency. ``datawald`` builds one per connection whose agent is ``mage2``; projects subclass it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

from pydantic import BaseModel

from datawald.domain.agent import Check
from datawald_frontend import Frontend
from datawald_mage2agency import checks
from datawald_mage2agency.settings import CARRIERS, Mage2Settings
from flask_mage2connector import Mage2Connector


class Mage2Agency(Frontend):
    """One Magento 2 shop: gives orders, takes shipments.

    A project's agent subclasses it and overrides single steps: ``enrich`` and ``unwanted`` for what is read, ``skip`` for
    what is written, ``carrier_for`` for tracking numbers.
    """

    system: ClassVar[str] = "mage2"
    settings_model: ClassVar[type[BaseModel]] = Mage2Settings
    #: One kind must be complete: an integration's OAuth 1.0a (the first four), its bearer token, or an admin's name.
    secret_names: ClassVar[tuple[str, ...]] = (
        "consumer_key",
        "consumer_secret",
        "token",
        "token_secret",
        "bearer_token",
        "username",
        "password",
    )

    @cached_property
    def connector(self) -> Mage2Connector:
        """The shop's REST API. Made at first use: an agent may be built to check settings only."""
        secrets = self.connection.secrets
        return Mage2Connector(
            self.connection.endpoint,
            consumer_key=secrets.get("consumer_key"),
            consumer_secret=secrets.get("consumer_secret"),
            token=secrets.get("token"),
            token_secret=secrets.get("token_secret"),
            bearer_token=secrets.get("bearer_token"),
            username=secrets.get("username"),
            password=secrets.get("password"),
            system=self.connection.name,
            verify=self.settings.ca_file or True,
            deadline_s=self.connection.deadline_s,
        )

    def probe(self) -> None:
        self.connector.probe()

    def store_view_codes(self) -> dict[str, str]:
        """Code of every store view by its id, the admin's own included."""
        return {str(view["id"]): str(view["code"]) for view in self.connector.store_views()}

    def doctor(self) -> Iterator[Check]:
        for check in super().doctor():
            yield check
            if not check.ok:
                return  # everything else would fail for the same reason
        yield from checks.rights(self.connector)
        yield from checks.price_modes(self)

    # what a project overrides

    def carrier_for(self, carrier: str) -> str:
        """Magento's carrier code for a carrier as the backoffice calls it; ``custom`` where none is known."""
        known = {name.casefold(): code for name, code in self.settings.carriers.items()}
        code: str = known.get(carrier.casefold(), "")
        return code or (carrier if carrier in CARRIERS else "custom")
