"""The Magento sandbox over real HTTP: recorded exchanges come out again, and invented orders keep Magento's rules."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from requests_oauthlib import OAuth1

from sandbox_magento2.auth import Credentials
from sandbox_magento2.generator import KINDS
from sandbox_magento2.money import loads
from sandbox_magento2.placing import Cart, CartLine, Customer, place
from sandbox_magento2.seed import open_shop
from sandbox_magento2.shop import STORE_VIEWS

RECORDED = Path(__file__).parents[1] / "recorded" / "magento2"
CREDENTIALS = Credentials()
ENTITY_GONE = "The entity that was requested doesn't exist. Verify the entity and try again."


def recorded(name: str) -> Any:
    """A recorded exchange, or the file of several."""
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


ORDERS = [recorded(path.name)["response"] for path in sorted(RECORDED.glob("order_*.json"))]
ERRORS = {one["case"]: one for one in recorded("errors.json")}
SMALL = recorded("small_calls.json")


class Sandbox:
    """A running sandbox: REST with the admin's token, control routes, and the process behind them."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process
        self.http = requests.Session()

    def log_in(self) -> None:
        """Get the admin's token: it needs no switch and no signature."""
        body = {"username": CREDENTIALS.admin_user, "password": CREDENTIALS.admin_password}
        token = self.http.post(f"{self.url}/rest/V1/integration/admin/token", json=body).json()
        self.http.headers["Authorization"] = f"Bearer {token}"

    def rest(self, method: str, path: str, query: Any = None, body: Any = None) -> requests.Response:
        """A call below ``/rest``."""
        return self.http.request(method, f"{self.url}/rest{path}", params=query, json=body)

    def get(self, path: str, **query: Any) -> Any:
        """A call that must succeed."""
        answer = self.rest("GET", path, query)
        assert answer.status_code == 200, answer.text
        return answer.json(parse_float=Decimal)

    def control(self, path: str, body: Any = None) -> Any:
        """A control call that must succeed."""
        method = "GET" if body is None else "POST"
        answer = requests.request(method, f"{self.url}/_sandbox{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json(parse_float=Decimal)

    def place(self, **asked: Any) -> dict[str, Any]:
        """Place one order and read it."""
        (placed,) = self.control("/orders/place", asked)["orders"]
        return self.get(f"/V1/orders/{placed['entity_id']}")

    def order(self, entity_id: int) -> dict[str, Any]:
        """Read one order."""
        return self.get(f"/V1/orders/{entity_id}")

    def ship(self, entity_id: int, body: Any = None) -> requests.Response:
        """Ship (part of) an order."""
        return self.rest("POST", f"/V1/order/{entity_id}/ship", body=body)

    def shipments(self, entity_id: int) -> list[dict[str, Any]]:
        """The shipments of an order."""
        return self.get("/V1/shipments", **by("order_id", entity_id))["items"]


def by(field: str, value: object, condition: str = "eq", group: int = 0) -> dict[str, str]:
    """One filter of a search."""
    prefix = f"searchCriteria[filter_groups][{group}][filters][0]"
    return {f"{prefix}[field]": field, f"{prefix}[value]": str(value), f"{prefix}[condition_type]": condition}


def sorted_by(*names: str, direction: str = "ASC") -> dict[str, str]:
    """Sort orders of a search."""
    query = {}
    for number, name in enumerate(names):
        query[f"searchCriteria[sortOrders][{number}][field]"] = name
        query[f"searchCriteria[sortOrders][{number}][direction]"] = direction
    return query


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = subprocess.Popen(
        [sys.executable, "-m", "sandbox_magento2", "serve", "--port", str(port), "--orders", "30"],
        stdout=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_MAGENTO2_")},
    )
    sandbox = Sandbox(f"http://127.0.0.1:{port}", started)
    try:
        for _ in range(200):
            try:
                requests.get(f"{sandbox.url}/_sandbox/health", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        sandbox.log_in()
        yield sandbox
    finally:
        started.terminate()
        started.wait(10)


@pytest.fixture
def shop(process: Sandbox) -> Sandbox:
    """The sandbox with a shop just opened: recorded and made-up orders only."""
    process.control("/reset", {})
    return process


# --- recorded exchanges -----------------------------------------------------------------------------------------------


def test_recorded_orders_come_back_word_for_word(shop: Sandbox) -> None:
    listed = {row["entity_id"]: row for row in shop.rest("GET", "/V1/orders?searchCriteria=").json()["items"]}
    for document in ORDERS:
        assert listed[document["entity_id"]] == document
        assert shop.rest("GET", f"/V1/orders/{document['entity_id']}").json() == document


@pytest.mark.parametrize("name", ["product_simple", "product_configurable", "product_bundle_dynamic"])
def test_recorded_products_come_back(shop: Sandbox, name: str) -> None:
    exchange = recorded(f"{name}.json")
    answer = shop.rest("GET", exchange["request"]["path"]).json()
    assert answer == exchange["response"]
    # The case of a SKU does not matter; the answer has the stored spelling.
    assert shop.rest("GET", f"/V1/products/{answer['sku'].lower()}").json() == answer


#: Recorded errors that need calls the sandbox does not play.
NOT_PLAYED = {
    "customer not found",
    "stock item not found",
    "body key missing",
    "type mismatch",
    "unknown field in body",
    "attribute set missing",
    "customer duplicate",
    "customer bad email",
    "tax rate duplicate",
    "refund not invoiced",
    "invoice refund, offline method",
    "capture paid",
    "source item unknown source",
    "source item without status",
    "source items empty",
    "bulk unknown uuid",
    "bulk body not a list",
    "base price unknown sku (200)",
    "image bad base64",
}


def replay(shop: Sandbox, exchange: dict[str, Any], headers: dict[str, str | None] | None = None) -> requests.Response:
    """Send a recorded request again."""
    request = exchange["request"]
    raw = request["body"] if isinstance(request["body"], str) else None
    return shop.http.request(
        request["method"],
        f"{shop.url}/rest{request['path']}",
        params=request["query"],
        json=None if raw is not None else request["body"],
        data=raw,
        headers=headers,
    )


@pytest.mark.parametrize("case", ERRORS)
def test_recorded_errors_come_out_again(shop: Sandbox, case: str) -> None:
    exchange = ERRORS[case]
    special: dict[str, dict[str, str | None]] = {
        "no token": {"Authorization": None},
        "bad bearer": {"Authorization": "Bearer bogus"},
        "bad json": {"Content-Type": "application/json"},
        "no content type": {"Content-Type": None},
        "wrong content type": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    headers = special.get(case, {})
    if case in ("ship complete order", "invoice complete order", "hold complete", "cancel complete (200 false)"):
        assert shop.ship(6).status_code == 200
        assert shop.rest("POST", "/V1/order/6/invoice", body={}).status_code == 200
        assert shop.order(6)["state"] == "complete"
    answer = replay(shop, exchange, headers)
    if case in NOT_PLAYED:
        assert answer.status_code == 501
        assert "not played by the sandbox" in answer.json()["message"]
        return
    assert answer.status_code == exchange["status"]
    assert answer.headers["Content-Type"] == exchange["content_type"]
    expected = exchange["response"]
    if answer.status_code == 500:
        assert answer.json()["message"].startswith(expected["message"].partition("webapi-")[0] + "webapi-")
    else:
        assert answer.json() == expected


def test_recorded_shipments_and_invoices_can_be_sent_again(shop: Sandbox) -> None:
    assert replay(shop, SMALL["ship_post"]).json() == "1"
    assert replay(shop, SMALL["invoice_post"]).json() == "1"
    for name in ("ship_duplicate", "invoice_duplicate"):
        answer = replay(shop, SMALL[name])
        assert (answer.status_code, answer.json()) == (400, SMALL[name]["response"])
    answer = replay(shop, SMALL["ship_overqty"])
    assert isinstance(answer.json(), str)
    assert [item["qty"] for item in shop.shipments(7)[0]["items"]] == [2]
    assert replay(shop, SMALL["ship_msi_source"]).status_code == 200
    assert shop.shipments(15)[0]["extension_attributes"] == {"source_code": "wh2"}
    assert replay(shop, SMALL["ship_msi_source"]).status_code == 400  # wh2 held five
    track = replay(shop, SMALL["track_post"]).json()
    assert track.keys() == SMALL["track_post"]["response"].keys()
    assert [one["track_number"] for one in shop.shipments(6)[0]["tracks"]] == ["TRK1", "LATE2"]


@pytest.mark.parametrize("name", ["store_storeConfigs", "store_websites", "directory_currency", "taxRates_search"])
def test_recorded_store_calls(shop: Sandbox, name: str) -> None:
    answer, expected = replay(shop, SMALL[name]).json(), SMALL[name]["response"]
    if name == "store_storeConfigs":
        answer = [row for row in answer if row["code"] != "gross"]  # the one view of our own
    assert answer == expected


def test_recorded_shipments_of_configurables_and_bundles(shop: Sandbox) -> None:
    exchange = recorded("shipments_configurable_bundle.json")
    for item_id in (3, 5, 9):
        assert shop.ship(2, {"items": [{"order_item_id": item_id, "qty": 1}]}).status_code == 200
    answer = replay(shop, exchange).json()
    assert _without_ids(answer) == _without_ids(exchange["response"])


def test_recorded_partial_invoice(shop: Sandbox) -> None:
    exchange = recorded("invoice_partial_configurable_bundle.json")
    wanted = [{"order_item_id": 3, "qty": 1}, {"order_item_id": 5, "qty": 1}]
    assert shop.rest("POST", "/V1/order/2/invoice", body={"items": wanted}).status_code == 200
    assert _without_ids(replay(shop, exchange).json()) == _without_ids(exchange["response"])


def test_recorded_cancellation(shop: Sandbox) -> None:
    """The order that was cancelled in the recording, placed anew and cancelled here."""
    shop.control("/orders/000000006/cancel", {})
    canceled, template = shop.order(7), next(order for order in ORDERS if order["entity_id"] == 8)
    assert canceled.keys() == template.keys()
    assert canceled["items"][0].keys() == template["items"][0].keys()
    assert canceled["total_canceled"] == canceled["grand_total"] == canceled["total_due"]


def _without_ids(value: Any) -> Any:
    volatile = {"entity_id", "increment_id", "parent_id", "created_at", "updated_at"}
    if isinstance(value, dict):
        return {name: _without_ids(inner) for name, inner in value.items() if name not in volatile}
    return [_without_ids(inner) for inner in value] if isinstance(value, list) else value


# --- the arithmetic ---------------------------------------------------------------------------------------------------

_BERLIN = {
    name: value
    for name, value in ORDERS[0]["billing_address"].items()
    if name not in ("address_type", "email", "entity_id", "parent_id", "vat_id")
}


@pytest.mark.parametrize("entity_id", [1, 2, 4, 5, 14, 17, 18])
def test_placing_a_recorded_cart_gives_the_recorded_order(entity_id: int) -> None:
    """Every amount and every key, from prices and quantities alone."""
    shop = open_shop()
    product = {
        sku: shop.catalogue[sku] for sku in ("SIMPLE-1", "SIMPLE-2", "VIRT-1", "CFG-1", "BND-DYN", "BND-FIX", "OPT-1")
    }
    repriced = dataclasses.replace(product["SIMPLE-2"], price=Decimal(35))
    line = CartLine
    carts: dict[int, dict[str, Any]] = {
        1: {"lines": (line(product["SIMPLE-1"], 2), line(product["SIMPLE-2"], 3)), "coupon": True},
        2: {
            "lines": (
                line(product["CFG-1"], 2, 5),
                line(product["BND-DYN"], 1),
                line(product["BND-FIX"], 2),
                line(product["VIRT-1"], 1),
            ),
            "coupon": True,
        },
        4: {"lines": (line(product["VIRT-1"], 1),), "shipping": None},
        5: {
            "lines": (line(product["SIMPLE-2"], 1),),
            "payment": "purchaseorder",
            "po_number": "PO-77",
            "gift_message": "Alles Gute",
        },
        14: {
            "lines": (line(product["SIMPLE-1"], 1),),
            "customer": Customer("jane@example.com", "Jane", "Muster", 1, "DE123456789"),
            "billing": {**_BERLIN, "vat_id": "DE123456789"},
        },
        17: {"lines": (line(product["OPT-1"], 1, 1),)},
        18: {"lines": (line(product["SIMPLE-1"], 2), line(repriced, 3), line(product["CFG-1"], 2, 5)), "coupon": True},
    }
    cart: dict[str, Any] = {
        "view": STORE_VIEWS[0],
        "customer": Customer("guest@example.com", "Max", "Gast"),
        "billing": _BERLIN,
        "shipping": _BERLIN,
    } | carts[entity_id]
    shop.switches.set({"prices_include_tax": {"default": entity_id == 18}})
    placed = json.loads(place(shop, Cart(**cart), shop.clock()).text())
    expected = next(order for order in ORDERS if order["entity_id"] == entity_id)
    assert _comparable(placed) == _comparable(expected)


def _comparable(value: Any) -> Any:
    """Without ids, times and names; taxes in the order of their rows. row_weight of a fixed bundle is not understood."""
    volatile = (
        "billing_address_id created_at entity_id gift_message_id increment_id item_id name order_id parent_id "
        "parent_item_id protect_code quote_id quote_item_id row_weight updated_at"
    ).split()
    if isinstance(value, dict):
        if "item_applied_taxes" in value:
            taxes = sorted(value["item_applied_taxes"], key=lambda tax: tax.get("item_id", 0))
            value = {**value, "item_applied_taxes": taxes}
        return {name: _comparable(inner) for name, inner in value.items() if name not in volatile}
    return [_comparable(inner) for inner in value] if isinstance(value, list) else value


def header_holds(order: dict[str, Any]) -> bool:
    """The identity of the header, in both currencies."""
    names = "subtotal shipping_amount tax_amount discount_amount discount_tax_compensation_amount".split()
    for prefix, ending in (("", "amount"), ("base_", "amnt")):
        parts = [order[prefix + name] for name in names]
        parts.append(order[f"{prefix}shipping_discount_tax_compensation_{ending}"])
        if sum(parts) != order[f"{prefix}grand_total"]:
            return False
    return True


def test_500_generated_orders_keep_the_rules(shop: Sandbox) -> None:
    shop.control("/orders/place", {"count": 500, "seed": "rules"})
    orders = shop.get("/V1/orders", **by("entity_id", 18, "gt"))["items"]
    assert len(orders) == 500
    assert {order["store_id"] for order in orders} == {1, 2, 3}
    assert {"new", "processing", "pending_payment", "holded"} <= {order["state"] for order in orders}
    for order in orders:
        assert header_holds(order), order["increment_id"]
        _check_rows(order)
    types = {item["product_type"] for order in orders for item in order["items"]}
    assert types == {"simple", "configurable", "bundle", "virtual"}


def _check_rows(order: dict[str, Any]) -> None:
    """Net lines by the price mode of the store view, plus shipping, come to the header; so do the applied taxes."""
    gross = order["store_id"] == 3
    net = taxes = Decimal(0)
    for item in order["items"]:
        parent = item.get("parent_item")
        dynamic = item["product_type"] == "bundle" and "tax_percent" not in item
        if dynamic:
            children = [one for one in order["items"] if one.get("parent_item_id") == item["item_id"]]
            assert item["tax_amount"] == sum(child["tax_amount"] for child in children)
            assert item["discount_amount"] == 0
            continue
        if parent and parent["product_type"] == "configurable":
            assert item["price"] == item["row_total"] == item["tax_amount"] == 0
            assert item["sku"] == parent["sku"]
            continue
        quantity, discount = item["qty_ordered"], item["discount_amount"]
        if gross and "price_incl_tax" in item:
            line = item["price_incl_tax"] * quantity - discount - item["tax_amount"]
            compensation = item["discount_tax_compensation_amount"]
            assert item["row_total"] == line - compensation
        else:
            line = item["price"] * quantity - discount
            assert item["row_total"] == line
        net, taxes = net + line, taxes + item["tax_amount"]
        assert header_amount(item["row_total_incl_tax"]) == header_amount(line + item["tax_amount"])
    freight = order["shipping_amount"] - order["shipping_discount_amount"]
    freight += order["shipping_discount_tax_compensation_amount"]
    assert net + taxes + freight + order["shipping_tax_amount"] == order["grand_total"]
    applied = order["extension_attributes"]["item_applied_taxes"]
    assert sum(one["applied_taxes"][0]["amount"] for one in applied) == order["tax_amount"]
    assert order["extension_attributes"]["applied_taxes"][0]["amount"] == order["tax_amount"]
    assignment = order["extension_attributes"]["shipping_assignments"][0]
    assert assignment["items"] == order["items"]
    assert ("address" in assignment["shipping"]) is not bool(order["is_virtual"])


def header_amount(amount: Any) -> Decimal:
    """An amount, compared as money."""
    return Decimal(amount).quantize(Decimal("0.01"))


def test_the_same_seed_gives_the_same_carts(shop: Sandbox) -> None:
    one, two = (shop.control("/orders/place", {"count": 20, "seed": 7})["orders"] for _ in range(2))
    assert [order["grand_total"] for order in one] == [order["grand_total"] for order in two]
    assert not {order["increment_id"] for order in one} & {order["increment_id"] for order in two}


def test_the_us_view_sells_in_dollars(shop: Sandbox) -> None:
    order = shop.place(store="us", kind="configurable")
    assert (order["order_currency_code"], order["base_currency_code"]) == ("USD", "EUR")
    assert (order["base_to_order_rate"], order["store_to_order_rate"]) == (Decimal("1.1"), 0)
    assert order["increment_id"].startswith("200000000")
    assert order["extension_attributes"]["applied_taxes"][0]["code"] in ("CA-8.25", "US-NY-*-Rate 1")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_placed_in_every_view(shop: Sandbox, kind: str) -> None:
    for view in STORE_VIEWS:
        order = shop.place(kind=kind, store=view.code, seed=kind)
        assert order["store_id"] == view.id
        assert header_holds(order)


def test_a_partly_cancelled_order_stays_alive(shop: Sandbox) -> None:
    order = shop.place(kind="partly_canceled")
    assert order["state"] == "processing"
    rows = [item for item in order["items"] if "parent_item_id" not in item]
    assert all(item["qty_canceled"] == 1 and item["qty_invoiced"] == item["qty_ordered"] - 1 for item in rows)
    assert order["total_paid"] + order["total_canceled"] == order["grand_total"]


@pytest.mark.parametrize("how", ["sku", "tax", "fee", "region"])
def test_orders_that_cannot_be_booked(shop: Sandbox, how: str) -> None:
    order = shop.place(**{"break": how})
    assert header_holds(order) is (how != "fee")
    assert any(item["sku"] == "NO-SUCH-SKU" for item in order["items"]) is (how == "sku")


# --- who may call -----------------------------------------------------------------------------------------------------


def oauth(**changes: Any) -> OAuth1:
    """The integration's signature."""
    arguments = {
        "client_key": CREDENTIALS.consumer_key,
        "client_secret": CREDENTIALS.consumer_secret,
        "resource_owner_key": CREDENTIALS.access_token,
        "resource_owner_secret": CREDENTIALS.access_token_secret,
        "signature_method": "HMAC-SHA256",
    }
    return OAuth1(**arguments | changes)


def test_oauth_lets_the_integration_in(shop: Sandbox) -> None:
    url = f"{shop.url}/rest/V1/orders?{'&'.join(f'{quote(k)}={quote(v)}' for k, v in by('status', 'pending').items())}"
    assert requests.get(url, auth=oauth()).json()["total_count"] > 0
    body = {"entity": {"entity_id": 1, "ext_order_id": "SAP 4711"}}
    assert requests.post(f"{shop.url}/rest/V1/orders", json=body, auth=oauth()).status_code == 200
    assert shop.order(1)["ext_order_id"] == "SAP 4711"


def test_a_space_sent_as_plus_is_refused(shop: Sandbox) -> None:
    query = by("updated_at", "2026-11-24 04:12:20", "gteq")
    refused = requests.get(f"{shop.url}/rest/V1/orders", params=query, auth=oauth())
    assert "+" in refused.url
    assert refused.status_code == 401
    assert refused.json() == {"message": "The signature is invalid. Verify and try again."}
    encoded = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items())
    assert requests.get(f"{shop.url}/rest/V1/orders?{encoded}", auth=oauth()).status_code == 200
    # With a token instead of a signature the plus does no harm.
    assert shop.rest("GET", "/V1/orders", query).status_code == 200


@pytest.mark.parametrize(
    ("sku", "status"), [("A%2FB", 401), ("A%2BB", 401), ("A%26B", 401), ("A%28B", 404), ("%C3%BC", 404)]
)
def test_paths_that_are_normalised_before_signing(shop: Sandbox, sku: str, status: int) -> None:
    url = f"{shop.url}/rest/V1/products/{sku}"
    assert requests.get(url, auth=oauth()).status_code == status
    assert shop.http.get(url).status_code == 404


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"signature_method": "HMAC-SHA1"}, 400, "Signature method %1 is not supported"),
        ({"client_secret": "x" * 32}, 401, "The signature is invalid. Verify and try again."),
        ({"resource_owner_key": "x" * 32}, 401, "Specified token does not exist"),
        ({"client_key": "x" * 32}, 401, "A consumer having the specified key does not exist"),
    ],
)
def test_oauth_refusals(shop: Sandbox, changes: dict[str, str], status: int, message: str) -> None:
    answer = requests.get(f"{shop.url}/rest/V1/orders/1", auth=oauth(**changes))
    assert (answer.status_code, answer.json()["message"]) == (status, message)


def test_a_nonce_is_good_once(shop: Sandbox) -> None:
    once = {"nonce": "the-same", "timestamp": str(int(time.time()))}
    url = f"{shop.url}/rest/V1/orders/1"
    assert requests.get(url, auth=oauth(**once)).status_code == 200
    answer = requests.get(url, auth=oauth(**once))
    assert answer.status_code == 401
    assert answer.json()["message"] == "The nonce is already being used by the consumer with ID %1"
    assert requests.get(url, auth=oauth(timestamp="1000000000")).status_code == 200  # an old timestamp does no harm


def test_the_signature_is_computed_as_the_standard_says() -> None:
    """Against a signature written out by hand, not by a library that might share our mistakes."""
    from sandbox_magento2.auth import SignedRequest, sign

    request = SignedRequest("get", "http", "Shop.test:80", "/rest/V1/orders", "a%5Bb%5D=c%20d", "")
    parameters = "a%255Bb%255D%3Dc%2520d%26oauth_nonce%3Dn"
    base = f"GET&http%3A%2F%2Fshop.test%2Frest%2FV1%2Forders&{parameters}"
    expected = base64.b64encode(hmac.digest(b"cs&ts", base.encode(), hashlib.sha256)).decode()
    assert sign(request, {"oauth_nonce": "n", "oauth_signature": "x"}, "cs", "ts") == expected


def test_integration_bearer_tokens_are_off_until_switched_on(shop: Sandbox) -> None:
    headers = {"Authorization": f"Bearer {CREDENTIALS.access_token}"}
    url = f"{shop.url}/rest/V1/orders/1"
    refused = requests.get(url, headers=headers)
    assert (refused.status_code, refused.json()) == (401, ERRORS["no token"]["response"])
    shop.control("/switches", {"enable_integration_as_bearer": True})
    assert requests.get(url, headers=headers).status_code == 200


def test_a_missing_right_looks_like_a_missing_token(shop: Sandbox) -> None:
    shop.control("/switches", {"denied_resources": ["Magento_Sales::actions_view"]})
    answer = shop.rest("GET", "/V1/orders/1")
    assert (answer.status_code, answer.json()) == (401, ERRORS["no token"]["response"])
    assert shop.rest("GET", "/V1/shipments?searchCriteria=").status_code == 200


def test_admin_tokens(shop: Sandbox) -> None:
    url = f"{shop.url}/rest/V1/integration/admin/token"
    assert requests.post(url, json={"username": "admin", "password": "wrong"}).status_code == 401
    right = {"username": CREDENTIALS.admin_user, "password": CREDENTIALS.admin_password}
    assert requests.post(url, json=right).json().count(".") == 2
    shop.control("/switches", {"two_factor": True})
    assert requests.post(url, json=right).status_code == 400


# --- searching --------------------------------------------------------------------------------------------------------


def ids(answer: dict[str, Any]) -> list[int]:
    """The entity ids of a page."""
    return [row["entity_id"] for row in answer["items"]]


def test_paging_oddities(shop: Sandbox) -> None:
    everything = ids(shop.get("/V1/orders", searchCriteria=""))
    assert everything == sorted(everything)
    size = {"searchCriteria[pageSize]": 5}
    assert ids(shop.get("/V1/orders", **size)) == everything[:5]
    assert ids(shop.get("/V1/orders", **size, **{"searchCriteria[currentPage]": 2})) == everything[5:10]
    for odd in (0, -3):
        assert ids(shop.get("/V1/orders", **size, **{"searchCriteria[currentPage]": odd})) == everything[:5]
    assert ids(shop.get("/V1/orders", **{"searchCriteria[pageSize]": 0})) == everything
    assert ids(shop.get("/V1/orders", **{"searchCriteria[pageSize]": -2})) == everything[:1]
    past = {**size, "searchCriteria[currentPage]": 99}
    empty = shop.get("/V1/orders", **past)
    assert (empty["items"], empty["total_count"]) == ([], len(everything))
    assert empty["search_criteria"] == {"filter_groups": [], "page_size": 5, "current_page": 99}
    shop.control("/switches", {"repeat_last_page": True})
    assert ids(shop.get("/V1/orders", **past)) == everything[10:]


def test_conditions(shop: Sandbox) -> None:
    def found(field: str, value: object, condition: str) -> list[int]:
        return ids(shop.get("/V1/orders", **by(field, value, condition)))

    assert found("increment_id", "000000017", "eq") == [18]
    assert found("increment_id", "000000017,000000001", "in") == [1, 18]
    assert found("entity_id", 16, "gt") == [17, 18]
    assert found("entity_id", 17, "moreq") == [17]  # documented, and silently eq
    assert found("customer_id", "", "notnull") == [14]
    assert found("customer_id", 1, "neq") == []  # NULL is not unequal to anything
    assert 14 not in found("customer_id", "", "null")
    assert found("customer_email", "JANE%", "like") == [14]
    assert found("state", "CANCELED", "eq") == [8]
    assert found("store_id", "2", "eq") == [3]
    assert found("updated_at", "2026-11-24T04:34:48Z", "gteq") == [17, 18]
    assert found("updated_at", "2026-11-24 04:34:48", "gt") == [18]
    assert len(found("updated_at", "garbage", "gt")) == len(found("entity_id", 0, "gt"))
    either = by("entity_id", 1)
    either |= {
        "searchCriteria[filter_groups][0][filters][1][field]": "entity_id",
        "searchCriteria[filter_groups][0][filters][1][value]": "2",
    }
    assert ids(shop.get("/V1/orders", **either)) == [1, 2]
    both = by("entity_id", 2, "gteq") | by("entity_id", 4, "lteq", group=1)
    assert ids(shop.get("/V1/orders", **both)) == [2, 3, 4]
    camel = {
        "search_criteria[filterGroups][0][filters][0][field]": "entity_id",
        "search_criteria[filterGroups][0][filters][0][value]": "5",
        "search_criteria[filterGroups][0][filters][0][conditionType]": "gteq",
        "search_criteria[page_size]": "2",
    }
    assert ids(shop.get("/V1/orders", **camel)) == [5, 6]


def test_sorting(shop: Sandbox) -> None:
    descending = ids(shop.get("/V1/orders", **{"searchCriteria[sortOrders][0][field]": "entity_id"}))
    assert descending == sorted(descending, reverse=True)
    rows = shop.get("/V1/orders", **sorted_by("updated_at", "entity_id"))["items"]
    stamps = [(row["updated_at"], row["entity_id"]) for row in rows]
    assert stamps == sorted(stamps)
    assert shop.rest("GET", "/V1/orders", sorted_by("nope")).status_code == 500


def test_fields_prune(shop: Sandbox) -> None:
    asked = "items[entity_id,items[sku]],total_count"
    answer = shop.get("/V1/orders", fields=asked, **by("entity_id", 2))
    assert answer.keys() == {"items", "total_count"}
    assert answer["items"][0].keys() == {"entity_id", "items"}
    assert answer["items"][0]["items"][0] == {"sku": "CFG-1-M"}
    assert shop.get("/V1/orders", fields=asked, **by("entity_id", 99999)) == {"items": None, "total_count": 0}
    assert shop.get("/V1/orders", fields="items[entity_id", **by("entity_id", 2)) == []
    same = "items[sku]"  # of the orders of a list, and of the rows of an order
    assert shop.get("/V1/orders", fields="items[increment_id]", **by("entity_id", 2))["items"] == [
        {"increment_id": "000000002"}
    ]
    assert shop.get("/V1/orders", fields=same, **by("entity_id", 2)) == {"items": [{}]}
    assert len(shop.get("/V1/orders/2", fields=same)["items"]) == 9
    assert shop.get("/V1/orders/2", fields="increment_id,payment[method]") == {
        "increment_id": "000000002",
        "payment": {"method": "checkmo"},
    }


def test_walking_pages_by_time_sees_every_order_once(shop: Sandbox) -> None:
    shop.control("/orders/place", {"count": 120, "seed": "walk"})
    seen: list[int] = []
    query = sorted_by("updated_at", "entity_id") | by("updated_at", "2026-01-01 00:00:00", "gteq")
    for page in range(1, 100):
        answer = shop.get(
            "/V1/orders", **query, **{"searchCriteria[pageSize]": 25, "searchCriteria[currentPage]": page}
        )
        seen += ids(answer)
        if not answer["items"]:
            break
    assert len(seen) == len(set(seen)) == answer["total_count"]


def test_an_input_limit_can_be_switched_on(shop: Sandbox) -> None:
    shop.control("/switches", {"page_size_limit": 300})
    answer = shop.rest("GET", "/V1/orders", {"searchCriteria[pageSize]": 301})
    assert (answer.status_code, answer.json()["parameters"]) == (400, {"max": 300})


def test_store_codes(shop: Sandbox) -> None:
    for code in ("default", "us", "all"):
        assert shop.get(f"/{code}/V1/orders", searchCriteria="")["total_count"] == 14  # no code filters orders
    for wrong in ("US", "nope"):
        assert shop.rest("GET", f"/{wrong}/V1/orders", {"searchCriteria": ""}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/V1/order/1/refund", 501),
        ("GET", "/V1/customers/1", 501),
        ("POST", "/async/V1/products", 501),
        ("GET", "/V1/no/such/route", 404),
        ("DELETE", "/V1/orders/1", 404),
        ("HEAD", "/V1/orders/1", 405),
        ("OPTIONS", "/V1/orders/1", 405),
    ],
)
def test_what_is_not_played_says_so(shop: Sandbox, method: str, path: str, status: int) -> None:
    answer = shop.rest(method, path, body={} if method == "POST" else None)
    assert answer.status_code == status
    if status == 501:
        assert "not played by the sandbox" in answer.json()["message"]


def test_an_unplayed_field_is_named(shop: Sandbox) -> None:
    answer = shop.ship(1, {"items": [{"order_item_id": 1, "qty": 1, "serial": "x"}]})
    assert (answer.status_code, answer.json()["message"]) == (
        501,
        "items: the field 'serial': not played by the sandbox",
    )


# --- orders change ----------------------------------------------------------------------------------------------------


def test_shipping_everything_and_again(shop: Sandbox) -> None:
    order = shop.place(kind="mixed", store="default")
    assert isinstance(shop.ship(order["entity_id"]).json(), str)
    after = shop.order(order["entity_id"])
    assert (after["state"], after["status"]) == ("processing", "processing")
    assert after["updated_at"] >= order["updated_at"]
    (shipment,) = shop.shipments(order["entity_id"])
    assert not any(
        item["sku"].startswith(("DW-0046", "DW-0047", "DW-0048", "DW-0049", "DW-005")) for item in shipment["items"]
    )
    assert shop.ship(order["entity_id"]).status_code == 400
    shop.rest("POST", f"/V1/order/{order['entity_id']}/invoice", body={"capture": False})
    paid = shop.order(order["entity_id"])
    assert (paid["state"], paid["total_paid"], paid["total_due"]) == ("complete", order["grand_total"], 0)


def test_part_shipments_are_not_idempotent_and_are_cut(shop: Sandbox) -> None:
    part = {"items": [{"order_item_id": 23, "qty": 1}]}
    first, second = shop.ship(12, part).json(), shop.ship(12, part).json()
    assert first != second
    assert shop.ship(12, {"items": [{"order_item_id": 23, "qty": 50}]}).status_code == 200
    assert [shipment["total_qty"] for shipment in shop.shipments(12)] == [1, 1, 1]
    assert shop.order(12)["items"][0]["qty_shipped"] == 3


def test_configurables_ship_by_the_parent(shop: Sandbox) -> None:
    assert shop.ship(2, {"items": [{"order_item_id": 4, "qty": 1}]}).status_code == 400
    assert shop.ship(2, {"items": [{"order_item_id": 3, "qty": 2}]}).status_code == 200
    items = {item["item_id"]: item for item in shop.order(2)["items"]}
    assert (items[3]["qty_shipped"], items[4]["qty_shipped"]) == (2, 0)


def test_bundles_ship_together_or_separately(shop: Sandbox) -> None:
    for wrong, instead in ((6, "Bundle product itself"), (8, "Bundle product options")):
        answer = shop.ship(2, {"items": [{"order_item_id": wrong, "qty": 1}]})
        assert answer.status_code == 400
        assert instead in answer.json()["message"]
    assert shop.ship(2, {"items": [{"order_item_id": 9, "qty": 1}, {"order_item_id": 5, "qty": 1}]}).status_code == 200
    (shipment,) = shop.shipments(2)
    assert [item["order_item_id"] for item in shipment["items"]] == [5, 8, 9]


def test_a_half_shipped_bundle_order_can_be_complete(shop: Sandbox) -> None:
    """Shipped units of parents count too, so the sum passes for the whole; quantities tell the truth."""
    assert shop.ship(2, {"items": [{"order_item_id": 9, "qty": 2}, {"order_item_id": 10, "qty": 3}]}).status_code == 200
    shop.rest("POST", "/V1/order/2/invoice", body={})
    order = shop.order(2)
    assert order["state"] == "complete"
    assert shop.ship(2).status_code == 200
    assert shop.order(2)["items"][0]["qty_shipped"] == 2


def test_comments_of_shipments_keep_our_key_without_mailing_it(shop: Sandbox) -> None:
    body = {"comment": {"comment": "b1_main:15.42/1/default", "is_visible_on_front": 0}, "appendComment": False}
    shop.ship(1, body | {"notify": True})
    (comment,) = shop.shipments(1)[0]["comments"]
    assert (comment["comment"], comment["is_customer_notified"]) == ("b1_main:15.42/1/default", 0)
    assert [mail["kind"] for mail in shop.control("/state")["mails"]] == ["shipment"]


def test_tracks_come_late_without_bumping_anything(shop: Sandbox) -> None:
    shop.ship(1)
    before, (shipment,) = shop.order(1), shop.shipments(1)
    time.sleep(1.1)
    entity = {
        "order_id": 1,
        "parent_id": shipment["entity_id"],
        "track_number": "T1",
        "title": "DHL",
        "carrier_code": "custom",
    }
    for _ in range(2):
        assert shop.rest("POST", "/V1/shipment/track", body={"entity": entity}).status_code == 200
    assert shop.order(1) == before
    (after,) = shop.shipments(1)
    assert after["updated_at"] == shipment["updated_at"]
    assert [track["track_number"] for track in after["tracks"]] == ["T1", "T1"]
    assert shop.rest("POST", "/V1/shipment/track", body={"entity": {**entity, "order_id": 2}}).status_code == 400


def test_virtual_orders_are_complete_when_invoiced(shop: Sandbox) -> None:
    assert shop.ship(4).status_code == 400
    shop.rest("POST", "/V1/order/4/invoice", body={})
    assert shop.order(4)["state"] == "complete"


def test_a_shipped_order_can_still_be_cancelled(shop: Sandbox) -> None:
    shop.ship(1)
    assert shop.rest("POST", "/V1/orders/1/cancel").json() is True
    order = shop.order(1)
    assert (order["state"], order["items"][0]["qty_canceled"]) == ("canceled", 0)
    assert order["total_due"] == order["grand_total"] == order["total_canceled"]
    assert shop.rest("POST", "/V1/orders/1/cancel").json() is False


def test_hold_and_unhold(shop: Sandbox) -> None:
    assert shop.rest("POST", "/V1/orders/1/hold").json() is True
    held = shop.order(1)
    assert (held["state"], held["hold_before_state"]) == ("holded", "new")
    assert shop.ship(1).status_code == 400
    assert shop.rest("POST", "/V1/orders/1/unhold").json() is True
    assert shop.order(1)["status"] == "pending"


def test_a_comment_without_status_erases_the_status(shop: Sandbox) -> None:
    def comment(**more: str) -> requests.Response:
        return shop.rest("POST", "/V1/orders/1/comments", body={"statusHistory": {"comment": "hello", **more}})

    assert comment(status="pending").json() is True
    assert shop.order(1)["status"] == "pending"
    assert comment().json() is True
    assert "status" not in shop.order(1)
    assert shop.get("/V1/orders/1/comments")["total_count"] == 2
    shop.control("/switches", {"version": "2.4.7"})
    comment(status="pending")
    assert comment(status="nonsense").status_code == 400


def test_saving_our_reference_shows_nulls_and_harms_nothing(shop: Sandbox) -> None:
    before = shop.order(1)
    answer = shop.rest("POST", "/V1/orders", body={"entity": {"entity_id": 1, "ext_order_id": "4711"}}).json()
    assert (answer["ext_order_id"], answer["grand_total"]) == ("4711", None)
    after = shop.order(1)
    assert {name for name in after if after[name] != before.get(name)} == {"ext_order_id", "updated_at"}


def test_changes_of_people_are_seen_in_order_of_time(shop: Sandbox) -> None:
    before = shop.order(1)
    shop.control("/orders/000000001/change", {"what": "address", "value": {"postcode": "99999"}})
    after = shop.order(1)
    assert after["extension_attributes"]["shipping_assignments"][0]["shipping"]["address"]["postcode"] == "99999"
    assert after["updated_at"] > before["updated_at"]
    last = ids(shop.get("/V1/orders", **sorted_by("updated_at", "entity_id", direction="DESC")))[0]
    assert last == 1


def test_with_a_commit_lag_changes_become_visible_later_than_their_stamp(shop: Sandbox) -> None:
    shop.control("/switches", {"commit_lag_seconds": 0.8})
    before = shop.order(1)
    shop.control("/orders/000000001/change", {"what": "note", "value": "late"})
    (placed,) = shop.control("/orders/place", {"kind": "simple"})["orders"]
    assert shop.order(1) == before
    assert shop.rest("GET", f"/V1/orders/{placed['entity_id']}").status_code == 404
    time.sleep(1)
    assert shop.order(1)["customer_note"] == "late"
    assert shop.order(placed["entity_id"])["updated_at"] == placed["updated_at"]
    shop.control("/orders/000000001/change", {"what": "note", "value": "earlier"})
    shop.control("/switches", {"commit_lag_seconds": 0})
    shop.control("/orders/000000001/change", {"what": "note", "value": "newest"})
    time.sleep(0.9)
    assert shop.order(1)["customer_note"] == "newest"


def test_state_proves_one_to_one(shop: Sandbox) -> None:
    shop.ship(1, {"tracks": [{"track_number": "T9", "title": "DHL", "carrier_code": "custom"}]})
    state = shop.control("/state")
    assert state["orders"]["count"] == 14
    assert state["totals"]["000000001"]["grand_total"] == Decimal("348.06")
    (shipment,) = state["shipments"]["000000001"]
    assert shipment["tracks"] == ["T9"]
    assert [(item["sku"], item["qty"]) for item in shipment["items"]] == [("SIMPLE-1", 2), ("SIMPLE-2", 3)]


def test_control_routes_refuse_what_they_do_not_know(shop: Sandbox) -> None:
    for path, body in (("/switches", {"nope": 1}), ("/orders/place", {"kind": "nope"}), ("/orders/1/cancel", {})):
        answer = requests.post(f"{shop.url}/_sandbox{path}", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]


def test_faults_reach_the_rest_api_and_not_the_control_routes(shop: Sandbox) -> None:
    fault = {"kind": "reset_after_commit", "method": "POST", "path": "/rest/V1/order/1/ship", "times": 1}
    assert requests.post(f"{shop.url}/_sandbox/faults", json=fault).status_code == 201
    with pytest.raises(requests.ConnectionError):
        shop.ship(1)
    assert len(shop.control("/state")["shipments"]["000000001"]) == 1  # the effect is there, the answer never came
    requests.delete(f"{shop.url}/_sandbox/faults")


def test_the_command_line_steers_a_running_sandbox(shop: Sandbox) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "sandbox_magento2", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
        return done.stdout

    environment = {"SANDBOX_MAGENTO2_URL": shop.url}
    increment_id = run("place", "--kind", "simple").strip()
    assert loads(run("ship", increment_id, "--track", "T1"))["shipment_id"] == "1"
    assert loads(run("state"))["shipments"][increment_id][0]["tracks"] == ["T1"]
    assert "Usage" in run("--help")
