"""One order: its rows, its open quantities, and the JSON text that readers get.

Rows are kept as REST shows them. ``row_total`` and ``row_total_incl_tax`` are therefore already the ones with the
discount taken off (Magento changes them on the way out, on orders only); :func:`row_total_before_discount` undoes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from sandbox_magento2.catalogue import Catalogue
from sandbox_magento2.money import ZERO, dumps, loads
from sandbox_magento2.searchcriteria import DATE, NUMBER, TEXT, FieldTree

Item = dict[str, Any]

#: Columns of the order table that hold text; the rest are numbers, except the three dates.
_TEXT_COLUMNS = (
    "applied_rule_ids base_currency_code coupon_code customer_email customer_firstname customer_lastname "
    "customer_middlename customer_note customer_prefix customer_suffix customer_taxvat discount_description "
    "ext_customer_id ext_order_id global_currency_code hold_before_state hold_before_status increment_id "
    "order_currency_code original_increment_id protect_code relation_child_id relation_child_real_id "
    "relation_parent_id relation_parent_real_id remote_ip shipping_description shipping_method state status "
    "store_currency_code store_name x_forwarded_for"
).split()
_NUMBER_COLUMNS = (
    "adjustment_negative adjustment_positive base_adjustment_negative base_adjustment_positive base_discount_amount "
    "base_discount_canceled base_discount_invoiced base_discount_refunded base_discount_tax_compensation_amount "
    "base_discount_tax_compensation_invoiced base_discount_tax_compensation_refunded base_grand_total "
    "base_shipping_amount base_shipping_canceled base_shipping_discount_amount "
    "base_shipping_discount_tax_compensation_amnt base_shipping_incl_tax base_shipping_invoiced "
    "base_shipping_refunded base_shipping_tax_amount base_shipping_tax_refunded base_subtotal base_subtotal_canceled "
    "base_subtotal_incl_tax base_subtotal_invoiced base_subtotal_refunded base_tax_amount base_tax_canceled "
    "base_tax_invoiced base_tax_refunded base_to_global_rate base_to_order_rate base_total_canceled base_total_due "
    "base_total_invoiced base_total_invoiced_cost base_total_offline_refunded base_total_online_refunded "
    "base_total_paid base_total_qty_ordered base_total_refunded billing_address_id can_ship_partially "
    "can_ship_partially_item customer_gender customer_group_id customer_id customer_is_guest customer_note_notify "
    "discount_amount discount_canceled discount_invoiced discount_refunded discount_tax_compensation_amount "
    "discount_tax_compensation_invoiced discount_tax_compensation_refunded edit_increment email_sent entity_id "
    "forced_shipment_with_invoice grand_total is_virtual payment_auth_expiration payment_authorization_amount "
    "quote_address_id quote_id send_email shipping_address_id shipping_amount shipping_canceled "
    "shipping_discount_amount shipping_discount_tax_compensation_amount shipping_incl_tax shipping_invoiced "
    "shipping_refunded shipping_tax_amount shipping_tax_refunded store_id store_to_base_rate store_to_order_rate "
    "subtotal subtotal_canceled subtotal_incl_tax subtotal_invoiced subtotal_refunded tax_amount tax_canceled "
    "tax_invoiced tax_refunded total_canceled total_due total_invoiced total_item_count total_offline_refunded "
    "total_online_refunded total_paid total_qty_ordered total_refunded weight"
).split()

#: What orders can be searched and sorted by. Fields of addresses and rows are not among them.
ORDER_COLUMNS: dict[str, str] = {
    **dict.fromkeys(_TEXT_COLUMNS, TEXT),
    **dict.fromkeys(_NUMBER_COLUMNS, NUMBER),
    "created_at": DATE,
    "updated_at": DATE,
    "customer_dob": DATE,
}


def row_total_before_discount(item: Mapping[str, Any], prefix: str = "") -> Decimal:
    """What the database holds as ``row_total``."""
    return Decimal(item[f"{prefix}row_total"] + item[f"{prefix}discount_amount"])


class Order:
    """One order as the shop holds it. Whoever changes it does so inside ``Shop.changing``."""

    __slots__ = ("_bundles", "data", "extension", "items", "latest", "shipping", "view")

    def __init__(
        self,
        data: dict[str, Any],
        items: list[Item],
        shipping: dict[str, Any],
        extension: dict[str, Any],
        catalogue: Catalogue,
    ) -> None:
        self.data = data
        self.items = items
        self.shipping = shipping
        self.extension = extension
        #: What readers see; None until the order is committed.
        self.view: View | None = None
        #: The newest state, which readers see in the end.
        self.latest = View(self)
        # How a bundle is shipped and priced is copied into the order when it is placed; REST shows neither.
        self._bundles = {
            item["item_id"]: catalogue.by_id[item["product_id"]] for item in items if item["product_type"] == "bundle"
        }
        by_id = {item["item_id"]: item for item in items}
        for item in items:
            if "parent_item_id" in item:
                item["parent_item"] = by_id[item["parent_item_id"]]

    @classmethod
    def from_document(cls, document: dict[str, Any], catalogue: Catalogue) -> Order:
        """An order from its REST document (a recorded one)."""
        data = {name: value for name, value in document.items() if name not in ("items", "extension_attributes")}
        extension = dict(document["extension_attributes"])
        (assignment,) = extension.pop("shipping_assignments")
        return cls(data, document["items"], assignment["shipping"], extension, catalogue)

    def document(self) -> dict[str, Any]:
        """The REST document, sharing its parts with the order: to be read, not kept."""
        assignment = {"shipping": self.shipping, "items": self.items}
        return {
            **self.data,
            "items": self.items,
            "extension_attributes": {"shipping_assignments": [assignment], **self.extension},
        }

    def text(self) -> str:
        """The REST document as JSON. Rows stand in it up to three times, so each is written once and reused."""
        own = {item["item_id"]: dumps({k: v for k, v in item.items() if k != "parent_item"}) for item in self.items}
        rows = []
        for item in self.items:
            row = own[item["item_id"]]
            if "parent_item" in item:
                row = f'{row[:-1]},"parent_item":{own[item["parent_item_id"]]}}}'
            rows.append(row)
        items = f"[{','.join(rows)}]"
        extension = dumps(self.extension)
        return (
            f'{dumps(self.data)[:-1]},"items":{items},"extension_attributes":{{"shipping_assignments":'
            f'[{{"shipping":{dumps(self.shipping)},"items":{items}}}]{"," if self.extension else ""}{extension[1:]}}}'
        )

    def column(self, name: str) -> Any:
        """The value of a column, also of the two that REST shows elsewhere."""
        if not name.startswith("shipping_"):
            return self.data.get(name)
        if name == "shipping_method":
            return self.shipping.get("method")
        if name == "shipping_address_id":
            address = self.shipping.get("address")
            return address["entity_id"] if address else None
        return self.data.get(name)

    @property
    def id(self) -> int:
        """entity_id, the number in every URL."""
        return int(self.data["entity_id"])

    # --- rows and their open quantities -------------------------------------------------------------------------------

    def item(self, item_id: int) -> Item | None:
        """The row with that id."""
        return next((item for item in self.items if item["item_id"] == item_id), None)

    def children(self, item: Item) -> Iterator[Item]:
        """The rows below a configurable or bundle."""
        return (other for other in self.items if other.get("parent_item_id") == item["item_id"])

    def has_children(self, item: Item) -> bool:
        """Whether the row is a parent."""
        return item["product_type"] in ("configurable", "bundle")

    def ships_separately(self, item: Item) -> bool:
        """Whether the row, or the parent it belongs to, is a bundle whose parts are shipped one by one."""
        bundle = self._bundles.get(item.get("parent_item_id", item["item_id"]))
        return bundle is not None and bundle.ship_separately

    def priced_by_children(self, item: Item) -> bool:
        """Whether the row, or the parent it belongs to, is a bundle with a dynamic price."""
        bundle = self._bundles.get(item.get("parent_item_id", item["item_id"]))
        return bundle is not None and bundle.dynamic_price

    def is_dummy(self, item: Item, shipping: bool) -> bool:
        """Whether another row of the same bundle or configurable stands for this one, in shipments or invoices."""
        by_children = self.ships_separately(item) if shipping else self.priced_by_children(item)
        if self.has_children(item):
            return by_children
        return "parent_item_id" in item and not by_children

    def to_ship(self, item: Item) -> Decimal:
        """Units of the row that a shipment may still name."""
        if self.is_dummy(item, shipping=True):
            return ZERO
        gone = item["qty_shipped"] + item["qty_refunded"] + item["qty_canceled"]
        return max(Decimal(item["qty_ordered"] - gone), ZERO)

    def to_invoice(self, item: Item) -> Decimal:
        """Units of the row that an invoice may still name."""
        if self.is_dummy(item, shipping=False):
            return ZERO
        return max(Decimal(item["qty_ordered"] - item["qty_invoiced"] - item["qty_canceled"]), ZERO)

    def to_refund(self, item: Item) -> Decimal:
        """Units of the row that were invoiced and not refunded."""
        if self.is_dummy(item, shipping=False):
            return ZERO
        return max(Decimal(item["qty_invoiced"] - item["qty_refunded"]), ZERO)

    def stock_units(self, item: Item, quantity: Decimal, catalogue: Catalogue) -> dict[str, Decimal]:
        """What shipping so much of a row takes out of a source, by SKU."""
        if item["product_type"] == "bundle":
            units: dict[str, Decimal] = {}
            for child in self.children(item):
                share = quantity * child["qty_ordered"] / item["qty_ordered"]
                units[child["sku"]] = units.get(child["sku"], ZERO) + share
            return units
        product = catalogue.find(item["sku"]) or catalogue.by_id.get(item["product_id"])
        return {product.sku: quantity} if product else {}


class View:
    """One committed state of an order, as readers see it.

    It costs nothing until someone reads it: as long as the order is as it was, the view looks at the order itself.
    """

    __slots__ = ("_frozen", "_pruned", "_text", "key", "number", "order")

    def __init__(self, order: Order, number: int = 0) -> None:
        self.order = order
        #: Counts up with every commit of the shop.
        self.number = number
        #: Place in the index by time.
        self.key: tuple[str, int] = (order.data["updated_at"], order.id)
        self._text: bytes | None = None
        self._frozen: dict[str, Any] | None = None
        self._pruned: dict[str, bytes] = {}

    def freeze(self) -> None:
        """Keep the present state, because the order is about to change and readers are not to see it yet."""
        if self._frozen is None:
            self.text()
            self._frozen = {name: self.order.column(name) for name in ORDER_COLUMNS}

    def column(self, name: str) -> Any:
        """A column's value."""
        return self.order.column(name) if self._frozen is None else self._frozen[name]

    def text(self) -> bytes:
        """The JSON text, written once."""
        if self._text is None:
            self._text = self.order.text().encode()
        return self._text

    def pruned(self, fields: FieldTree, asked: str) -> bytes:
        """The JSON text with only the asked-for fields; ``asked`` names them and the endpoint they were asked of."""
        if asked not in self._pruned:
            document = self.order.document() if self._frozen is None else loads(self.text())
            self._pruned[asked] = dumps(fields.prune(document)).encode()
        return self._pruned[asked]
