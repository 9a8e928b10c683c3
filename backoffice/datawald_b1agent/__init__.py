"""A project's agent for SAP Business One, as a sample: copy the package, rename it, and keep what you need.

A connection uses it by the name of its entry point in the group ``datawald.agents`` (this one's is ``b1_sample``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datawald.entities.order import Order
from datawald_b1agency import B1Agency

#: Customer groups of the shop (Magento's ids: 2 is "Wholesale") that have a business partner of their own in SAP.
CARD_CODES_BY_GROUP = {"2": "C_WHOLESALE"}


class B1Agent(B1Agency):
    """Books wholesale orders on a partner of their own, and writes how the buyer pays into a field of this project.

    The field ``U_SHOP_PAYMENT`` must exist on the company's documents (a user-defined field of table ORDR).
    """

    def card_code_for(self, order: Order) -> str:
        return CARD_CODES_BY_GROUP.get(order.customer.group) or super().card_code_for(order)

    def document_for(self, order: Order, document: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**document, "U_SHOP_PAYMENT": order.payment_method}


__all__ = ["B1Agent"]
