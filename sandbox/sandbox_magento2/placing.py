"""Placing an order: from what is in the cart to the rows, totals and applied taxes of the order.

The shapes follow the recorded orders key by key: which row of a configurable or bundle carries price, tax and
discount, what is left out, in which currency. The order generator, the seed and the control routes place through here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sandbox_magento2.catalogue import OPTIONS, Product
from sandbox_magento2.money import ZERO, cents
from sandbox_magento2.order import Item, Order
from sandbox_magento2.shop import Shop, StoreView, stamp
from sandbox_magento2.totals import RowAmounts, TaxCalculation, TaxRate

#: Flat rate shipping, per unit, in base currency (with tax inside where prices include it).
FLAT_RATE = Decimal(5)
#: The one coupon: 10 % off the rows and off the shipping.
COUPON = "SAVE10"
COUPON_PERCENT = Decimal(10)

DE_19 = TaxRate("DE-19", Decimal(19))
CA_8_25 = TaxRate("CA-8.25", Decimal("8.25"))
NY_8_375 = TaxRate("US-NY-*-Rate 1", Decimal("8.375"))
TAX_RATES = {("DE", None): DE_19, ("US", "CA"): CA_8_25, ("US", "NY"): NY_8_375}

#: method -> (title, offline). Offline orders start as new/pending, online ones wait as pending_payment.
PAYMENT_METHODS = {
    "checkmo": ("Check / Money order", True),
    "banktransfer": ("Bank Transfer Payment", True),
    "cashondelivery": ("Cash On Delivery", True),
    "purchaseorder": ("Purchase Order", True),
    "paypal_express": ("PayPal Express Checkout", False),
}


@dataclass(frozen=True)
class CartLine:
    """One thing in the cart. ``choice`` is the size of a configurable or the option of a product that has some."""

    product: Product
    quantity: int
    choice: int = 0


@dataclass(frozen=True)
class Customer:
    """Who orders; ``id`` None is a guest."""

    email: str
    firstname: str
    lastname: str
    id: int | None = None
    taxvat: str | None = None


@dataclass(frozen=True)
class Cart:
    """Everything an order is made from."""

    view: StoreView
    lines: tuple[CartLine, ...]
    customer: Customer
    billing: dict[str, Any]
    #: None for a cart of virtual products only
    shipping: dict[str, Any] | None
    payment: str = "checkmo"
    po_number: str | None = None
    coupon: bool = False
    gift_message: str | None = None
    #: entity_id, increment_id and first item_id of an order the recordings speak of
    fixed: tuple[int, str, int] | None = None


@dataclass
class _Row:
    """A row in the making: amounts in both currencies, None for a row that carries none."""

    product: Product
    sku: str
    quantity: Decimal
    original: Decimal | None = None
    amounts: RowAmounts | None = None
    base: RowAmounts | None = None
    discounted: bool = False
    taxed: bool = True
    children: list[_Row] = field(default_factory=list)
    option: dict[str, Any] | None = None
    weight: Decimal = ZERO


class _Calculator:
    """Calculates rows in base and order currency side by side."""

    def __init__(self, cart: Cart, rate: TaxRate, included: bool) -> None:
        self.exchange = Decimal(cart.view.rate)
        self.percent = COUPON_PERCENT if cart.coupon else ZERO
        self._order = TaxCalculation(rate, included)
        self._base = TaxCalculation(rate, included)

    def row(self, price: Decimal, quantity: Decimal) -> tuple[RowAmounts, RowAmounts]:
        converted = price * self.exchange
        # Discounts of all rows come before taxes of all rows in Magento; per row it is the same, each has its own rest.
        discount = self._order.discount(converted, quantity, self.percent)
        base_discount = self._base.discount(price, quantity, self.percent)
        return self._order.row(converted, quantity, discount), self._base.row(price, quantity, base_discount)

    def shipping(self, price: Decimal) -> tuple[RowAmounts, RowAmounts]:
        converted = price * self.exchange
        discount, base_discount = converted * self.percent / 100, price * self.percent / 100
        one = Decimal(1)
        return self._order.row(converted, one, discount), self._base.row(price, one, base_discount)


def _configurable(line: CartLine, calculator: _Calculator, shop: Shop) -> _Row:
    sizes = line.product.sizes
    value = line.choice or next(iter(sizes))
    child = shop.catalogue[sizes[value]]
    quantity = Decimal(line.quantity)
    row = _Row(line.product, child.sku, quantity, line.product.price, discounted=True, weight=child.weight)
    row.amounts, row.base = calculator.row(line.product.price, quantity)
    row.option = {"configurable_item_options": [{"option_id": "137", "option_value": value}]}
    row.children = [_Row(child, child.sku, quantity, weight=child.weight)]
    return row


def _bundle(line: CartLine, calculator: _Calculator, shop: Shop) -> _Row:
    product, quantity = line.product, Decimal(line.quantity)
    parts = [(shop.catalogue[one.sku], one) for one in product.selections]
    sku = "-".join([product.sku, *(part.sku for part, _ in parts)]) if product.dynamic_sku else product.sku
    row = _Row(product, sku, quantity, discounted=True, weight=product.weight)
    row.option = {
        "bundle_options": [
            {"option_id": one.option_id, "option_qty": 1, "option_selections": [one.selection_id]}
            for one in product.selections
        ]
    }
    for part, one in parts:
        row.children.append(_Row(part, part.sku, quantity * one.quantity, weight=part.weight))
    if product.dynamic_price:
        row.taxed = False
        row.weight = sum((part.weight * one.quantity for part, one in parts), ZERO)
        row.original = sum((part.price * one.quantity for part, one in parts), ZERO)
        for child in row.children:
            child.original = child.product.price
            child.amounts, child.base = calculator.row(child.product.price, child.quantity)
        row.amounts = _summed([child.amounts for child in row.children if child.amounts], quantity)
        row.base = _summed([child.base for child in row.children if child.base], quantity)
    else:
        row.original = product.price
        price = product.price + sum((one.surcharge * one.quantity for _, one in parts), ZERO)
        row.amounts, row.base = calculator.row(price, quantity)
    return row


def _summed(rows: list[RowAmounts], quantity: Decimal) -> RowAmounts:
    """The parent row of a dynamically priced bundle: sums of its children, but no discount."""
    total = sum((row.row_total for row in rows), ZERO)
    incl = sum((row.row_total_incl_tax for row in rows), ZERO)
    tax = sum((row.tax for row in rows), ZERO)
    return RowAmounts(cents(total / quantity), cents(incl / quantity), total, incl, tax, ZERO, ZERO)


def _plain(line: CartLine, calculator: _Calculator) -> _Row:
    product, quantity = line.product, Decimal(line.quantity)
    row = _Row(product, product.sku, quantity, product.price, discounted=True, weight=product.weight)
    price = product.price
    if product.custom_options and line.choice:
        suffix, value, surcharge = OPTIONS[line.choice - 1]
        row.sku, price = f"{product.sku}-{suffix}", price + surcharge
        row.option = {
            "custom_options": [
                {"option_id": "3", "option_value": "HELLO"},
                {"option_id": "4", "option_value": value},
            ]
        }
    row.amounts, row.base = calculator.row(price, quantity)
    return row


def place(shop: Shop, cart: Cart, updated: datetime, created_before: int = 2) -> Order:
    """Place the order and return it; ``created_at`` lies some seconds before ``updated_at``, as in the recordings."""
    address = cart.shipping or cart.billing
    rate = TAX_RATES.get((address["country_id"], None)) or TAX_RATES.get(
        (address["country_id"], address.get("region_code"))
    )
    if rate is None:
        raise ValueError(f"no tax rate is played for {address['country_id']} {address.get('region_code')}")
    calculator = _Calculator(cart, rate, shop.prices_include_tax(cart.view))
    rows = []
    for line in cart.lines:
        if line.product.type_id == "configurable":
            rows.append(_configurable(line, calculator, shop))
        elif line.product.type_id == "bundle":
            rows.append(_bundle(line, calculator, shop))
        else:
            rows.append(_plain(line, calculator))
    shipped = FLAT_RATE * sum((_shipped_units(row) for row in rows), ZERO) if cart.shipping else ZERO
    freight, base_freight = calculator.shipping(shipped)
    order = _Writer(shop, cart, rate, stamp(updated - timedelta(seconds=created_before)), stamp(updated)).write(
        rows, freight, base_freight
    )
    shop.add(order)
    return order


def _shipped_units(row: _Row) -> Decimal:
    """Units flat rate is charged for: the parts of a bundle that is shipped in parts, nothing for virtual ones."""
    if row.product.is_virtual:
        return ZERO
    if row.product.type_id == "bundle" and row.product.ship_separately:
        return sum((child.quantity for child in row.children), ZERO)
    return row.quantity


class _Writer:
    """Writes the rows of one order down as REST shows them."""

    def __init__(self, shop: Shop, cart: Cart, rate: TaxRate, created: str, updated: str) -> None:
        self._shop = shop
        self._cart = cart
        self._rate = rate
        self._created = created
        self._updated = updated
        if cart.fixed:
            self._id, self._increment, self._next_item = cart.fixed
        else:
            self._id, self._next_item = shop.next_id("order"), 0
            self._increment = shop.next_increment_id("order", cart.view.id)
        self._shipping_address = self._address(cart.shipping, "shipping") if cart.shipping else None
        self._billing_address = self._address(cart.billing, "billing")
        self._items: list[Item] = []
        self._taxes: list[dict[str, Any]] = []

    def write(self, rows: list[_Row], freight: RowAmounts, base_freight: RowAmounts) -> Order:
        """The finished order."""
        self._taxes.append(self._applied("shipping", None, freight, base_freight))
        for row in rows:
            parent = self._item(row, None)
            for child in row.children:
                self._item(child, (row, parent))
        data = self._header(rows, freight, base_freight)
        shipping = self._shipping(freight, base_freight)
        extension = self._extension(data)
        return Order(data, self._items, shipping, extension, self._shop.catalogue)

    def _item_id(self) -> int:
        if not self._cart.fixed:
            return self._shop.next_id("item")
        self._next_item += 1
        return self._next_item - 1

    def _item(self, row: _Row, below: tuple[_Row, Item] | None) -> Item:
        item_id = self._item_id()
        amounts, base = row.amounts, row.base
        discounted = self._cart.coupon and row.discounted and below is None
        item: Item = {"amount_refunded": 0}
        if discounted:
            item["applied_rule_ids"] = "1"
        discount = _whole(amounts.discount) if amounts else 0
        base_discount = _whole(base.discount) if base else 0
        item |= {"base_amount_refunded": 0, "base_discount_amount": base_discount, "base_discount_invoiced": 0}
        if base and row.taxed:
            item["base_discount_tax_compensation_amount"] = _whole(base.compensation)
        if base and row.original is not None:
            item["base_original_price"] = row.original
        item["base_price"] = base.price if base else 0
        if base:
            item["base_price_incl_tax"] = base.price_incl_tax
        item |= {
            "base_row_invoiced": 0,
            "base_row_total": base.row_total - base_discount if base else 0,
        }
        if base:
            item["base_row_total_incl_tax"] = _shown_incl_tax(base)
        item |= {
            "base_tax_amount": base.tax if base else 0,
            "base_tax_invoiced": 0,
            "created_at": self._created,
            "discount_amount": discount,
            "discount_invoiced": 0,
            "discount_percent": COUPON_PERCENT if discount else 0,
            "free_shipping": 0,
        }
        if amounts and row.taxed:
            item["discount_tax_compensation_amount"] = _whole(amounts.compensation)
        item |= {
            "is_qty_decimal": 0,
            "is_virtual": int(row.product.is_virtual),
            "item_id": item_id,
            "name": row.product.name,
            "no_discount": 0,
            "order_id": self._id,
            "original_price": 0 if row.original is None else _whole(row.original * Decimal(self._cart.view.rate)),
        }
        if below:
            item["parent_item_id"] = below[1]["item_id"]
        item["price"] = amounts.price if amounts else 0
        if amounts:
            item["price_incl_tax"] = amounts.price_incl_tax
        item |= {
            "product_id": row.product.id,
            "product_type": row.product.type_id,
            "qty_canceled": 0,
            "qty_invoiced": 0,
            "qty_ordered": _whole(row.quantity),
            "qty_refunded": 0,
            "qty_shipped": 0,
            "quote_item_id": item_id,
            "row_invoiced": 0,
            "row_total": amounts.row_total - discount if amounts else 0,
        }
        if amounts:
            item["row_total_incl_tax"] = _shown_incl_tax(amounts)
        item |= {
            "row_weight": 0 if below or row.product.is_virtual else row.weight * _whole(row.quantity),
            "sku": row.sku,
            "store_id": self._cart.view.id,
            "tax_amount": amounts.tax if amounts else 0,
            "tax_invoiced": 0,
        }
        if row.taxed:
            item["tax_percent"] = self._rate.percent if amounts else 0
        item |= {"updated_at": self._created, "weight": row.weight}
        if not amounts:
            item |= {"row_total_incl_tax": 0, "base_row_total_incl_tax": 0}
        if row.option:
            item["product_option"] = {"extension_attributes": row.option}
        self._items.append(item)
        if amounts and base and row.taxed:
            self._taxes.append(self._applied("product", item_id, amounts, base))
        return item

    def _applied(self, kind: str, item_id: int | None, amounts: RowAmounts, base: RowAmounts) -> dict[str, Any]:
        applied: dict[str, Any] = {"type": kind}
        if item_id is not None:
            applied["item_id"] = item_id
        return {**applied, "applied_taxes": [self._tax(amounts.tax, base.tax)]}

    def _tax(self, amount: Decimal, base_amount: Decimal) -> dict[str, Any]:
        return {
            "code": self._rate.code,
            "title": self._rate.code,
            "percent": self._rate.percent,
            "amount": amount,
            "base_amount": base_amount,
        }

    def _totals(self, rows: list[RowAmounts], freight: RowAmounts) -> dict[str, Decimal]:
        """The header's amounts in one currency, by the identity that holds on every order."""
        subtotal = sum((row.row_total for row in rows), ZERO)
        tax = sum((row.tax for row in rows), ZERO) + freight.tax
        discount = sum((row.discount for row in rows), ZERO) + freight.discount
        compensation = sum((row.compensation for row in rows), ZERO)
        return {
            "discount_amount": -discount,
            "grand_total": subtotal + freight.row_total + tax - discount + compensation + freight.compensation,
            "discount_tax_compensation_amount": compensation,
            "shipping_amount": freight.row_total,
            "shipping_discount_amount": freight.discount,
            "shipping_discount_tax_compensation_amount": freight.compensation,
            "shipping_incl_tax": freight.row_total_incl_tax,
            "shipping_tax_amount": freight.tax,
            "subtotal": subtotal,
            "subtotal_incl_tax": sum((row.row_total_incl_tax for row in rows), ZERO),
            "tax_amount": tax,
        }

    def _header(self, rows: list[_Row], freight: RowAmounts, base_freight: RowAmounts) -> dict[str, Any]:
        cart, view, customer = self._cart, self._cart.view, self._cart.customer
        # Adding all rows would count a dynamically priced bundle twice: its children carry the money.
        counted = [one for row in rows for one in ([row] if row.taxed else row.children)]
        totals = self._totals([row.amounts for row in counted if row.amounts], freight)
        base = self._totals([row.base for row in counted if row.base], base_freight)
        based = {_base_name(name): amount for name, amount in base.items()}
        title, offline = PAYMENT_METHODS[cart.payment]
        state, status = ("new", "pending") if offline else ("pending_payment", "pending_payment")
        data: dict[str, Any] = {"applied_rule_ids": "1"} if cart.coupon else {}
        data |= {"base_currency_code": "EUR"} | based | {"base_total_due": base["grand_total"]}
        data |= {
            "base_to_global_rate": 1,
            "base_to_order_rate": Decimal(view.rate),
            "billing_address_id": self._billing_address["entity_id"],
        }
        if cart.coupon:
            data["coupon_code"] = COUPON
        data |= {
            "created_at": self._created,
            "customer_email": customer.email,
            "customer_firstname": customer.firstname,
            "customer_group_id": 0 if customer.id is None else 1,
        }
        if customer.id is not None:
            data["customer_id"] = customer.id
        data |= {"customer_is_guest": int(customer.id is None), "customer_lastname": customer.lastname}
        data["customer_note_notify"] = 1
        if customer.taxvat:
            data["customer_taxvat"] = customer.taxvat
        data |= totals
        if cart.coupon:
            data["discount_description"] = COUPON
        data |= {
            "entity_id": self._id,
            "global_currency_code": "EUR",
            "increment_id": self._increment,
            "is_virtual": int(cart.shipping is None),
            "order_currency_code": view.currency,
            "protect_code": hashlib.md5(self._increment.encode(), usedforsecurity=False).hexdigest(),
            "quote_id": self._id if cart.fixed else self._shop.next_id("quote"),
            "remote_ip": "127.0.0.1",
        }
        if cart.shipping:
            data["shipping_description"] = "Flat Rate - Fixed"
        data |= {
            "state": state,
            "status": status,
            "store_currency_code": "EUR",
            "store_id": view.id,
            "store_name": f"Main Website\nMain Website Store\n{view.name}",
            "store_to_base_rate": 0,
            "store_to_order_rate": 0,
            "total_due": totals["grand_total"],
            "total_item_count": len(rows) + sum(len(row.children) for row in rows if not row.taxed),
            "total_qty_ordered": sum((row.quantity for row in rows), ZERO),
            "updated_at": self._updated,
            "weight": sum((item["row_weight"] for item in self._items), ZERO),
            "billing_address": self._billing_address,
            "payment": self._payment(title, totals, base),
            "status_histories": [],
        }
        return data

    def _address(self, address: dict[str, Any], kind: str) -> dict[str, Any]:
        written = {
            **address,
            "address_type": kind,
            "email": self._cart.customer.email,
            "entity_id": self._shop.next_id("address"),
            "parent_id": self._id,
        }
        return {name: written[name] for name in sorted(written)}

    def _payment(self, title: str, totals: dict[str, Decimal], base: dict[str, Decimal]) -> dict[str, Any]:
        payment: dict[str, Any] = {
            "account_status": None,
            "additional_information": [title],
            "amount_ordered": totals["grand_total"],
            "base_amount_ordered": base["grand_total"],
            "base_shipping_amount": base["shipping_amount"],
            "cc_last4": None,
            "entity_id": self._id,
            "method": self._cart.payment,
            "parent_id": self._id,
        }
        if self._cart.po_number:
            payment["po_number"] = self._cart.po_number
        return {**payment, "shipping_amount": totals["shipping_amount"]}

    def _shipping(self, freight: RowAmounts, base_freight: RowAmounts) -> dict[str, Any]:
        totals: dict[str, Any] = {}
        for prefix, amounts in (("base_", base_freight), ("", freight)):
            compensation = "discount_tax_compensation_am" + ("nt" if prefix else "ount")
            totals |= {
                f"{prefix}shipping_amount": amounts.row_total,
                f"{prefix}shipping_discount_amount": amounts.discount,
                f"{prefix}shipping_{compensation}": amounts.compensation,
                f"{prefix}shipping_incl_tax": amounts.row_total_incl_tax,
                f"{prefix}shipping_tax_amount": amounts.tax,
            }
        if self._shipping_address is None:
            return {"total": totals}
        return {"address": self._shipping_address, "method": "flatrate_flatrate", "total": totals}

    def _extension(self, data: dict[str, Any]) -> dict[str, Any]:
        extension: dict[str, Any] = {
            "payment_additional_info": [{"key": "method_title", "value": PAYMENT_METHODS[self._cart.payment][0]}],
            "applied_taxes": [self._tax(data["tax_amount"], data["base_tax_amount"])],
            "item_applied_taxes": self._taxes,
            "converting_from_quote": True,
        }
        if self._cart.gift_message:
            extension["gift_message"] = {
                "gift_message_id": self._shop.next_id("gift_message"),
                "customer_id": self._cart.customer.id or 0,
                "sender": self._cart.customer.firstname,
                "recipient": "Oma",
                "message": self._cart.gift_message,
            }
        return extension


def _shown_incl_tax(amounts: RowAmounts) -> Decimal:
    """``row_total_incl_tax`` of an order's row: minus discount, plus tax, never below 0."""
    return max(amounts.row_total - amounts.discount + amounts.tax + amounts.compensation, ZERO)


def _whole(amount: Decimal) -> Decimal | int:
    """Whole amounts as plain numbers: most fields of a row are, and plain numbers are written many times faster."""
    whole = int(amount)
    return whole if whole == amount else amount


def _base_name(name: str) -> str:
    """The base currency's name of a header amount; one of them is cut off, as the database column is."""
    if name == "shipping_discount_tax_compensation_amount":
        return "base_shipping_discount_tax_compensation_amnt"
    return f"base_{name}"
