"""Bad input is a 4xx with the envelope, names the field, and loses nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.api.conftest import Api, Clock

ENVELOPE = {"code", "message", "detail", "request_id"}


def raw(api: Api, method: str, path: str, **how: Any) -> Any:
    headers = {"x-api-key": api.key} | how.pop("headers", {})
    return api.client.open(path, method=method, headers=headers, **how)


@pytest.mark.parametrize(
    ("method", "path", "how", "status", "says"),
    [
        ("POST", "/api/claims", {"data": "{", "content_type": "application/json"}, 400, "not JSON"),
        ("POST", "/api/claims", {"data": "[" * 100_000, "content_type": "application/json"}, 400, "not JSON"),
        ("POST", "/api/claims", {"data": b"\xff\xfe", "content_type": "application/json"}, 400, "not JSON"),
        ("POST", "/api/claims", {"data": "x", "content_type": "text/plain"}, 415, "application/json"),
        ("POST", "/api/claims", {"json": []}, 400, "body"),
        ("POST", "/api/claims", {"json": {"connection": "b1"}}, 400, "lane"),
        ("POST", "/api/claims", {"json": {"connection": "B1 ", "lane": "x"}}, 400, "connection"),
        ("POST", "/api/claims", {"json": {"connection": "b1", "lane": "b1.x", "extra": 1}}, 400, "extra"),
        ("POST", "/api/claims", {"json": {"connection": "nobody", "lane": "nobody.x"}}, 404, "nobody"),
        ("POST", "/api/reports", {"json": {"claim_id": "none", "outcomes": []}}, 404, "no claim"),
        ("POST", "/api/records/order", {"data": b" " * 200_000, "content_type": "application/json"}, 413, ""),
        ("POST", "/api/records/order", {"json": {"records": []}}, 400, "records"),
        ("POST", "/api/records/unicorn", {"json": {}}, 404, "unknown entity 'unicorn'; known: order, shipment"),
        ("GET", "/api/records/unicorn", {}, 404, "unknown entity"),
        ("GET", "/api/records?nonsense=1", {}, 400, "nonsense"),
        ("GET", "/api/records?limit=many", {}, 400, "limit"),
        ("GET", "/api/records?status=lost", {}, 400, "unknown status 'lost'"),
        ("GET", "/api/records?id=nothing", {}, 404, "no record"),
        ("GET", "/api/links", {}, 400, "target"),
        ("GET", "/api/nowhere", {}, 404, ""),
        ("PATCH", "/api/flows", {}, 405, ""),
        ("PUT", "/api/connections/B1", {"json": {"agent": "b1", "endpoint": "http://x"}}, 400, "a-z"),
        ("PUT", "/api/connections/b1", {"json": {"agent": "unicorn", "endpoint": "http://x"}}, 400, "unknown agent"),
        ("PUT", "/api/connections/b1", {"json": {"agent": "b1", "endpoint": "ftp://x"}}, 400, "endpoint"),
        ("PUT", "/api/flows/orders", {"json": {"entity": "order", "source": "a", "target": "b"}}, 400, "start_from"),
        ("POST", "/api/sync-tasks", {"json": {"flow": "nowhere"}}, 404, "no flow"),
        ("POST", "/api/keys", {"json": {"name": "x", "scopes": ["god"]}}, 400, "scopes"),
        ("POST", "/api/records/order/drop", {"json": {"ids": ["x"]}}, 400, "reason"),
    ],
)
def test_bad_input(api: Api, method: str, path: str, how: dict[str, Any], status: int, says: str) -> None:
    answer = raw(api, method, path, **how)
    assert answer.status_code == status, answer.text
    assert set(answer.json["error"]) == ENVELOPE
    assert says in answer.json["error"]["message"]
    assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("key", ["", "nonsense", "dw_", "dw_00000000_x", "dw_0_0_0", "x" * 5000])
def test_wrong_keys_are_401_everywhere_but_health(api: Api, key: str) -> None:
    for rule in api.client.application.url_map.iter_rules():
        if not rule.rule.startswith("/api/") or rule.endpoint == "unknown_entity":
            continue
        path = (
            rule.rule.replace("<name>", "x")
            .replace("<claim_id>", "x")
            .replace("<key_id>", "x")
            .replace("<task_id>", "x")
        )
        for verb in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            error = api(verb, path, status=401, key=key)["error"]
            assert error["code"] == "unauthorized", (verb, path)
    assert api("GET", "/health/live", key="") == {"live": True}
    assert api("GET", "/health/ready", key="") == {"ready": True}


def test_scopes(api: Api) -> None:
    reader = api("POST", "/api/keys", {"name": "reader", "scopes": ["read"]}, status=201)["key"]
    assert api("GET", "/api/status", key=reader)["flows"] == []
    error = api("POST", "/api/keys", {"name": "x", "scopes": ["read"]}, status=403, key=reader)["error"]
    assert "operator" in error["message"]
    listed = api("GET", "/api/keys")["keys"]
    assert reader.split("_")[1] in [one["id"] for one in listed]
    assert reader not in json.dumps(listed)
    assert reader.split("_", 2)[2] not in json.dumps([str(doc) for doc in api.core.store.database["keys"].find()])


def test_secrets_are_refused_in_the_clear_and_never_shown(api: Api) -> None:
    body = {
        "agent": "b1",
        "endpoint": "http://127.0.0.1:1",
        "secrets": {"password": "hunter2"},
    }
    error = api("PUT", "/api/connections/b1_main", body, status=400)["error"]
    assert error["detail"] == {"field": "secrets.password"}
    assert "hunter2" not in json.dumps(error)


def test_the_openapi_document_is_valid_and_knows_every_route(api: Api) -> None:
    document = api("GET", "/openapi.json", key="")
    validate(document)
    assert {"/api/claims", "/api/records/order", "/api/records/shipment/replay"} <= set(document["paths"])


def test_a_process_whose_clock_is_off_grants_nothing(api: Api, clock: Clock) -> None:
    from datawald.staging.store import StoredConnection

    api.core.store.connections.insert(StoredConnection("b1", "b1", "http://x"))
    clock.right = False
    error = api("POST", "/api/claims", {"connection": "b1", "lane": "b1.orders"}, status=503)["error"]
    assert error["code"] == "clock_off"
