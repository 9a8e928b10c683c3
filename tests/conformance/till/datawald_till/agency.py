"""The agency: what can be set on a connection to a till, and the connector it opens."""

from __future__ import annotations

from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from datawald_backoffice import Backoffice
from datawald_frontend import Frontend
from datawald_till.connector import TillConnector


class TillSettings(BaseModel):
    """Settings of a connection to a till."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Vouchers of one page when reading. More is less talk and more memory.
    page_size: int = Field(default=100, ge=1, le=500)


class Till:
    """What both ends share: the settings, the secret, the connector."""

    settings_model = TillSettings
    secret_names = ("api_key",)

    @cached_property
    def connector(self) -> TillConnector:
        connection = self.connection
        api_key = connection.secrets.get("api_key", "")
        return TillConnector(connection.endpoint, api_key, system=connection.name, deadline_s=connection.deadline_s)

    def probe(self) -> None:
        self.connector.probe()


class TillAgency(Till, Backoffice):
    """A till that takes vouchers."""

    system = "till"


class TillOffice(Till, Frontend):
    """The till of the head office, where vouchers are made."""

    system = "till_office"
