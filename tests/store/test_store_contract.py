"""What staging may rely on, asked of every store: MongoDB's answer is the contract, each deviation is written down.

Two kinds of test. The *safe subset* (everything staging does) must hold on every store, without exception. A *probe*
asks one thing more and compares the answer with MongoDB's, or with the one in ``DEVIATIONS``: a new deviation fails,
and so does one that vanished, so that the tables here and in docs/decisions/0002-embedded-store.md stay true.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from typing import Any

import pymongo
import pytest
from bson import Decimal128, Int64
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from store_servers import NxServer, Store

PROCESSES = 8

# Forking this process would copy pymongo's threads and locks; the fork server holds none and starts children quickly.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pymongo", "pytest", "mongomock"])


# ---------------------------------------------------------------------------------------------- the safe subset


def test_compare_and_set_misses_on_a_stale_guard(store: Store) -> None:
    records = store.collection()
    records.insert_one({"_id": "a", "rev": 1, "tx_status": "N"})
    assert (
        records.update_one({"_id": "a", "rev": 1}, {"$set": {"tx_status": "P"}, "$inc": {"rev": 1}}).matched_count == 1
    )
    assert (
        records.update_one({"_id": "a", "rev": 1}, {"$set": {"tx_status": "S"}, "$inc": {"rev": 1}}).matched_count == 0
    )
    assert records.find_one({"_id": "a"}) == {"_id": "a", "rev": 2, "tx_status": "P"}


def test_a_claim_answers_the_new_document_or_none(store: Store) -> None:
    records = store.collection()
    records.insert_one({"_id": "a", "tx_status": "N", "lane": "b1_main.orders", "due_ms": 5, "claim_id": ""})
    due = {"tx_status": "N", "lane": "b1_main.orders", "due_ms": {"$lte": 10}}
    change = {"$set": {"tx_status": "P", "claim_id": "c1"}}
    taken = records.find_one_and_update(due, change, sort=[("due_ms", 1)], return_document=ReturnDocument.AFTER)
    assert taken["claim_id"] == "c1"
    assert records.find_one_and_update(due, change, return_document=ReturnDocument.AFTER) is None


def test_a_deterministic_id_is_inserted_once(store: Store) -> None:
    records = store.collection()
    records.insert_one({"_id": "m|b|order|1"})
    with pytest.raises(DuplicateKeyError) as refused:
        records.insert_one({"_id": "m|b|order|1"})
    assert refused.value.code == 11000


def test_upsert_by_equality_sets_on_insert_once(store: Store) -> None:
    records = store.collection()
    for turn in (1, 2):
        records.update_one({"_id": "a"}, {"$set": {"turn": turn}, "$setOnInsert": {"made": turn}}, upsert=True)
    assert records.find_one({"_id": "a"}) == {"_id": "a", "turn": 2, "made": 1}


def test_a_unique_index_refuses_by_insert_update_and_upsert(store: Store) -> None:
    records = store.collection()
    records.create_index([("target", 1), ("tgt_id", 1)], unique=True, name="link")
    records.insert_many([{"_id": n, "target": "b1", "tgt_id": n} for n in ("1", "2")])
    with pytest.raises(DuplicateKeyError):
        records.insert_one({"_id": "3", "target": "b1", "tgt_id": "1"})
    with pytest.raises(DuplicateKeyError):
        records.update_one({"_id": "2"}, {"$set": {"tgt_id": "1"}})
    with pytest.raises(DuplicateKeyError):
        records.update_one({"_id": "4"}, {"$set": {"target": "b1", "tgt_id": "1"}}, upsert=True)


def test_unordered_inserts_name_the_refused_ones(store: Store) -> None:
    records = store.collection()
    records.insert_one({"_id": "1"})
    with pytest.raises(BulkWriteError) as refused:
        records.insert_many([{"_id": n} for n in ("0", "1", "2", "0")], ordered=False)
    assert [(error["index"], error["code"]) for error in refused.value.details["writeErrors"]] == [
        (1, 11000),
        (3, 11000),
    ]
    assert sorted(row["_id"] for row in records.find()) == ["0", "1", "2"]


def test_a_bounded_history_keeps_the_newest(store: Store) -> None:
    records = store.collection()
    records.insert_one({"_id": "a", "history": []})
    for n in range(60):
        entry = f'{{"at": "2024-05-01T10:00:00Z", "n": {n}}}'
        records.update_one({"_id": "a"}, {"$push": {"history": {"$each": [entry], "$slice": -50}}})
    kept = records.find_one({"_id": "a"})["history"]
    assert [kept[0], kept[-1], len(kept)] == [
        '{"at": "2024-05-01T10:00:00Z", "n": 10}',
        '{"at": "2024-05-01T10:00:00Z", "n": 59}',
        50,
    ]


def test_push_and_set_and_inc_in_one_update(store: Store) -> None:
    records = store.collection()
    records.insert_one({"_id": "a", "rev": 1, "attempts": 0, "history": [], "waits_on": [], "gone": "x"})
    change = {
        "$set": {"tx_status": "S", "links": [{"line": "1", "doc": {"entry": "7"}}, {"line": "2", "doc": {}}]},
        "$inc": {"rev": 1, "attempts": 1},
        "$push": {"history": {"$each": ["{}"], "$slice": -50}},
        "$unset": {"gone": ""},
        "$max": {"seen_ms": 1_700_000_000_000},
        "$addToSet": {"waits_on": "order:mage2_us:1"},
    }
    assert records.update_one({"_id": "a", "rev": 1}, change).matched_count == 1
    assert records.find_one({"_id": "a"}) == {
        "_id": "a",
        "rev": 2,
        "attempts": 1,
        "history": ["{}"],
        "tx_status": "S",
        "links": [{"line": "1", "doc": {"entry": "7"}}, {"line": "2", "doc": {}}],
        "seen_ms": 1_700_000_000_000,
        "waits_on": ["order:mage2_us:1"],
    }


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-01T10:00:00Z",
        "2024-05-01T10:00:00.123+00:00",
        "2024-05-01",
        '{"at": "2024-05-01T10:00:00Z", "ok": true, "$date": 1}',
        {"at": "2024-05-01T10:00:00Z", "rows": [{"at": "2024-05-01 10:00:00"}], "empty": {}, "none": None},
        "Straße — 東京 \U0001f4e6 \u2028 'quoted\" \\back",
        "100000023",
        "1e5",
        "true",
        "",
        2**53 + 1,
        2**63 - 1,
        -(2**63),
        0.1,
        [["a", ["b"]], []],
        [],
    ],
    ids=repr,
)
def test_values_come_back_unharmed(store: Store, value: Any) -> None:
    records = store.collection()
    records.insert_one({"_id": "inserted", "value": value, "updated": 0})
    records.insert_one({"_id": "updated", "value": "before"})
    records.update_one({"_id": "updated"}, {"$set": {"value": value}})
    rows = [row["value"] for row in records.find()]
    assert rows == [value, value]
    if not isinstance(value, int):  # MongoDB gives large ones back as Int64, which is an int
        assert [type(row) for row in rows] == [type(value)] * 2


@pytest.mark.parametrize(
    "name",
    [
        "mage2_us|b1_main|order|100000023",
        "a" * 24,
        "0f" * 12,
        "f" * 40,
        "E" * 64,
        "123",
        "1e5",
        "2024-05-01",
        "x'y",
        "ü",
    ],
)
def test_ids_come_back_unharmed(store: Store, name: str) -> None:
    records = store.collection()
    records.insert_one({"_id": name, "n": 1})
    assert records.update_one({"_id": name, "n": 1}, {"$set": {"n": 2}}).matched_count == 1
    assert list(records.find({"_id": {"$in": [name]}})) == [{"_id": name, "n": 2}]
    assert records.find_one({"_id": name}) == {"_id": name, "n": 2}


def test_an_order_of_three_megabytes_is_kept(store: Store) -> None:
    records = store.collection()
    records.insert_one({"_id": "a", "payload": "x" * 3_000_000})
    assert len(records.find_one({"_id": "a"})["payload"]) == 3_000_000


def test_due_records_come_by_lane_oldest_first(store: Store) -> None:
    records = store.collection()
    records.create_index([("lane", 1), ("due_ms", 1)], name="lane_due")
    records.create_index([("lane", 1)], name="lane")
    rows = [{"_id": f"{n:03}", "lane": ("x.a", "x.b")[n % 2], "due_ms": 1000 - n, "payload": "p"} for n in range(300)]
    records.insert_many(rows, ordered=False)
    found = records.find({"lane": "x.a", "due_ms": {"$lte": 990}}, {"payload": 0}).sort("due_ms", 1).limit(3)
    assert list(found) == [{"_id": f"{n}", "lane": "x.a", "due_ms": 1000 - n} for n in (298, 296, 294)]


def test_pages_and_filters(store: Store) -> None:
    records = store.collection()
    records.insert_many(
        [{"_id": f"{n:02}", "s": "NPSF"[n % 4], "at_ms": n // 2, "key": f"mage2_us:{n}"} for n in range(40)]
    )

    def ids(query: dict[str, Any]) -> list[str]:
        return [row["_id"] for row in records.find(query).sort([("at_ms", 1), ("_id", 1)]).limit(5)]

    assert ids({"s": {"$in": ["N", "F"]}}) == ["00", "03", "04", "07", "08"]
    assert ids({"$or": [{"at_ms": {"$gt": 1}}, {"at_ms": 1, "_id": {"$gt": "02"}}]}) == ["03", "04", "05", "06", "07"]
    assert ids({"key": {"$regex": "^mage2_us:3"}}) == ["03", "30", "31", "32", "33"]
    assert ids({"s": {"$ne": "N"}, "at_ms": {"$gte": 18}}) == ["37", "38", "39"]
    assert records.delete_many({"at_ms": {"$lt": 10}}).deleted_count == 20
    assert records.estimated_document_count() == 20


def test_counts_by_one_field(store: Store) -> None:
    records = store.collection()
    records.insert_many([{"flow": "m>b|order", "flow_status": f"m>b|order|{'NNSF'[n % 4]}"} for n in range(40)])
    stages = [
        {"$match": {"flow": "m>b|order"}},
        {"$group": {"_id": "$flow_status", "n": {"$sum": 1}}},
        {"$sort": {"_id": 1}},
        {"$limit": 10},
    ]
    assert [(row["_id"][-1], row["n"]) for row in records.aggregate(stages)] == [("F", 10), ("N", 20), ("S", 10)]
    assert list(records.aggregate([{"$match": {"flow": "m>b|order"}}, {"$count": "n"}])) == [{"n": 40}]


def test_a_query_of_more_than_one_batch_is_whole(store: Store) -> None:
    records = store.collection()
    records.insert_many([{"_id": n} for n in range(1000)])
    assert sorted(row["_id"] for row in records.find().batch_size(101)) == list(range(1000))


# ---------------------------------------------------------------------------------------- several processes


def _run(task: Callable[..., None], store: Store, collection: Any, *args: Any) -> list[Any]:
    """Run the task in all processes at once; what each of them put in the queue."""
    answers: Any = _processes.SimpleQueue()
    start = _processes.Barrier(PROCESSES)
    workers = [
        _processes.Process(target=task, args=(store.uri, store.database, collection.name, start, answers, n, *args))
        for n in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    got = [answers.get() for _ in workers]
    for worker in workers:
        worker.join(10)
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    return got


def _open(uri: str, database: str, name: str) -> Any:
    client: Any = pymongo.MongoClient(uri, tz_aware=True)
    client.admin.command("ping")
    return client[database][name]


def _win_revs(uri: str, database: str, name: str, start: Any, answers: Any, me: int, last: int) -> None:
    records, won = _open(uri, database, name), []
    start.wait()
    while (rev := records.find_one({"_id": "a"})["rev"]) < last:
        if records.update_one({"_id": "a", "rev": rev}, {"$set": {"by": me}, "$inc": {"rev": 1}}).matched_count:
            won.append(rev)
    answers.put(won)


def test_each_rev_has_one_winner(shared_store: Store) -> None:
    records = shared_store.collection()
    records.insert_one({"_id": "a", "rev": 0, "by": -1})
    wins = [rev for won in _run(_win_revs, shared_store, records, 200) for rev in won]
    assert sorted(wins) == list(range(200))
    assert records.find_one({"_id": "a"})["rev"] == 200


def _insert_same(uri: str, database: str, name: str, start: Any, answers: Any, me: int) -> None:
    records, won = _open(uri, database, name), []
    start.wait()
    for n in range(50):
        try:
            records.insert_one({"_id": f"claim:{n}", "by": me})
            won.append(n)
        except DuplicateKeyError:
            pass
    answers.put(won)


def test_each_deterministic_id_has_one_winner(shared_store: Store) -> None:
    records = shared_store.collection()
    assert sorted(n for won in _run(_insert_same, shared_store, records) for n in won) == list(range(50))


def _upsert_same(uri: str, database: str, name: str, start: Any, answers: Any, me: int) -> None:
    records, made = _open(uri, database, name), 0
    start.wait()
    for n in range(30):
        try:
            change = {"$set": {"by": me}, "$setOnInsert": {"made_by": me}}
            made += records.update_one({"_id": f"r{n}"}, change, upsert=True).upserted_id is not None
        except DuplicateKeyError:
            pass  # MongoDB may say so to the loser of a race
    answers.put(made)


def test_each_upsert_inserts_once(shared_store: Store) -> None:
    records = shared_store.collection()
    assert sum(_run(_upsert_same, shared_store, records)) == 30
    assert records.estimated_document_count() == 30


def _claim(uri: str, database: str, name: str, start: Any, answers: Any, me: int) -> None:
    records, claimed, empty = _open(uri, database, name), [], 0
    start.wait()
    while empty < 2:  # None may also mean that the store failed
        row = records.find_one_and_update(
            {"tx_status": "N", "lane": "x.a", "due_ms": {"$lte": 9999}},
            {"$set": {"tx_status": "P", "claim_id": str(me)}},
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            empty += 1
        else:
            claimed.append(row["_id"])
    answers.put(claimed)


def test_each_record_is_claimed_once(shared_store: Store) -> None:
    records = shared_store.collection()
    records.create_index([("lane", 1), ("due_ms", 1)], name="lane_due")
    records.insert_many([{"_id": n, "tx_status": "N", "lane": "x.a", "due_ms": n} for n in range(400)])
    claimed = [n for part in _run(_claim, shared_store, records) for n in part]
    assert sorted(claimed) == list(range(400))


def _add(uri: str, database: str, name: str, start: Any, answers: Any, me: int) -> None:
    records = _open(uri, database, name)
    start.wait()
    for n in range(50):
        change = {"$inc": {"attempts": 1}, "$push": {"history": {"$each": [f"{me}:{n}"], "$slice": -50}}}
        records.update_one({"_id": "a"}, {**change, "$addToSet": {"seen": f"{me}:{n}"}})
    answers.put(None)


def test_increments_and_pushes_are_not_lost(shared_store: Store) -> None:
    records = shared_store.collection()
    records.insert_one({"_id": "a", "attempts": 0, "history": [], "seen": []})
    _run(_add, shared_store, records)
    row = records.find_one({"_id": "a"})
    assert (row["attempts"], len(row["history"]), len(row["seen"])) == (400, 50, 400)


# --------------------------------------------------------------------------------------------- sudden death


def _write_on(uri: str, database: str, name: str, acknowledged: Any, me: int) -> None:
    records = _open(uri, database, name)
    try:
        for n in range(1_000_000):
            records.insert_one({"_id": f"{me}:{n}"})
            records.update_one({"_id": "a"}, {"$inc": {"n": 1}})
            acknowledged[me] = n + 1
    except PyMongoError:
        return


def _writers(uri: str, store: Store, records: Any, count: int) -> tuple[list[BaseProcess], Any]:
    acknowledged = _processes.Array("q", count)
    workers: list[BaseProcess] = [
        _processes.Process(target=_write_on, args=(uri, store.database, records.name, acknowledged, n), daemon=True)
        for n in range(count)
    ]
    for worker in workers:
        worker.start()
    _until(lambda: min(acknowledged) >= 20)
    return workers, acknowledged


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def test_killed_clients_do_no_harm(shared_store: Store) -> None:
    records = shared_store.collection()
    records.insert_one({"_id": "a", "n": 0})
    workers, acknowledged = _writers(shared_store.uri, shared_store, records, 4)
    try:
        for worker in workers[:2]:
            os.kill(worker.pid or 0, signal.SIGKILL)
        before = list(acknowledged)
        _until(lambda: min(acknowledged[2:]) >= max(before[2:]) + 20)  # the others go on
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    rows = records.estimated_document_count() - 1
    assert sum(acknowledged) <= records.find_one({"_id": "a"})["n"] <= rows <= sum(acknowledged) + 4


def test_acknowledged_writes_outlive_a_killed_server(nx_server: NxServer) -> None:
    store = Store("nx", pymongo.MongoClient(nx_server.uri), nx_server.uri)
    records = store.collection()
    records.insert_one({"_id": "a", "n": 0})
    for _ in range(2):  # twice: the second life starts from what the first left behind
        already = records.find_one({"_id": "a"})["n"]
        records.delete_many({"_id": {"$ne": "a"}})
        workers, acknowledged = _writers(nx_server.uri, store, records, 2)
        nx_server.kill()
        for worker in workers:
            worker.kill()  # pymongo would wait for the server to come back
            worker.join()
        assert (nx_server.folder / "nx.pid").exists()  # left over, and no hindrance
        nx_server.start()
        for me, last in enumerate(acknowledged):
            assert records.find_one({"_id": f"{me}:{last - 1}"}) is not None  # the same client goes on, too
        assert records.find_one({"_id": "a"})["n"] - already >= sum(acknowledged)
    store.client.close()
    nx_server.stop()
    for file in nx_server.data.glob("*.db"):
        with sqlite3.connect(file) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_strangers_pid_in_the_pid_file_prevents_the_start(nx_server: NxServer) -> None:
    """Whoever starts NX removes a left-over PID file first: after a reboot its number may be somebody else's."""
    nx_server.kill()
    (nx_server.folder / "nx.pid").write_text(str(os.getpid()))
    with pytest.raises(RuntimeError, match="already running"):
        nx_server.start()


def test_the_server_says_goodbye_on_sigterm(nx_server: NxServer) -> None:
    client: Any = pymongo.MongoClient(nx_server.uri)
    client.shop.records.insert_one({"_id": "a"})
    began = time.monotonic()
    nx_server.stop()
    assert time.monotonic() - began < 4
    assert not (nx_server.folder / "nx.pid").exists()
    nx_server.start()
    assert client.shop.records.find_one({"_id": "a"}) == {"_id": "a"}
    client.close()


# --------------------------------------------------------------------------------- probes outside the subset


def _sample(c: Any) -> Any:
    c.insert_many([{"_id": "one", "f": 1}, {"_id": "missing"}, {"_id": "null", "f": None}])
    return c


def _ids(cursor: Any) -> list[Any]:
    return sorted(row["_id"] for row in cursor)


def null_matches_missing(c: Any) -> Any:
    return _ids(_sample(c).find({"f": None}))


def ne_matches_missing(c: Any) -> Any:
    return _ids(_sample(c).find({"f": {"$ne": 1}}))


def in_null_matches_missing(c: Any) -> Any:
    return _ids(_sample(c).find({"f": {"$in": [None]}}))


def exists_matches_null(c: Any) -> Any:
    return _ids(_sample(c).find({"f": {"$exists": True}}))


def date_within_the_second(c: Any) -> Any:
    c.insert_one({"_id": "later", "at": datetime(2024, 5, 1, 10, 0, 0, 123_000, tzinfo=UTC)})
    return _ids(c.find({"at": {"$gt": datetime(2024, 5, 1, 10, 0, 0, tzinfo=UTC)}}))


def date_round_trip(c: Any) -> Any:
    c.insert_one({"_id": "a", "at": datetime(2024, 5, 1, 10, 0, 0, 123_000, tzinfo=UTC)})
    return c.find_one({"_id": "a"})["at"] == datetime(2024, 5, 1, 10, 0, 0, 123_000, tzinfo=UTC)


def iso_string_range(c: Any) -> Any:
    c.insert_many([{"_id": "utc", "at": "2024-05-01T10:00:00Z"}, {"_id": "zone", "at": "2024-05-01T11:00:00+02:00"}])
    return _ids(c.find({"at": {"$gt": "2024-05-01T10:30:00Z"}}))  # strings compare as text


def iso_string_equality(c: Any) -> Any:
    c.insert_many([{"_id": "utc", "at": "2024-05-01T10:00:00Z"}, {"_id": "zone", "at": "2024-05-01T12:00:00+02:00"}])
    return _ids(c.find({"at": {"$eq": "2024-05-01T10:00:00Z"}}))


def equality_of_texts_like_dates(c: Any) -> Any:
    c.insert_many([{"_id": "day", "key": "2024-05-01"}, {"_id": "time", "key": "2024-05-01T00:00:00Z"}])
    return _ids(c.find({"key": "2024-05-01"}))


def id_number_is_not_text(c: Any) -> Any:
    c.insert_many([{"_id": 123}, {"_id": "123"}])
    return c.estimated_document_count()


def id_of_24_hex_in_capitals(c: Any) -> Any:
    c.insert_one({"_id": "A" * 24})
    return _ids(c.find({"_id": "A" * 24}))


def boolean_by_insert(c: Any) -> Any:
    c.insert_one({"_id": "a", "f": True})
    return repr(c.find_one({"_id": "a"})["f"])


def boolean_by_update(c: Any) -> Any:
    c.insert_one({"_id": "a"})
    c.update_one({"_id": "a"}, {"$set": {"f": True, "d": {"g": False}}})
    row = c.find_one({"_id": "a"})
    return repr([row["f"], row["d"]["g"]])


def true_is_not_one(c: Any) -> Any:
    c.insert_many([{"_id": "int", "f": 1}, {"_id": "bool", "f": True}])
    return _ids(c.find({"f": 1}))


def types_are_bracketed(c: Any) -> Any:
    c.insert_many([{"_id": "int", "f": 7}, {"_id": "text", "f": "seven"}])
    return _ids(c.find({"f": {"$gt": 5}}))


def push_a_document(c: Any) -> Any:
    c.insert_one({"_id": "a", "l": []})
    c.update_one({"_id": "a"}, {"$push": {"l": {"n": 1}}})
    return c.find_one({"_id": "a"})["l"]


def push_each_documents_sliced(c: Any) -> Any:
    c.insert_one({"_id": "a", "l": [{"n": 0}]})
    c.update_one({"_id": "a"}, {"$push": {"l": {"$each": [{"n": 1}, {"n": 2}], "$slice": -2}}})
    return c.find_one({"_id": "a"})["l"]


def add_to_a_missing_set(c: Any) -> Any:
    c.insert_one({"_id": "a"})
    c.update_one({"_id": "a"}, {"$addToSet": {"l": "x"}, "$push": {"m": "y"}})
    return c.find_one({"_id": "a"})


def set_a_dotted_path(c: Any) -> Any:
    c.insert_one({"_id": "a", "d": {"x": 1}})
    c.update_one({"_id": "a"}, {"$set": {"d.y": 2, "e.f": "g"}})
    return c.find_one({"_id": "a"})


def update_many_set_unset(c: Any) -> Any:
    c.insert_many([{"_id": n, "old": 1} for n in (1, 2)])
    c.update_many({"old": 1}, {"$set": {"new": {"deep": 1}}, "$unset": {"old": ""}})
    return list(c.find().sort("_id", 1))


def upsert_with_an_operator_in_the_filter(c: Any) -> Any:
    c.update_one({"_id": "a", "n": {"$gte": 5}}, {"$set": {"v": 1}}, upsert=True)
    return c.find_one()


def replace_upsert(c: Any) -> Any:
    c.replace_one({"_id": "a"}, {"v": 1}, upsert=True)
    row = c.find_one()
    return row if row["_id"] == "a" else "a fresh _id"


def claim_upsert(c: Any) -> Any:
    return c.find_one_and_update(
        {"_id": "a"}, {"$set": {"v": 1}, "$setOnInsert": {"m": 1}}, upsert=True, return_document=ReturnDocument.AFTER
    )


def claim_error(c: Any) -> Any:
    c.insert_one({"_id": "a", "n": "text"})
    return c.find_one_and_update({"_id": "a"}, {"$inc": {"n": 1}}, return_document=ReturnDocument.AFTER)


def update_error(c: Any) -> Any:
    c.insert_one({"_id": "a", "n": "text"})
    c.update_one({"_id": "a"}, {"$inc": {"n": 1}})
    return c.find_one()


def unchanged_is_not_modified(c: Any) -> Any:
    c.insert_one({"_id": "a", "n": 1})
    return c.update_one({"_id": "a"}, {"$set": {"n": 1}}).modified_count


def bulk_update_one(c: Any) -> Any:
    c.insert_many([{"_id": n} for n in (1, 2)])
    done = c.bulk_write([pymongo.UpdateOne({"_id": n}, {"$set": {"v": n}}) for n in (1, 2, 3)], ordered=False)
    return [done.matched_count, list(c.find().sort("_id", 1))]


def array_filters(c: Any) -> Any:
    c.insert_one({"_id": "a", "l": [{"n": 1, "v": 0}, {"n": 2, "v": 0}]})
    c.update_one({"_id": "a"}, {"$set": {"l.$[x].v": 9}}, array_filters=[{"x.n": 2}])
    return c.find_one()["l"]


def positional_update(c: Any) -> Any:
    c.insert_one({"_id": "a", "l": [{"n": 1, "v": 0}, {"n": 2, "v": 0}]})
    c.update_one({"_id": "a", "l.n": 2}, {"$set": {"l.$.v": 9}})
    return c.find_one()["l"]


def pipeline_update(c: Any) -> Any:
    c.insert_one({"_id": "a", "n": 1})
    c.update_one({"_id": "a"}, [{"$set": {"m": {"$add": ["$n", 1]}}}])
    return c.find_one()


def partial_unique_index(c: Any) -> Any:
    c.create_index([("k", 1)], unique=True, partialFilterExpression={"live": 1}, name="live_k")
    c.insert_many([{"_id": 1, "k": "x", "live": 0}, {"_id": 2, "k": "x", "live": 0}])
    return c.estimated_document_count()


def index_keeps_its_name(c: Any) -> Any:
    c.insert_one({"_id": "a", "k": 1})
    c.create_index([("k", 1)], name="by_k")
    return "by_k" in c.index_information()


def unique_null_collides_with_missing(c: Any) -> Any:
    c.create_index([("k", 1)], unique=True, name="k")
    c.insert_many([{"_id": 1}, {"_id": 2, "k": None}])
    return c.estimated_document_count()


def dotted_path_into_an_array(c: Any) -> Any:
    c.insert_one({"_id": "a", "l": [{"n": 1}, {"n": 2}]})
    return _ids(c.find({"l.n": 2}))


def equality_with_a_document(c: Any) -> Any:
    c.insert_one({"_id": "a", "d": {"x": 1}})
    return _ids(c.find({"d": {"x": 1}}))


def scalar_in_an_array(c: Any) -> Any:
    c.insert_many([{"_id": "a", "l": ["x", "y"]}, {"_id": "b", "l": ["z"]}])
    return _ids(c.find({"l": "y"}))


def scalar_in_an_indexed_array(c: Any) -> Any:
    c.create_index([("l", 1)], name="l")
    return scalar_in_an_array(c)


def scalar_list_in_an_indexed_array(c: Any) -> Any:
    c.create_index([("l", 1)], name="l")
    c.insert_many([{"_id": "a", "l": ["x", "y"]}, {"_id": "b", "l": ["z"]}])
    return _ids(c.find({"l": {"$in": ["y", "q"]}}))


def group_by_a_document(c: Any) -> Any:
    c.insert_many([{"s": "N", "e": "order"}, {"s": "N", "e": "order"}])
    return list(c.aggregate([{"$group": {"_id": {"s": "$s", "e": "$e"}, "n": {"$sum": 1}}}]))


def group_after_a_range(c: Any) -> Any:
    c.insert_many([{"s": "NS"[n % 2], "at_ms": n} for n in range(10)])
    stages = [{"$match": {"at_ms": {"$gte": 4}}}, {"$group": {"_id": "$s", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}]
    return [(row["_id"], row["n"]) for row in c.aggregate(stages)]


def count_of_nothing(c: Any) -> Any:
    c.insert_one({"_id": "a"})
    return list(c.aggregate([{"$match": {"_id": "z"}}, {"$count": "n"}]))


def count_documents(c: Any) -> Any:
    c.insert_many([{"s": "NS"[n % 2]} for n in range(10)])
    return c.count_documents({"s": "N"})


def key_with_a_dot(c: Any) -> Any:
    c.insert_one({"_id": "a", "d": {"b1_main.orders": 1}})
    return c.find_one()["d"]


def decimal128(c: Any) -> Any:
    c.insert_one({"_id": "a", "v": Decimal128("1.10")})
    return str(c.find_one()["v"])


def int64_type(c: Any) -> Any:
    c.insert_one({"_id": "a", "v": Int64(5)})
    return c.find_one()["v"]


def nul_in_text(c: Any) -> Any:
    c.insert_one({"_id": "a", "v": "a\x00b"})
    return c.find_one()["v"]


def bytes_round_trip(c: Any) -> Any:
    c.insert_one({"_id": "a", "v": b"\x00\xff"})
    return c.find_one()["v"]


def range_over_text_ids(c: Any) -> Any:
    c.insert_many([{"_id": f"r{n}"} for n in range(5)])
    return [row["_id"] for row in c.find({"_id": {"$gt": "r2"}}).sort("_id", 1)]


def server_version(c: Any) -> Any:
    return "version" in c.database.client.server_info()


def dropped_collection_is_empty(c: Any) -> Any:
    c.insert_one({"_id": "a"})
    c.drop()
    return list(c.find())


ANSWERS: dict[Callable[[Any], Any], Any] = {
    null_matches_missing: ["missing", "null"],
    ne_matches_missing: ["missing", "null"],
    in_null_matches_missing: ["missing", "null"],
    exists_matches_null: ["null", "one"],
    date_within_the_second: ["later"],
    date_round_trip: True,
    iso_string_range: ["zone"],
    iso_string_equality: ["utc"],
    equality_of_texts_like_dates: ["day"],
    id_number_is_not_text: 2,
    id_of_24_hex_in_capitals: ["A" * 24],
    boolean_by_insert: "True",
    boolean_by_update: "[True, False]",
    true_is_not_one: ["int"],
    types_are_bracketed: ["int"],
    push_a_document: [{"n": 1}],
    push_each_documents_sliced: [{"n": 1}, {"n": 2}],
    add_to_a_missing_set: {"_id": "a", "l": ["x"], "m": ["y"]},
    set_a_dotted_path: {"_id": "a", "d": {"x": 1, "y": 2}, "e": {"f": "g"}},
    update_many_set_unset: [{"_id": 1, "new": {"deep": 1}}, {"_id": 2, "new": {"deep": 1}}],
    upsert_with_an_operator_in_the_filter: {"_id": "a", "v": 1},
    replace_upsert: {"_id": "a", "v": 1},
    claim_upsert: {"_id": "a", "v": 1, "m": 1},
    claim_error: "OperationFailure",
    update_error: "WriteError",
    unchanged_is_not_modified: 0,
    bulk_update_one: [2, [{"_id": 1, "v": 1}, {"_id": 2, "v": 2}]],
    array_filters: [{"n": 1, "v": 0}, {"n": 2, "v": 9}],
    positional_update: [{"n": 1, "v": 0}, {"n": 2, "v": 9}],
    pipeline_update: {"_id": "a", "n": 1, "m": 2},
    partial_unique_index: 2,
    index_keeps_its_name: True,
    unique_null_collides_with_missing: "BulkWriteError",
    dotted_path_into_an_array: ["a"],
    equality_with_a_document: ["a"],
    scalar_in_an_array: ["a"],
    scalar_in_an_indexed_array: ["a"],
    scalar_list_in_an_indexed_array: ["a"],
    group_by_a_document: [{"_id": {"s": "N", "e": "order"}, "n": 2}],
    group_after_a_range: [("N", 3), ("S", 3)],
    count_of_nothing: [],
    count_documents: 5,
    key_with_a_dot: {"b1_main.orders": 1},
    decimal128: "1.10",
    int64_type: 5,
    nul_in_text: "a\x00b",
    bytes_round_trip: b"\x00\xff",
    range_over_text_ids: ["r3", "r4"],
    server_version: True,
    dropped_collection_is_empty: [],
}

#: Where a store answers otherwise, and what. Exceptions are written as the name of their class.
DEVIATIONS: dict[str, dict[Callable[[Any], Any], Any]] = {
    "mongod": {},
    "nx": {  # neosqlite 1.17.2
        exists_matches_null: ["one"],
        date_within_the_second: [],
        # texts that look like dates are compared as instants, to the second
        iso_string_range: [],
        iso_string_equality: ["utc", "zone"],
        equality_of_texts_like_dates: ["day", "time"],
        id_number_is_not_text: "BulkWriteError",
        id_of_24_hex_in_capitals: [],
        boolean_by_update: "[1, False]",
        true_is_not_one: ["bool", "int"],
        types_are_bracketed: ["int", "text"],
        # worse than a refusal: the documents that were in the list become texts, too
        push_a_document: ['{"n":1}'],
        push_each_documents_sliced: ['{"n":1}', '{"n":2}'],
        add_to_a_missing_set: {"_id": "a", "m": ["y"]},
        replace_upsert: "a fresh _id",
        claim_upsert: {"_id": "a", "v": 1},
        claim_error: None,
        array_filters: [{"n": 1, "v": 0}, {"n": 2, "v": 0}],
        pipeline_update: "WriteError",
        partial_unique_index: "BulkWriteError",
        index_keeps_its_name: False,
        unique_null_collides_with_missing: 2,
        equality_with_a_document: "OperationFailure",
        scalar_in_an_indexed_array: [],
        group_by_a_document: [{"_id": {"s": "$s", "e": "$e"}, "n": 2}],
        count_of_nothing: [{"n": 0}],
        decimal128: "WriteError",
        server_version: False,
    },
    "mongomock": {  # 4.3.0
        true_is_not_one: ["bool", "int"],
        claim_error: "TypeError",
        update_error: "TypeError",
        bulk_update_one: "TypeError",
        array_filters: "NotImplementedError",
        count_of_nothing: [{"n": 0}],
    },
}


@pytest.mark.parametrize("probe", ANSWERS, ids=lambda probe: probe.__name__)
def test_probe(store: Store, probe: Callable[[Any], Any]) -> None:
    try:
        answer = probe(store.collection())
    except Exception as error:  # whatever it raises is its answer
        answer = type(error).__name__
    known = DEVIATIONS[store.name]
    assert answer == known.get(probe, ANSWERS[probe]), (
        "this deviation vanished: strike it" if answer == ANSWERS[probe] else "a new deviation from MongoDB"
    )


@pytest.mark.parametrize("name", DEVIATIONS)
def test_the_table_names_deviations_only(name: str) -> None:
    for probe, answer in DEVIATIONS[name].items():
        assert answer != ANSWERS[probe]
