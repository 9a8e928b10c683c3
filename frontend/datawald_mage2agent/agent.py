"""A sample agent. Copy this package, rename it, and declare it under ``datawald.agents``; a connection then names it.

A project changes what it needs by overriding single steps of the agency; everything else goes on working as it does for
everybody. The hooks of this sample:

* :meth:`Mage2Agent.enrich` changes what is handed to the backoffice;
* :meth:`Mage2Agent.unwanted` leaves a kind of order out, visibly: the record is staged as ignored, with the reason;
* :meth:`Mage2Agent.carrier_for` knows one carrier more.
"""

from __future__ import annotations

from typing import Any

from datawald.domain.entity import Canonical
from datawald.entities.order import Order
from datawald_mage2agency import Mage2Agency

#: This customer's own carrier, as the backoffice calls it.
OWN_VAN = "our van"


class Mage2Agent(Mage2Agency):
    """The shop of a customer who wants purchase order numbers to look alike and free samples not to be booked."""

    def enrich(self, entity: str, canonical: Canonical, raw: Any) -> Canonical:
        """Purchase order numbers in capitals, with the store view in front: ``po-77`` of view ``us`` → ``US/PO-77``.

        The canonical record cannot be changed: return a copy. What is changed here is part of the record's hash, so a
        change of this rule makes every order that is read again a new version.
        """
        if isinstance(canonical, Order) and canonical.po_number:
            po_number = f"{canonical.store_view}/{canonical.po_number}".upper()
            return canonical.model_copy(update={"po_number": po_number})
        return canonical

    def unwanted(self, entity: str, canonical: Canonical, raw: Any) -> str:
        """Orders that cost nothing are samples: the warehouse sends them without the books knowing."""
        if isinstance(canonical, Order) and not canonical.grand_total:
            return "a free sample: not booked"
        return ""

    def carrier_for(self, carrier: str) -> str:
        """The customer's own van has no carrier code in Magento; every other one is found as usual."""
        return "custom" if carrier == OWN_VAN else super().carrier_for(carrier)
