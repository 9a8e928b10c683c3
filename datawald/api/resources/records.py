"""Records: staged by workers and by systems that push, read and steered by people."""

from __future__ import annotations

from typing import Any

from flask import g
from pydantic import BaseModel, ConfigDict, Field

from datawald.api import wire
from datawald.api.routing import CoreResource, route
from datawald.domain.errors import BadInput
from datawald.domain.record import TxStatus
from datawald.usecases import pull, records, stage
from datawald.usecases.stage import StageItem


class RecordQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    #: One record, whole, with every hop.
    id: str = ""
    #: A record's id, or any number it is known by: in the source, in the target, or the order it belongs to.
    q: str = ""
    source: str = ""
    target: str = ""
    #: A letter (``F``) or a long name (``failed``).
    status: str = ""
    sync_task: str = ""
    #: ``changed_ms`` and ``id`` of the last record of the page before.
    before_ms: int = Field(0, ge=0)
    before_id: str = ""
    limit: int = Field(50, ge=1, le=100)


class LinkQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str = ""
    src_id: str = ""
    target: str = ""
    tgt_id: str = ""


class Records(CoreResource):
    """The one resource that serves every entity; bound once per registered entity, and once for all of them."""

    def __init__(self, entity: str = "") -> None:
        self.entity = entity

    @route("read", query=RecordQuery)
    def get(self, query: RecordQuery) -> dict[str, Any]:
        """Find records, newest change first; with ``id`` one record whole."""
        if query.id:
            record = records.get(self.core, query.id)
            raw = self.core.store.raws.get(record.id)
            return wire.record_whole(record, raw.text if raw else None)
        found = records.find(
            self.core,
            entity=self.entity,
            source=query.source,
            target=query.target,
            tx_status=_status(query.status),
            sync_task=query.sync_task,
            q=query.q,
            before_ms=query.before_ms,
            before_id=query.before_id,
            limit=query.limit,
        )
        return {"records": [wire.record_line(record) for record in found]}


class EntityRecords(Records):
    @route("worker", body=wire.StageBody)
    def post(self, body: wire.StageBody) -> dict[str, Any]:
        """Stage records; per record ``new``, ``newer``, ``same`` or ``older``."""
        if body.token:
            if not body.flow:
                raise BadInput("a token goes with the name of its flow", field="flow")
            flow = pull.held(self.core, body.flow, body.token)
            source, target, task = flow.source, flow.target, flow.task
            if flow.entity != self.entity:
                raise BadInput(f"flow {flow.id} carries {flow.entity}, not {self.entity}", field="flow")
        else:
            if not body.source or not body.target:
                raise BadInput("name source and target, or a flow and its token", field="source")
            source, target, task = body.source, body.target, ""
            self.core.flow_carrying(self.entity, source, target)
        items = [
            StageItem(one.src_id, wire.milliseconds(one.stamp), one.payload, one.raw, one.problem, one.unwanted)
            for one in body.records
        ]
        verdicts = stage.stage(
            self.core,
            entity=self.entity,
            source=source,
            target=target,
            items=items,
            read_began_ms=body.read_began_ms or self.core.now_ms(),
            sync_task=task,
        )
        return {"records": verdicts}


class Replay(CoreResource):
    def __init__(self, entity: str = "") -> None:
        self.entity = entity

    @route("operator", body=wire.ReplayBody)
    def post(self, body: wire.ReplayBody) -> dict[str, Any]:
        """Make records due again; per id ``replayed`` or why not."""
        return {"records": records.replay(self.core, body.ids, g.caller, as_new=body.as_new)}


class Drop(CoreResource):
    def __init__(self, entity: str = "") -> None:
        self.entity = entity

    @route("operator", body=wire.DropBody)
    def post(self, body: wire.DropBody) -> dict[str, Any]:
        """Give records up, with a reason; per id ``dropped`` or why not."""
        return {"records": records.drop(self.core, body.ids, g.caller, body.reason)}


class Links(CoreResource):
    @route("read", query=LinkQuery)
    def get(self, query: LinkQuery) -> dict[str, Any]:
        """Which thing in one system is which in the other, down to lines."""
        if query.target and query.tgt_id:
            filters = {"target": query.target, "tgt_id": query.tgt_id}
        elif query.source and query.src_id:
            filters = {"source": query.source, "src_id": query.src_id}
        else:
            raise BadInput("ask with target and tgt_id, or with source and src_id", field="target")
        found = self.core.store.list_records(filters, before_ms=0, limit=100)
        lines = [wire.record_line(record) for record in found if record.tgt_id]
        wanted = ("id", "entity", "source", "src_id", "target", "tgt_id", "links", "status")
        return {"links": [{name: line[name] for name in wanted} for line in lines]}


def _status(text: str) -> str:
    if not text:
        return ""
    try:
        return TxStatus.of(text).value
    except ValueError as error:
        raise BadInput(str(error), field="status") from None
