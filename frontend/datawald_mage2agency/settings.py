"""What can be configured on a Magento connection, and on a flow that reads orders from one. Every option has its default.

:class:`Mage2Settings` is the ``settings`` of a connection whose agent is ``mage2``; :class:`OrderFlow` the ``settings`` of
a flow of orders from it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from datawald.domain.entity import Amount, Moment

#: Payment methods that need no confirmation by a payment provider: an order paid by one of them may be booked while "new".
OFFLINE_METHODS = ("checkmo", "banktransfer", "cashondelivery", "purchaseorder", "free")

#: Carrier codes of core Magento that know how to follow a tracking number; ``custom`` takes any.
CARRIERS = ("custom", "dhl", "fedex", "ups", "usps")


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreView(_Options):
    """One store view, by its code."""

    #: Whether this view's catalogue prices include tax. None: as ``prices_include_tax`` of the connection says. Magento does
    #: not tell over REST; ``datawald doctor`` proposes it from the view's orders. Wrong: orders are staged as failed with
    #: the remainder, nothing is booked.
    prices_include_tax: bool | None = None


class ExtraAmount(_Options):
    """An amount that a module adds to an order's total, and where it stands in the payload."""

    #: Its name in ``Order.extras``, by which the backoffice maps it to an expense, an item or a payment.
    code: str
    #: Where it stands: a field of the order, dots for nested ones (``extension_attributes.gift_cards_amount``).
    field: str
    #: ``subtract`` where Magento stores a positive amount that lowers the total.
    counts: Literal["add", "subtract"] = "add"


#: Amounts of Adobe Commerce that Open Source does not have; an order without the field is not affected.
COMMERCE_EXTRAS = (
    ExtraAmount(code="gift_card", field="extension_attributes.gift_cards_amount", counts="subtract"),
    ExtraAmount(code="store_credit", field="extension_attributes.customer_balance_amount", counts="subtract"),
    ExtraAmount(code="reward_points", field="extension_attributes.reward_currency_amount", counts="subtract"),
    ExtraAmount(code="gift_wrapping", field="extension_attributes.gw_price"),
    ExtraAmount(code="gift_wrapping_items", field="extension_attributes.gw_items_price"),
    ExtraAmount(code="gift_wrapping_card", field="extension_attributes.gw_card_price"),
)


class Mage2Settings(_Options):
    """Settings of a Magento 2 connection."""

    # how to speak to it

    #: File with the CA certificates to trust, for a shop with a certificate of one's own; "" for the usual ones.
    ca_file: str = ""
    #: Orders per page when reading. Magento refuses more than 300 where its input limits are on.
    page_size: int = Field(default=100, ge=1, le=300)
    #: Seconds to look back further than the flow's own overlap, for shops whose rows become visible very late.
    overlap_s: int = Field(default=0, ge=0)

    # orders

    #: Whether catalogue prices include tax, where ``store_views`` does not say it for the view.
    prices_include_tax: bool = False
    #: Store views by code. A view need not be listed: it then goes by ``prices_include_tax``.
    store_views: dict[str, StoreView] = Field(default_factory=dict)
    #: Methods whose orders may be booked in state "new"; with any other method the order waits for its payment.
    offline_methods: tuple[str, ...] = OFFLINE_METHODS
    #: What the backoffice books for a bundle: its parts (``explode``), or the bundle as one item (``parent``; the backoffice
    #: must know an item of that SKU).
    bundles: Literal["explode", "parent"] = "explode"
    #: The same by SKU of the bundle product, for exceptions.
    bundles_by_sku: dict[str, Literal["explode", "parent"]] = Field(default_factory=dict)
    #: How an exploded bundle's fixed price is divided among its parts: by their catalogue prices (``value``) or equally per
    #: unit (``quantity``). Catalogue prices are read with the order: where they move between two reads, so do the parts.
    bundle_shares: Literal["value", "quantity"] = "value"
    #: Relative values by SKU of the part, used instead of catalogue prices where given.
    part_values: dict[str, Amount] = Field(default_factory=dict)
    #: Amounts of modules that are part of the total. One that is missing here leaves an unexplained remainder: the order
    #: is staged as failed with its size. Fixed product taxes (``weee``) are found without being named.
    extras: tuple[ExtraAmount, ...] = COMMERCE_EXTRAS

    # shipments

    #: Whether shipments may mail the customer. Off until cut-over. On: those mail whose shipment asks for it.
    notify: bool = False
    #: ``tracked``: a shipment without a tracking number waits for one, ``track_wait_h`` at most. ``posted``: it does not.
    ship_when: Literal["tracked", "posted"] = "tracked"
    #: Hours a shipment waits for its tracking number, counted from ``shipped_at``.
    track_wait_h: float = Field(default=24, ge=0)
    #: Carrier as the backoffice calls it → Magento's carrier code (``{"DHL Express": "dhl"}``), compared without case.
    #: Unknown: ``custom``.
    carriers: dict[str, str] = Field(default_factory=dict)
    #: Delivered SKU → ordered SKU, for items the warehouse may send instead of the ordered one.
    substitutions: dict[str, str] = Field(default_factory=dict)

    def includes_tax(self, store_view: str) -> bool:
        """Whether the prices of this store view include tax."""
        view = self.store_views.get(store_view)
        if view is None or view.prices_include_tax is None:
            return self.prices_include_tax
        return view.prices_include_tax


class OrderFlow(_Options):
    """Settings of a flow that reads orders from Magento."""

    #: Codes of the store views whose orders this flow takes; empty for all. Others are not even read.
    store_views: tuple[str, ...] = ()
    #: Orders placed before this are not read, even when they change later: they were booked before DataWald came. One that
    #: is asked for by its number is staged as ignored.
    placed_from: Moment | None = None

    def unwanted(self, placed_at: datetime) -> str:
        """Why this flow does not hand an order out that was placed then; "" where it does."""
        if self.placed_from is not None and placed_at < self.placed_from:
            return f"placed before {self.placed_from:%Y-%m-%d %H:%M} UTC, where this flow begins"
        return ""
