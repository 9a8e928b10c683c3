"""Staging: payloads become records, or newer versions of records, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from datawald.domain import record as rules
from datawald.domain import registry
from datawald.domain.entity import Entity
from datawald.domain.errors import BadInput
from datawald.domain.record import Incoming, Record, Staged
from datawald.staging.store import Raw
from datawald.usecases.core import Core


@dataclass(frozen=True)
class StageItem:
    """One payload as a source hands it in: canonical, or with the reason why it is not."""

    src_id: str
    stamp_ms: int
    payload: Mapping[str, Any] | None = None
    raw: Any = None
    problem: str = ""
    unwanted: str = ""


def stage(
    core: Core,
    *,
    entity: str,
    source: str,
    target: str,
    items: Sequence[StageItem],
    read_began_ms: int,
    sync_task: str = "",
) -> list[Staged]:
    """Stages payloads of one entity, read from ``read_began_ms`` on (core's clock). One verdict per item.

    Raises ``BadInput`` naming the item and the field if a payload does not fit the entity; nothing is staged then.
    """
    declared = registry.entity(entity)
    lane = rules.lane_name(target, declared.lane)
    incoming = [
        _incoming(declared, source, target, lane, item, index, read_began_ms, sync_task)
        for index, item in enumerate(items)
    ]
    verdicts: dict[str, Staged] = {}
    left = {one.id: one for one in incoming}  # of one record twice in a batch, the later counts
    while left:
        left = _attempt(core, left, verdicts)
    now_ms = core.now_ms()
    raws = {
        one.id: Raw(one.id, now_ms, json.dumps(item.raw, ensure_ascii=False, default=str))
        for one, item in zip(incoming, items, strict=True)
        if item.raw is not None and verdicts[one.id] in ("new", "newer")
    }
    core.store.put_raws(list(raws.values()))
    if any(verdict in ("new", "newer") for verdict in verdicts.values()):
        core.bells.ring_lane(target, lane)
    return [verdicts[one.id] for one in incoming]


def _attempt(core: Core, left: Mapping[str, Incoming], verdicts: dict[str, Staged]) -> dict[str, Incoming]:
    """One try at each; returns those where somebody else was quicker."""
    now_ms = core.now_ms()
    records = core.store.records
    known = records.many(left)
    fresh: list[Record] = [rules.first(one, now_ms) for id, one in left.items() if id not in known]
    inserted = records.insert_many(fresh)
    missed: dict[str, Incoming] = {record.id: left[record.id] for record in fresh if record.id not in inserted}
    verdicts |= {id: "new" for id in inserted}
    staged = {id: rules.stage(record, left[id], now_ms) for id, record in known.items()}
    saved = records.save_many([(known[id], after) for id, (_, after) in staged.items()])
    verdicts |= {id: staged[id][0] for id in saved}
    return missed | {id: left[id] for id in staged if id not in saved}


def _incoming(
    entity: Entity,
    source: str,
    target: str,
    lane: str,
    item: StageItem,
    index: int,
    read_began_ms: int,
    sync_task: str,
) -> Incoming:
    if not item.src_id:
        raise BadInput("a record needs the id its source gives it", field=f"records.{index}.src_id")
    payload, hash, numbers = "", "", tuple[str, ...]()
    if item.payload is not None:
        try:
            canonical = entity.model.model_validate(item.payload)
        except ValidationError as error:
            wrong = error.errors()[0]
            field = ".".join(str(part) for part in ("records", index, "payload", *wrong["loc"]))
            raise BadInput(f"{entity.name} {item.src_id}: {wrong['msg']}", field=field) from error
        payload, hash = canonical.model_dump_json(), canonical.content_hash()
        numbers = tuple(str(getattr(canonical, name)) for name in entity.numbers)
    elif not item.problem:
        raise BadInput(
            "a record needs a payload, or the problem that kept it from one", field=f"records.{index}.payload"
        )
    return Incoming(
        entity=entity.name,
        source=source,
        target=target,
        src_id=item.src_id,
        lane=lane,
        stamp_ms=item.stamp_ms,
        read_began_ms=read_began_ms,
        hash=hash,
        payload=payload,
        problem=item.problem,
        unwanted=item.unwanted,
        sync_task=sync_task,
        numbers=numbers,
    )
