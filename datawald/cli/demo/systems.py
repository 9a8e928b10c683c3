"""The two sandboxes as the demo's people see them: what they do there, and what each of them holds.

What is held is read from the systems themselves, past everything of ours, since it is what our records are judged by.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from datawald.cli.services import call_sandbox, open_local

#: What a shop lets an address become; the sandbox's own default for a change.
NEW_STREET, NEW_POSTCODE = "Neue Straße 5", "10999"
#: What is asked of a document: a whole one is twenty times as long.
_HEADER = (
    "DocEntry,DocNum,DocCurrency,DocTotal,DocTotalFc,Cancelled,CancelStatus,DocumentStatus,DataVersion,TrackingNumber"
)
_SELECT = f"{_HEADER},U_DW_KEY,AddressExtension,DocumentLines"
#: The SKU of the sandbox's broken order.
MISSING_SKU = "NO-SUCH-SKU"
#: A recorded order of the time when the shop's default view still showed prices with tax. Read by today's mode its parts do
#: not explain its total, and what they do not explain must never be booked.
UNEXPLAINED = "000000017"
#: A recorded order of eight pieces that lie in three stock sources, and in none of them eight.
SPREAD = "000000014"


@dataclass(frozen=True)
class ShopOrder:
    """An order as Magento holds it."""

    increment_id: str
    state: str
    currency: str
    #: What remains wanted: the grand total less what was cancelled.
    total: Decimal
    #: How far the rows that remain may be from that by their own rounding; 0 for an order that is as it was placed.
    tolerance: Decimal
    #: Rows by ``item_id``: what is ordered, and which rows never travel by themselves (bundle parts, services).
    rows: Mapping[str, Decimal]
    apart: frozenset[str]
    bundled: bool
    virtual: bool

    @property
    def wanted(self) -> bool:
        """Whether SAP is to have it."""
        return self.state in ("new", "processing", "complete")


@dataclass(frozen=True)
class ShopShipment:
    """A shipment as Magento holds it."""

    increment_id: str
    order: str
    quantities: Mapping[str, Decimal]
    tracks: Sequence[str]
    comments: Sequence[str]


@dataclass(frozen=True)
class ShopState:
    """Everything the shop holds."""

    orders: Mapping[str, ShopOrder]
    shipments: Sequence[ShopShipment]
    mails: int


class Magento:
    """The shop: its customers and its owner."""

    def __init__(self, url: str) -> None:
        self._url = url

    def place(self, count: int = 1, **how: Any) -> list[str]:
        """Customers order; the orders' numbers."""
        placed = self._call("POST", "/orders/place", {"count": count, **how})
        return [str(number) for number in placed["increment_ids"]]

    def order_numbers(self) -> list[str]:
        """The numbers of all orders."""
        return list(self._call("GET", "/state")["totals"])

    def change_address(self, increment_id: str) -> None:
        """A customer moves."""
        address = {"street": [NEW_STREET], "postcode": NEW_POSTCODE}
        self._call("POST", f"/orders/{increment_id}/change", {"what": "address", "value": address})

    def cancel(self, increment_id: str) -> bool:
        """The owner cancels an order."""
        return bool(self._call("POST", f"/orders/{increment_id}/cancel", {})["canceled"])

    def state(self) -> ShopState:
        told = self._call("GET", "/state")
        orders = {number: self._order(number) for number in told["totals"]}
        shipments = [
            ShopShipment(
                one["increment_id"],
                number,
                {str(item["order_item_id"]): Decimal(str(item["qty"])) for item in one["items"]},
                tuple(one["tracks"]),
                tuple(one["comments"]),
            )
            for number, of_order in told["shipments"].items()
            for one in of_order
        ]
        return ShopState(orders, shipments, len(told["mails"]))

    def _order(self, number: str) -> ShopOrder:
        raw = self._call("GET", f"/orders/{number}")
        items = raw["items"]
        cancelled = Decimal(str(raw.get("total_canceled") or 0))
        bundles = {item["item_id"] for item in items if item["product_type"] == "bundle"}
        return ShopOrder(
            number,
            raw["state"],
            raw["order_currency_code"],
            Decimal(str(raw["grand_total"])) - cancelled,
            Decimal("0.005") * (len(items) + 1) if cancelled else Decimal(0),
            {str(item["item_id"]): Decimal(str(item["qty_ordered"])) for item in items},
            frozenset(
                str(item["item_id"])
                for item in items
                if item.get("parent_item_id") in bundles or item.get("is_virtual")
            ),
            bool(bundles),
            bool(raw.get("is_virtual")),
        )

    def _call(self, method: str, path: str, body: object = None) -> Any:
        return call_sandbox(self._url, method, f"/_sandbox{path}", body)


@dataclass(frozen=True)
class SapLine:
    """A line of an order or a delivery."""

    number: int
    item: str
    quantity: Decimal
    #: The shop's row it stands for ("" for a line a clerk added), and for a delivery the order's line it delivers.
    row: str = ""
    base: tuple[int, int] | None = None


@dataclass(frozen=True)
class SapOrder:
    """A sales order as SAP holds it."""

    doc_entry: int
    doc_num: int
    key: str
    currency: str
    total: Decimal
    live: bool
    open: bool
    #: Goes up with every write, whoever makes it.
    version: int
    street: str
    lines: Sequence[SapLine]


@dataclass(frozen=True)
class SapDelivery:
    """A delivery note as SAP holds it."""

    doc_entry: int
    doc_num: int
    tracking: str
    lines: Sequence[SapLine]


@dataclass(frozen=True)
class SapState:
    """Every document the company holds."""

    orders: Sequence[SapOrder]
    deliveries: Sequence[SapDelivery]

    @property
    def live(self) -> dict[str, list[SapOrder]]:
        """Orders that count, by key."""
        found: dict[str, list[SapOrder]] = {}
        for order in self.orders:
            if order.live:
                found.setdefault(order.key, []).append(order)
        return found

    @property
    def by_entry(self) -> dict[int, SapOrder]:
        return {order.doc_entry: order for order in self.orders}


@dataclass
class Sap:
    """The company: its warehouse and its buyers; read over its Service Layer, as any program of the house would."""

    url: str
    password: str
    _cookies: str = field(default="", init=False)

    def deliver(self, doc_entries: Sequence[int], *, partial: bool = False) -> None:
        """The warehouse sends goods, with a tracking number each."""
        if doc_entries:
            body = {"doc_entries": list(doc_entries), "partial": partial, "tracking": True}
            call_sandbox(self.url, "POST", "/_sandbox/deliver", body)

    def add_item(self, code: str) -> None:
        """A buyer adds an item."""
        call_sandbox(self.url, "POST", "/_sandbox/items", {"item_code": code})

    def state(self) -> SapState:
        return SapState(
            [_order(row) for row in self._all("Orders")], [_delivery(row) for row in self._all("DeliveryNotes")]
        )

    def _all(self, entity_set: str) -> Iterator[Mapping[str, Any]]:
        path: str | None = f"{entity_set}?$select={_SELECT}"
        while path:
            page = self._ask("GET", path)
            yield from page["value"]
            path = page.get("@odata.nextLink")

    def _ask(self, method: str, path: str) -> Any:
        if not self._cookies:
            body = {"CompanyDB": "SBODEMO", "UserName": "manager", "Password": self.password}
            login = urllib.request.Request(  # noqa: S310 - our own, on 127.0.0.1
                f"{self.url}/b1s/v2/Login", json.dumps(body).encode(), {"content-type": "application/json"}
            )
            with open_local(login) as answer:
                told = answer.headers.get_all("set-cookie") or []
            self._cookies = "; ".join(cookie.partition(";")[0] for cookie in told)
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/b1s/v2/{path}",
            method=method,
            headers={"cookie": self._cookies, "prefer": "odata.maxpagesize=500"},
        )
        with open_local(request) as answer:
            return json.loads(answer.read(), parse_float=Decimal)


def _order(row: Mapping[str, Any]) -> SapOrder:
    foreign = row["DocCurrency"] != "EUR"
    return SapOrder(
        row["DocEntry"],
        row["DocNum"],
        row.get("U_DW_KEY") or "",
        row["DocCurrency"],
        Decimal(row["DocTotalFc" if foreign else "DocTotal"]),
        row.get("Cancelled") != "tYES",
        row.get("DocumentStatus") == "bost_Open",
        row["DataVersion"],
        (row.get("AddressExtension") or {}).get("ShipToStreet") or "",
        [_line(line) for line in row["DocumentLines"]],
    )


def _delivery(row: Mapping[str, Any]) -> SapDelivery:
    return SapDelivery(
        row["DocEntry"], row["DocNum"], row.get("TrackingNumber") or "", [_line(line) for line in row["DocumentLines"]]
    )


def _line(line: Mapping[str, Any]) -> SapLine:
    based = line.get("BaseType") == 17
    return SapLine(
        line["LineNum"],
        line["ItemCode"],
        Decimal(line["Quantity"]),
        line.get("U_DW_LINE") or "",
        (line["BaseEntry"], line["BaseLine"]) if based else None,
    )
