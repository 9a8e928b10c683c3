"""An entity and two systems from another installed package: staged, dispatched, delivered, listed; no file edited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.spine.conftest import Spine, wait_for


def test_an_entity_from_another_package(with_coupons: None, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    spine: Spine = request.getfixturevalue("spine")
    shop, books = tmp_path / "shop", tmp_path / "books"
    shop.mkdir()
    books.mkdir()
    for number in range(25):
        (shop / f"C{number}.json").write_text(json.dumps({"code": f"SAVE{number}", "percent": number}))
    spine.configure(
        {
            "shop": {"agent": "paper_shop", "endpoint": "http://localhost", "settings": {"folder": str(shop)}},
            "books": {"agent": "paper_books", "endpoint": "http://localhost", "settings": {"folder": str(books)}},
        },
        {
            "coupons": {
                "entity": "coupon",
                "source": "shop",
                "target": "books",
                "start_from": "2020-01-01T00:00:00Z",
                "enabled": False,
            }
        },
    )
    assert spine.services.queues == ["core", "books.bulk", "shop.pull"]
    spine.services.start("worker", "beat")

    task = spine.run("coupons")

    assert (task["sync_status"], task["counts"], task["read"]) == ("Completed", {"S": 25}, 25)
    assert len(list(books.glob("shop.C*.json"))) == 25
    listed = spine.api.call("GET", "/api/records/coupon", params={"q": "C7"})["records"]
    assert [(one["src_id"], one["status"], one["tgt_id"]) for one in listed] == [("C7", "delivered", "shop.C7.json")]
    whole = spine.api.call("GET", "/api/records/coupon", params={"id": listed[0]["id"]})
    assert [hop["hop"] for hop in whole["hops"]] == ["staged", "claimed", "reported"]
    assert whole["sent"] == {"code": "SAVE7", "percent": "7"}
    links = spine.api.call("GET", "/api/links", params={"target": "books", "tgt_id": "shop.C7.json"})["links"]
    assert [one["src_id"] for one in links] == ["C7"]
    assert "/api/records/coupon" in spine.api.call("GET", "/openapi.json")["paths"]

    # only the difference moves
    (shop / "C7.json").write_text(json.dumps({"code": "SAVE7", "percent": 70}))
    task = spine.run("coupons", kind="full")
    assert task["counts"] == {"S": 1}
    assert json.loads((books / "shop.C7.json").read_text())["percent"] == "70"

    # by its id
    (shop / "C8.json").write_text(json.dumps({"code": "SAVE8", "percent": 80}))
    spine.run("coupons", kind="ids", ids=["C8"])
    wait_for(lambda: json.loads((books / "shop.C8.json").read_text())["percent"] == "80", 10)
