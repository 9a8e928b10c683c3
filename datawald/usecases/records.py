"""What people ask of records: find, show, replay, drop; and of links, whose other end is which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from datawald.domain import record as rules
from datawald.domain.errors import BadInput, Conflict, NotFound
from datawald.domain.record import Record
from datawald.usecases.core import Core

#: Records per page.
MOST = 100


def find(
    core: Core,
    *,
    entity: str = "",
    source: str = "",
    target: str = "",
    tx_status: str = "",
    sync_task: str = "",
    q: str = "",
    before_ms: int = 0,
    before_id: str = "",
    limit: int = MOST,
) -> list[Record]:
    """Records of exact filters, newest change first. ``q`` is a record's id or any number it is known by in either system.

    ``before_ms`` and ``before_id`` are those of the last record of the page before.
    """
    filters = {
        "entity": entity,
        "source": source,
        "target": target,
        "tx_status": tx_status,
        "sync_task": sync_task,
    }
    asked = {name: value for name, value in filters.items() if value}
    limit = max(1, min(limit, MOST))
    if not q:
        return core.store.list_records(asked, before_ms=before_ms, before_id=before_id, limit=limit)
    found: dict[str, Record] = {}
    number = q.split(":", 1)[1] if ":" in q and not q.startswith(tuple("0123456789")) else q
    # $in, because an embedded server does not look into an array for a plain value
    for way in ({"_id": q}, {"numbers": {"$in": list(dict.fromkeys((q, number)))}}):
        for record in core.store.list_records(asked | way, before_ms=before_ms, before_id=before_id, limit=limit):
            found.setdefault(record.id, record)
    return list(found.values())[:limit]


def get(core: Core, id: str) -> Record:
    found = core.store.records.get(id)
    if found is None:
        raise NotFound(f"there is no record {id!r}")
    return found


def replay(core: Core, ids: Sequence[str], by: str, *, as_new: bool = False) -> dict[str, str]:
    """Makes records due again, with ``as_new`` as if the target had never held them. Per id ``replayed``, or why not."""

    def replayed(record: Record) -> Record:
        return rules.replay(record, core.now_ms(), by, as_new=as_new)

    return {id: _change(core, id, replayed, "replayed") for id in ids}


def drop(core: Core, ids: Sequence[str], by: str, reason: str) -> dict[str, str]:
    """Gives records up, with a reason that stays on them. Per id ``dropped``, or why not."""
    if not reason.strip():
        raise BadInput("dropping a record needs a reason: it stays on the record", field="reason")
    return {
        id: _change(core, id, lambda record: rules.drop(record, core.now_ms(), by, reason), "dropped") for id in ids
    }


def _change(core: Core, id: str, change: Callable[[Record], Record], verb: str) -> str:
    try:
        while True:
            before = get(core, id)
            after = change(before)
            if core.store.records.save(before, after):
                core.bells.ring_lane(after.target, after.lane)
                return verb
    except (NotFound, Conflict) as error:
        return str(error)
