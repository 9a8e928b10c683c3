"""An order: placed in the frontend, booked as a sales order in the backoffice.

Amounts are in ``currency``, the currency the customer paid in. The lines are those the backoffice books: one for a
configurable (the chosen child's SKU at the parent's price), one per child of a bundle. Quantities and amounts are *what
remains wanted*: cancelled units, and refunded ones that were never shipped, are already taken off.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from datawald.domain.entity import INFORMATION, Amount, Canonical, Entity, Moment


class Address(Canonical):
    """A postal address. Parts that are not known are empty text, never absent."""

    first_name: str = ""
    last_name: str = ""
    company: str = ""
    street: tuple[str, ...] = ()
    city: str = ""
    #: Short code of state or province ("CA"); the full name stands in ``region``.
    region_code: str = ""
    region: str = ""
    postcode: str = ""
    #: ISO 3166-1 alpha-2.
    country: str = ""
    phone: str = ""
    email: str = ""
    vat_id: str = ""

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class Customer(Canonical):
    """Who ordered. A guest has no ``customer_id``."""

    customer_id: str = ""
    group: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""

    @property
    def guest(self) -> bool:
        return not self.customer_id

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class AppliedTax(Canonical):
    """A tax the frontend applied, by its own code and rate in percent."""

    code: str
    percent: Amount


class OrderLine(Canonical):
    """One line to be booked."""

    #: The frontend's id of the line (Magento's ``item_id``): how a shipment finds it again.
    line_id: str
    sku: str
    #: Base SKUs to try where ``sku`` is a composed one (custom options).
    sku_alternatives: tuple[str, ...] = ()
    name: Annotated[str, INFORMATION] = ""
    quantity: Amount
    #: Net of tax, after discount, for the whole quantity.
    net: Amount
    #: Tax the frontend took on this line.
    tax: Amount
    taxes: tuple[AppliedTax, ...] = ()
    kind: Literal["goods", "service"] = "goods"
    #: Chosen options in words, one per line.
    options: Annotated[str, INFORMATION] = ""


class Freight(Canonical):
    """Shipping: net after its discount, and its tax."""

    method: str = ""
    title: Annotated[str, INFORMATION] = ""
    net: Amount
    tax: Amount
    taxes: tuple[AppliedTax, ...] = ()


class Extra(Canonical):
    """Any further amount that is part of the total (gift card, fee, fixed product tax), gross, signed."""

    code: str
    amount: Amount


class Order(Canonical):
    """What a sales order in the backoffice is made from."""

    increment_id: str
    entity_id: Annotated[str, INFORMATION] = ""
    store_view: str
    state: Annotated[str, INFORMATION] = ""
    status: Annotated[str, INFORMATION] = ""
    placed_at: Moment
    currency: str
    base_currency: str
    #: One unit of ``base_currency`` in ``currency``.
    base_to_order_rate: Amount = Decimal(1)
    customer: Customer
    billing: Address
    #: None for an order of services only.
    shipping: Address | None = None
    lines: tuple[OrderLine, ...]
    freight: Freight | None = None
    extras: tuple[Extra, ...] = ()
    #: Gross total of what remains wanted: what the backoffice must arrive at, to the cent.
    grand_total: Amount
    payment_method: str = ""
    po_number: str = ""
    #: What the customer wants written on a card, with sender and recipient, one per line.
    gift_message: str = ""
    #: Why the order may not be booked yet ("payment is pending"); empty when it may. Part of the hash: letting go of an
    #: order is news for the backoffice.
    held: str = ""
    cancelled: bool = False

    @property
    def unexplained(self) -> Decimal:
        """What lines, freight and extras leave of ``grand_total``. Anything but zero must not reach the backoffice."""
        explained = sum((line.net + line.tax for line in self.lines), Decimal(0))
        if self.freight:
            explained += self.freight.net + self.freight.tax
        return self.grand_total - explained - sum((extra.amount for extra in self.extras), Decimal(0))


ENTITY = Entity(name="order", plural="orders", model=Order, lane="orders", source_side="frontend")
