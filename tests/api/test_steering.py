"""Replay and drop over the API."""

from __future__ import annotations

from typing import Any

import pytest

from datawald.domain.flow import Flow
from datawald.staging.store import StoredConnection
from tests.api.conftest import Api, Clock

SHIPMENT = {
    "document": "15.1",
    "order_key": "shop:1",
    "order_increment_id": "1",
    "shipped_at": "2026-01-01T00:00:00Z",
    "lines": [{"line_id": "11", "sku": "A", "quantity": "1"}],
}
ID = "shipment:books>shop:15.1/shop:1/"


@pytest.fixture
def staged(api: Api) -> Api:
    for name in ("books", "shop"):
        api.core.store.connections.insert(StoredConnection(name, "mage2", "http://x"))
    api.core.store.flows.insert(Flow("shipments", "shipment", "books", "shop"))
    body = {
        "source": "books",
        "target": "shop",
        "records": [{"src_id": "15.1/shop:1/", "stamp": "2026-01-01T00:00:00Z", "payload": SHIPMENT}],
    }
    assert api("POST", "/api/records/shipment", body) == {"records": ["new"]}
    return api


def settle(api: Api, **outcome: Any) -> dict[str, Any]:
    """One claim of the lane, reported with this outcome; the record afterwards."""
    claim = api("POST", "/api/claims", {"connection": "shop", "lane": "shop.shipments"})
    (record,) = claim["records"]
    reported = {"id": record["id"], "version": record["version"]} | outcome
    api("POST", "/api/reports", {"claim_id": claim["claim_id"], "outcomes": [reported]})
    return dict(api("GET", f"/api/records?id={ID}"))


def test_replay_as_new_forgets_the_document(staged: Api, clock: Clock) -> None:
    delivered = settle(staged, outcome="written", tgt_id="7", sent={"a": "1"}, links={"doc_num": "1007"})
    assert (delivered["status"], delivered["tgt_id"], delivered["links"]) == ("delivered", "7", {"doc_num": "1007"})
    assert staged("POST", "/api/records/shipment/replay", {"ids": [ID]})["records"] == {ID: "replayed"}
    assert settle(staged, outcome="rejected", why="found cancelled")["tgt_id"] == "7"
    staged("POST", "/api/records/shipment/replay", {"ids": [ID], "as_new": True})
    claim = staged("POST", "/api/claims", {"connection": "shop", "lane": "shop.shipments"})
    (record,) = claim["records"]
    assert (record["tgt_id"], record["sent"], record["links"]) == ("", None, {"as_new": True})
    refused = staged("POST", "/api/records/shipment/replay", {"ids": [ID]})["records"][ID]
    assert "processing" in refused


def test_a_dropped_record_says_why_and_who(staged: Api) -> None:
    assert staged("POST", "/api/records/shipment/drop", {"ids": [ID, "x"], "reason": "sent by hand"})["records"] == {
        ID: "dropped",
        "x": "there is no record 'x'",
    }
    record = staged("GET", f"/api/records?id={ID}")
    assert (record["status"], record["why"], record["hops"][-1]["by"]) == ("dropped", "sent by hand", "all")


def test_what_no_flow_carries_is_not_staged_and_a_flow_with_open_records_stays(staged: Api) -> None:
    body = {"source": "shop", "target": "books", "records": [{"src_id": "1", "stamp": "2026-01-01T00:00:00Z"}]}
    error = staged("POST", "/api/records/shipment", body, status=404)["error"]
    assert "no flow carries shipment from shop to books" in error["message"]
    assert "on their way" in staged("DELETE", "/api/flows/shipments", status=409)["error"]["message"]
    staged("POST", "/api/records/shipment/drop", {"ids": [ID], "reason": "sent by hand"})
    assert staged("DELETE", "/api/flows/shipments") == {"deleted": "shipments"}


def test_a_setting_may_name_a_map(api: Api) -> None:
    body = {"agent": "mage2", "endpoint": "http://127.0.0.1:1", "settings": {"carriers": "map:carriers"}}
    error = api("PUT", "/api/connections/shop", body, status=400)["error"]
    assert error["detail"] == {"field": "settings.carriers"} and "no map 'carriers'" in error["message"]
    api("PUT", "/api/maps/carriers", {"values": {"DHL Express": "dhl"}})
    assert api("PUT", "/api/connections/shop", body)["settings"] == {"carriers": "map:carriers"}
    assert api("GET", "/api/connections/shop/agent")["settings"] == {"carriers": {"DHL Express": "dhl"}}
    assert "used by shop" in api("DELETE", "/api/maps/carriers", status=409)["error"]["message"]
