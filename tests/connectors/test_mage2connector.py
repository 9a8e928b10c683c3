"""The Magento connector: its walks against a list of rows, its judgement against recorded refusals, all of it against
the sandbox as a real process."""

from __future__ import annotations

import json
import pickle
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from wire import Sandbox, answer, saying

from datawald.domain.errors import BadInput, InDoubt, Misconfigured, Rejected, Retryable
from datawald.http import Answer
from flask_mage2connector import Mage2Connector
from flask_mage2connector.answers import MAINTENANCE_TITLE, interpolated, judge

OAUTH = {"consumer_key": "ck-123456", "consumer_secret": "cs-123456", "token": "t-123456", "token_secret": "ts-123456"}
START = datetime(2026, 1, 1, tzinfo=UTC)


# --- configuration


def test_the_application_configures_it():
    from flask import Flask

    app = Flask("shop")
    app.config.update(MAGE2_US_ENDPOINT="https://shop.example/rest/V1", MAGE2_US_BEARER_TOKEN="bearer-1")
    connector = Mage2Connector()
    with pytest.raises(Misconfigured, match="no endpoint"):
        connector.probe()
    connector.init_app(app, prefix="MAGE2_US_")
    assert app.extensions["mage2connector"]["MAGE2_US_"] is connector
    assert connector._session.base_url == "https://shop.example"
    with pytest.raises(Misconfigured, match="MAGE2_ENDPOINT"):
        Mage2Connector().init_app(app)


@pytest.mark.parametrize(
    "credentials",
    [{}, {"consumer_key": "a"}, {**OAUTH, "bearer_token": "b"}, {"username": "admin"}, {"password": "p"}],
)
def test_half_credentials_are_refused(credentials):
    with pytest.raises(Misconfigured):
        Mage2Connector("https://shop.example", **credentials)


# --- what refusals mean


def given(status: int, body: Any, method: str = "GET", kind: str = "application/json") -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    parsed = None if isinstance(body, str) else body
    return Answer(status, {"Content-Type": kind}, parsed, text, method, "/rest/V1/x", method != "GET")


def test_messages_are_filled_in():
    both = {"message": 'Maximum items of type "%type" is %max', "parameters": {"type": "order", "max": 20}}
    assert interpolated(both) == 'Maximum items of type "order" is 20'
    many = {"message": "%1 and %2 and %10 of %3", "parameters": ["a", "b"]}
    assert interpolated(many) == "a and b and %10 of %3"
    # recorded: names with a list
    listed = {"message": "Invalid attribute %fieldName = %fieldValue.", "parameters": ["SKU", "NOPE"]}
    assert interpolated(listed) == "Invalid attribute SKU = NOPE."
    nested = {"message": "Several:", "errors": [{"message": "%1 is bad", "parameters": ["x"]}, {"message": "y"}]}
    assert interpolated(nested) == "Several:; x is bad; y"
    assert interpolated({"message": "100% sure %"}) == "100% sure %"
    assert interpolated([]) == interpolated({"message": None}) == interpolated("x") == ""


RECORDED = Path(__file__).parents[1] / "recorded" / "magento2" / "errors.json"


@pytest.mark.skipif(not RECORDED.exists(), reason="no recorded answers here")
def test_every_recorded_refusal_is_judged():
    for one in json.loads(RECORDED.read_text()):
        body, status = one["response"], one["status"]
        if status < 400:
            continue
        verdict = judge(given(status, body, one["request"]["method"]))
        if status >= 500:
            assert verdict is None, one["case"]
        elif status == 401 or body["message"].startswith(("Request does not match", "Specified request")):
            assert isinstance(verdict, Misconfigured | Retryable), one["case"]
        else:
            assert isinstance(verdict, Rejected), one["case"]
            assert "%" not in verdict.message.replace("HTTP", "") or "%" in json.dumps(body), one["case"]


def test_only_magentos_own_maintenance_page_proves_that_nothing_was_processed():
    page = f"<html><head>{MAINTENANCE_TITLE}</head><body>Service Temporarily Unavailable</body></html>"
    apache = "<title>503 Service Unavailable</title> due to maintenance downtime or capacity problems"
    assert isinstance(judge(given(503, page, "POST", "text/html")), Retryable)
    assert judge(given(503, apache, "POST", "text/html")) is None
    assert judge(given(500, {"message": "Internal Error"}, "POST")) is None


def test_a_503_on_a_write_over_the_wire(peer):
    page = f"<html><head>{MAINTENANCE_TITLE}</head><h1>Service Temporarily Unavailable</h1></html>"
    server = peer(saying(answer(page, 503, "text/html"), answer("<h1>Guru Meditation</h1>", 503, "text/html")))
    shop = Mage2Connector(f"http://127.0.0.1:{server.port}", **OAUTH)
    with pytest.raises(Retryable, match="maintenance"):
        shop.ship(1, {"items": [{"order_item_id": 1, "qty": 1}]})
    with pytest.raises(InDoubt, match="Guru Meditation"):
        shop.ship(1, {"items": [{"order_item_id": 1, "qty": 1}]})
    assert len(server.requests) == 2


def test_no_secret_of_the_signature_is_in_an_error(peer):
    server = peer(saying(answer('{"message": "token t-123456 of ck-123456 is cs-123456"}', 401)))
    with pytest.raises(Misconfigured) as failure:
        Mage2Connector(f"http://127.0.0.1:{server.port}", **OAUTH).probe()
    assert not any(secret in str(failure.value) + str(failure.value.detail) for secret in OAUTH.values())
    assert b'oauth_signature_method="HMAC-SHA256"' in server.requests[0]
    assert pickle.loads(pickle.dumps(failure.value)).status == 401


def test_unexpected_answers_to_writes_are_in_doubt(peer):
    server = peer(saying(answer("[]")))
    shop = Mage2Connector(f"http://127.0.0.1:{server.port}", **OAUTH)
    with pytest.raises(InDoubt):
        shop.ship(1, {"items": [{"order_item_id": 1, "qty": 1}]})
    with pytest.raises(InDoubt):
        shop.comment_order(1, "hello", "processing")


def test_what_would_do_damage_is_refused_before_it_is_sent():
    shop = Mage2Connector("https://shop.example", **OAUTH)
    with pytest.raises(BadInput):
        shop.ship(1, {"items": []})
    with pytest.raises(BadInput):
        shop.comment_order(1, "hello", "")
    with pytest.raises(BadInput):
        list(shop.orders(datetime(2026, 1, 1)))  # noqa: DTZ001


# --- walks, against rows in memory


class Rows(Mage2Connector):
    """A connector whose list routes answer from ``rows`` as Magento does; ``before`` runs ahead of each request."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__("http://shop.example", **OAUTH)
        self.rows = rows
        self.asked = 0
        self.before = lambda: None

    def read(self, route: str, params: Any = (), **_: Any) -> Answer:
        self.asked += 1
        self.before()
        found = dict(params)
        rows = [row for row in self.rows if self._holds(row, found)]
        for number in (1, 0):
            if field := found.get(f"searchCriteria[sortOrders][{number}][field]"):
                rows.sort(key=lambda row: row[field])
        size, page = int(found["searchCriteria[pageSize]"]), int(found["searchCriteria[currentPage]"])
        body = {"items": [dict(row) for row in rows[(page - 1) * size : page * size]], "total_count": len(rows)}
        return given(200, body)

    @staticmethod
    def _holds(row: dict[str, Any], found: dict[str, str]) -> bool:
        group = 0
        while field := found.get(f"searchCriteria[filter_groups][{group}][filters][0][field]"):
            one = f"searchCriteria[filter_groups][{group}][filters][0]"
            if not HOLDS[found[f"{one}[condition_type]"]](row[field], found[f"{one}[value]"]):
                return False
            group += 1
        return True


HOLDS: dict[str, Callable[[Any, str], bool]] = {
    "eq": lambda have, value: str(have) == value,
    "in": lambda have, value: str(have) in value.split(","),
    "gt": lambda have, value: have > type(have)(value),
    "gteq": lambda have, value: have >= type(have)(value),
    "lteq": lambda have, value: have <= type(have)(value),
}


def at(seconds: int) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")


def row(entity_id: int, seconds: int) -> dict[str, Any]:
    return {"entity_id": entity_id, "updated_at": at(seconds), "increment_id": f"{entity_id:09d}", "store_id": 1}


def walked(shop: Rows, **options: Any) -> list[tuple[str, int]]:
    return [
        (one["updated_at"], one["entity_id"])
        for page in shop.orders(options.pop("start", START), **options)
        for one in page
    ]


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("spread", [1, 3, 30])
def test_a_walk_gives_every_order_once_in_order(page_size, spread):
    chance = random.Random(spread)
    rows = [row(number, chance.randrange(spread)) for number in range(1, 41)]
    expected = sorted((one["updated_at"], one["entity_id"]) for one in rows)
    assert walked(Rows(rows), page_size=page_size) == expected


def test_a_walk_keeps_to_its_bounds_and_resumes():
    rows = [row(number, number // 4) for number in range(1, 41)]
    expected = sorted((one["updated_at"], one["entity_id"]) for one in rows)
    middle = START + timedelta(seconds=5)
    assert walked(Rows(rows), page_size=3, start=middle) == [key for key in expected if key[0] >= at(5)]
    assert walked(Rows(rows), page_size=3, until=middle) == [key for key in expected if key[0] <= at(5)]
    zoned = middle.astimezone(timezone(timedelta(hours=-7)))
    assert walked(Rows(rows), page_size=3, start=zoned) == [key for key in expected if key[0] >= at(5)]
    for done, (_, entity_id) in enumerate(expected):
        second = datetime.fromisoformat(expected[done][0]).replace(tzinfo=UTC)
        assert walked(Rows(rows), page_size=3, start=second, after_id=entity_id) == expected[done + 1 :]


def test_orders_that_change_while_walking_are_met_again_and_none_is_skipped():
    shop = Rows([row(number, number) for number in range(1, 31)])
    clock = iter(range(100, 10_000))

    def touch() -> None:
        if shop.asked < 8:  # an order that was already given changes and moves to the end
            shop.rows[shop.asked]["updated_at"] = at(next(clock))

    shop.before = touch
    got = walked(shop, page_size=4)
    assert {entity_id for _, entity_id in got} == set(range(1, 31))
    assert len(set(got)) == len(got)


def test_a_walk_stops_at_a_server_that_ignores_what_it_is_asked():
    shop = Rows([row(number, number) for number in range(1, 31)])
    shop._holds = lambda row, found: True  # type: ignore[method-assign]  # filters ignored: the same page for ever
    with pytest.raises(Misconfigured):
        walked(shop, page_size=10)
    assert shop.asked <= 3
    with pytest.raises(Misconfigured):
        list(shop.search("orders", page_size=10))


def test_an_id_list_is_asked_in_chunks_and_commas_by_themselves():
    shop = Rows([row(number, number) for number in range(1, 131)])
    shop.rows.append({**row(200, 200), "increment_id": "A,1"})
    found = shop.orders_by_increment_id([*(f"{number:09d}" for number in range(1, 121)), "A,1", "A,1", "absent"])
    assert len(found) == 121
    assert shop.asked == 4  # "A,1", then 50 + 50 + 21
    assert shop.orders_by_increment_id([]) == []


# --- the sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    running = Sandbox("sandbox_magento2")
    yield running
    running.stop()


SANDBOX_OAUTH = {
    "consumer_key": "sandboxconsumerkey00000000000001",
    "consumer_secret": "sandboxconsumersecret00000000001",
    "token": "sandboxaccesstoken00000000000001",
    "token_secret": "sandboxaccesstokensecret00000001",
}


@pytest.fixture
def store(sandbox: Sandbox) -> Iterator[Sandbox]:
    sandbox.control("DELETE", "/faults")
    sandbox.control("POST", "/reset", {})
    yield sandbox


@pytest.fixture
def shop(store: Sandbox) -> Mage2Connector:
    return Mage2Connector(store.url, **SANDBOX_OAUTH, deadline_s=5.0)


def placed(store: Sandbox, **cart: Any) -> dict[str, Any]:
    made = store.control("POST", "/orders/place", {"kind": "simple", "store": "default", "seed": "x", **cart})
    return made["orders"][0]


def everything(shop: Mage2Connector, **options: Any) -> list[dict[str, Any]]:
    start = options.pop("start", datetime(2000, 1, 1, tzinfo=UTC))
    return [order for page in shop.orders(start, **options) for order in page]


def shippable(order: dict[str, Any]) -> dict[str, Any]:
    return {"items": [{"order_item_id": order["items"][0]["item_id"], "qty": 1}], "notify": False}


def test_sandbox_credentials(store):
    assert Mage2Connector(store.url, **SANDBOX_OAUTH).probe() is not None
    with pytest.raises(Misconfigured, match="signature is invalid"):
        Mage2Connector(store.url, **{**SANDBOX_OAUTH, "token_secret": "wrong-wrong-wrong"}).probe()
    bearer = Mage2Connector(store.url + "/rest/", bearer_token=SANDBOX_OAUTH["token"])
    with pytest.raises(Misconfigured, match="isn't authorized to access Magento_Sales::actions_view"):
        bearer.probe()
    store.control("POST", "/switches", {"enable_integration_as_bearer": True})
    assert bearer.probe() is not None
    store.control("POST", "/switches", {"denied_resources": ["Magento_Sales::actions_view"]})
    with pytest.raises(Misconfigured, match="Magento_Sales::actions_view"):
        bearer.probe()


def test_sandbox_admin_token_is_fetched_and_renewed_once(store):
    tokens = []
    admin = Mage2Connector(store.url, username="admin", password="sandbox-Admin1")
    fetch = admin._admin_token
    admin._admin_token = lambda *given: (tokens.append(fetch(*given)), tokens[-1])[1]  # type: ignore[method-assign]
    order = placed(store)
    assert admin.order(order["entity_id"])["increment_id"] == order["increment_id"]
    admin._token = "expired"  # as after four hours
    assert admin.ship(order["entity_id"], shippable(admin.order(order["entity_id"])))
    assert len(store.control("GET", "/state")["shipments"][order["increment_id"]]) == 1
    assert tokens.count("expired") == 1 and len(set(tokens) - {"expired"}) <= 2
    admin._token = "expired"
    with pytest.raises(Misconfigured, match="sign-in was incorrect"):
        Mage2Connector(store.url, username="admin", password="wrong-one").probe()
    store.control("POST", "/switches", {"two_factor": True})
    with pytest.raises(Misconfigured, match="2FA"):
        admin.probe()
    store.control("POST", "/switches", {"two_factor": False, "denied_resources": ["Magento_Sales::actions_view"]})
    with pytest.raises(Misconfigured, match="actions_view"):
        admin.probe()


def test_sandbox_a_walk_is_complete_also_through_a_mass_update(store, shop):
    second = "2026-03-01T10:00:00+00:00"
    store.control("POST", "/orders/place", {"count": 23, "at": second, "seed": "mass", "kind": "simple"})
    store.control("POST", "/orders/place", {"count": 9, "at": "2026-03-01T10:00:30+00:00", "seed": "later"})
    store.control("POST", "/switches", {"repeat_last_page": True})
    count = store.control("GET", "/state")["orders"]["count"]
    for page_size in (4, 100):
        walk = [(order["updated_at"], int(order["entity_id"])) for order in everything(shop, page_size=page_size)]
        assert walk == sorted(set(walk)) and len({entity_id for _, entity_id in walk}) == count
    middle, middle_id = walk[len(walk) // 2]
    start = datetime.fromisoformat(middle).replace(tzinfo=UTC)
    rest = [(o["updated_at"], int(o["entity_id"])) for o in everything(shop, start=start, after_id=middle_id)]
    assert rest == walk[len(walk) // 2 + 1 :]
    until = [(o["updated_at"], int(o["entity_id"])) for o in everything(shop, until=start, page_size=3)]
    assert until == [key for key in walk if key[0] <= middle]
    us = everything(shop, also=[("store_id", "eq", "2")])
    assert us and {order["store_id"] for order in us} == {2}
    store.control("POST", "/switches", {"page_size_limit": 50})
    with pytest.raises(Rejected, match="Maximum SearchCriteria pageSize is 50"):
        everything(shop, page_size=51)


def test_sandbox_orders_by_number_and_id(store, shop):
    first, second = placed(store), placed(store, seed="y")
    found = shop.orders_by_increment_id([second["increment_id"], first["increment_id"], "999999999"])
    assert {order["increment_id"] for order in found} == {first["increment_id"], second["increment_id"]}
    order = shop.order(first["entity_id"])
    assert order in found
    assert not any(isinstance(value, float) for value in _leaves(order))
    assert str(order["grand_total"]) == str(first["grand_total"])
    assert shop.order(999_999) is None
    with pytest.raises(Misconfigured, match="any route"):
        shop.read("no/such/route")
    with pytest.raises(Misconfigured, match="store view"):
        shop.read("orders", [("searchCriteria", "")], store="nope")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value


def test_sandbox_shipping(store, shop):
    made = [placed(store, seed=f"s{number}") for number in range(3)]
    for one in made:
        shipment = shop.ship(one["entity_id"], shippable(shop.order(one["entity_id"])))
        assert shipment.isdigit()
    ids = [one["entity_id"] for one in made]
    shipments = shop.shipments_of(ids)
    assert sorted(one["order_id"] for one in shipments) == sorted(ids)
    track = {
        "order_id": shipments[0]["order_id"],
        "parent_id": shipments[0]["entity_id"],
        "track_number": "T-1",
        "title": "DHL",
        "carrier_code": "custom",
    }
    assert shop.add_track(track).isdigit()
    assert [one["track_number"] for one in shop.shipments_of([track["order_id"]])[0]["tracks"]] == ["T-1"]
    with pytest.raises(Rejected):
        shop.add_track({**track, "order_id": 999_999})
    with pytest.raises(Rejected):
        shop.ship(999_999, {"items": [{"order_item_id": 1, "qty": 1}]})
    assert shop.shipments_of([]) == []


def test_sandbox_comment_and_reference(store, shop):
    order = shop.order(placed(store)["entity_id"])
    shop.comment_order(order["entity_id"], "Booked as 17", order["status"])
    shop.set_ext_order_id(order["entity_id"], "17")
    again = shop.order(order["entity_id"])
    assert again["ext_order_id"] == "17" and again["status"] == order["status"]
    assert "Booked as 17" in [one["comment"] for one in again["status_histories"]]


def test_sandbox_catalogue_and_stores(shop):
    assert shop.product("simple-1")["sku"] == "SIMPLE-1"
    assert shop.product("NO/SUCH + SKU & more, really") is None
    assert {one["sku"] for one in shop.products(["SIMPLE-1", "SIMPLE-2", "NOPE"])} == {"SIMPLE-1", "SIMPLE-2"}
    assert {"default", "us"} <= {view["code"] for view in shop.store_views()}
    assert {"timezone", "base_currency_code"} <= set(shop.store_configs()[0])


@pytest.mark.parametrize(
    ("fault", "shipments"),
    [
        ({"kind": "reset_before"}, 0),
        ({"kind": "reset_after_commit"}, 1),
        ({"kind": "reset_commit_later", "seconds": 0.2}, 1),
        ({"kind": "status", "status": 503}, 0),
        ({"kind": "drip", "seconds": 0.5}, 1),
        ({"kind": "latency", "seconds": 1.1}, 1),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
def test_sandbox_a_shipment_in_trouble_is_in_doubt_and_sent_once(store, fault, shipments):
    shop = Mage2Connector(store.url, **SANDBOX_OAUTH, deadline_s=0.8)
    order = placed(store)
    body = shippable(shop.order(order["entity_id"]))
    store.fault(**fault, method="POST", path="/rest/V1/order/*/ship", times=3)
    with pytest.raises(InDoubt):
        shop.ship(order["entity_id"], body)
    assert [rule["fired"] for rule in store.control("GET", "/faults")["faults"]] == [1]
    for _ in range(30):
        found = store.control("GET", "/state")["shipments"].get(order["increment_id"], [])
        if len(found) >= shipments:
            break
        time.sleep(0.1)
    assert len(found) == shipments


def test_sandbox_reads_in_trouble_are_tried_again(store, shop):
    store.fault("reset_before", method="GET", times=1)
    store.fault("status", status=502, method="GET", times=1)
    assert shop.product("SIMPLE-1") is not None
    store.control("POST", "/switches", {"maintenance": True})
    quick = Mage2Connector(store.url, **SANDBOX_OAUTH, deadline_s=0.5)
    with pytest.raises(Retryable):
        quick.probe()
    with pytest.raises((Retryable, InDoubt)):
        quick.set_ext_order_id(1, "x")
