"""What the demo configures: two connections with sealed secrets, and a flow each way. Nothing here is special to it.

The shop and the company are the sandboxes; a customer's own differ in addresses, codes and secrets only.
"""

from __future__ import annotations

from typing import Any

from datawald.cli.services import SAP_ZONE, Services
from datawald.sealed import seal
from flask_dwconnector import DWConnector

MAGENTO, SAP = "mage2_demo", "b1_demo"
ORDERS, SHIPMENTS = "orders", "shipments"

#: The shop's German regions as SAP calls them; where both say the same nothing needs to be said.
_REGIONS = {"DE/BER": "BE", "DE/BAY": "BY", "DE/NRW": "NW", "DE/HAM": "HH", "DE/BAW": "BW"}

#: Everything about the shop has a default but which of its views show prices with tax.
MAGENTO_SETTINGS: dict[str, Any] = {"store_views": {"gross": {"prices_include_tax": True}}}

SAP_SETTINGS: dict[str, Any] = {
    "company_db": "SBODEMO",
    "username": "manager",
    "time_zone": SAP_ZONE,
    "local_currency": "EUR",
    "card_codes": {"*/EUR": "C_WEB_DEFAULT_EUR", "us/USD": "C_WEB_US_USD"},
    "taxes": [
        {"code": "DE-19", "vat_group": "A19"},
        {"code": "CA-8.25", "vat_group": "USCA825"},
        {"code": "US-NY-*-Rate 1", "vat_group": "USNY8375"},
        {"code": "", "vat_group": "A00"},
    ],
    "freight": {"*": 1},
    "rounding": {"carrier": "freight", "expense_code": 2, "vat_group": "A00"},
    "regions": _REGIONS,
    "shipping_methods": {"*": 3},
    "shipment_documents": "deliveries",
    "carriers": {"3": {"carrier": "custom", "title": "Flat Rate"}},
}

#: Nothing that changed before is read; the sandbox's oldest order is younger.
START_FROM = "2020-01-01T00:00:00Z"


def configure(core: DWConnector, services: Services) -> None:
    """Makes connections and flows over the API, as ``datawald config apply`` does with a file."""
    secrets = services.sandbox_secrets

    def sealed(plain: str) -> str:
        return seal(plain, services.master_key)

    connections = {
        MAGENTO: {
            "agent": "mage2",
            "endpoint": services.magento_url,
            "settings": MAGENTO_SETTINGS,
            "secrets": {
                "consumer_key": sealed(secrets.consumer_key),
                "consumer_secret": sealed(secrets.consumer_secret),
                "token": sealed(secrets.access_token),
                "token_secret": sealed(secrets.access_token_secret),
            },
        },
        SAP: {
            "agent": "b1",
            "endpoint": services.sap_url,
            "settings": SAP_SETTINGS,
            "secrets": {"password": sealed(secrets.sap_password)},
        },
    }
    flows = {
        ORDERS: {"entity": "order", "source": MAGENTO, "target": SAP, "start_from": START_FROM},
        SHIPMENTS: {"entity": "shipment", "source": SAP, "target": MAGENTO, "start_from": START_FROM},
    }
    for name, connection in connections.items():
        core.call("PUT", f"/api/connections/{name}", json=connection)
    for name, flow in flows.items():
        # not enabled: the demo asks for each run, so that every act shows one
        core.call("PUT", f"/api/flows/{name}", json=flow)
