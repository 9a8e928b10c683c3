"""``pull``: a bounded number of pages of a flow, extracted and staged."""

from __future__ import annotations

import logging
import math
import time
from datetime import datetime
from typing import Any

from datawald.domain.agent import Extracted, FlowView, Page, Source
from datawald.domain.errors import Conflict, DataWaldError, Misconfigured, Retryable
from datawald.worker.agents import Agents
from flask_dwconnector import DWConnector

log = logging.getLogger(__name__)

#: No task runs longer than this, seconds: the rest of the run comes with the next bell.
LONGEST_S = 60.0
#: Records per staging call.
BATCH = 100


def pull(core: DWConnector, agents: Agents, flow: str) -> int:
    """Takes the flow's lease, extracts and stages pages, keeps the cursor after each. Returns how many were staged."""
    lease = core.lease_flow(flow)
    if lease is None:
        return 0
    # our monotonic clock, told in the core's time: counted from after the answer, so that it is never ahead of the core's
    # own and no read is taken to have begun later than it did
    core_ms = lease["now_ms"] - math.ceil(time.monotonic() * 1000)
    run = _Run(core, flow, lease, core_ms)
    try:
        return run.go(agents)
    except Conflict as error:
        log.info("flow %s: %s", flow, error)  # somebody else pulls it now
    except (Retryable, Misconfigured) as error:
        run.fail(str(error), getattr(error, "retry_after", None) or 0)
    except DataWaldError as error:
        run.fail(str(error), 0)
    except Exception as error:
        log.exception("flow %s could not be read", flow)
        run.fail(f"{type(error).__name__}: {error}", 0)
    return run.staged


class _Run:
    """One lease of a flow, from here until it is given back."""

    def __init__(self, core: DWConnector, flow: str, lease: dict[str, Any], core_ms: int) -> None:
        self.core = core
        self.flow = flow
        self.lease = lease
        self.core_ms = core_ms
        self.staged = 0
        self.view = FlowView(flow, lease["entity"], lease["source"], lease["target"], lease["settings"])

    def now_ms(self) -> int:
        return self.core_ms + math.floor(time.monotonic() * 1000)

    def go(self, agents: Agents) -> int:
        agent = agents.get(self.lease["source"])
        source: Source[Any] = agent.source(self.view.entity)
        began_ms = round(source.clock().timestamp() * 1000)
        ends_at = time.monotonic() + LONGEST_S
        read_began_ms = self.now_ms()
        if self.lease["reread"]:
            for page in agent.extract_ids(self.view, self.lease["reread"]):
                self.stage(page, read_began_ms)
        if self.lease["kind"] == "ids":
            cursor = self.lease["cursor"] or {"next": 0}
            pages = agent.extract_ids(self.view, self.lease["ids"])
        else:
            cursor = self.lease["cursor"]
            pages = agent.extract(self.view, datetime.fromisoformat(self.lease["since"]), cursor)
        read_began_ms = self.now_ms()
        more = False
        for page in pages:
            self.stage(page, read_began_ms)
            stamps = [round(item.stamp.timestamp() * 1000) for item in page.items]
            self.save(
                cursor=page.cursor,
                newest_ms=max(stamps, default=0),
                source_began_ms=began_ms,
                read=len(page.items),
                expected=page.expected or 0,
            )
            more = page.more
            if more and time.monotonic() > ends_at and self.lease["kind"] != "ids":
                self.save(then="hand_back")
                return self.staged
            read_began_ms = self.now_ms()
        self.save(then="finish")
        return self.staged

    def stage(self, page: Page[Any], read_began_ms: int) -> None:
        for start in range(0, len(page.items), BATCH):
            body = {
                "flow": self.flow,
                "token": self.lease["token"],
                "read_began_ms": read_began_ms,
                "records": [_staged(item) for item in page.items[start : start + BATCH]],
            }
            self.staged += len(self.core.stage(self.view.entity, body))

    def save(self, **fields: Any) -> None:
        self.core.save_flow(self.flow, self.lease["token"], **fields)

    def fail(self, why: str, retry_after_s: float) -> None:
        log.warning("flow %s: %s", self.flow, why)
        try:
            self.save(then="fail", why=why[:2000], retry_after_ms=round(retry_after_s * 1000))
        except DataWaldError as error:
            log.warning("flow %s: its lease ends by itself (%s)", self.flow, error)


def _staged(item: Extracted[Any]) -> dict[str, Any]:
    return {
        "src_id": item.src_id,
        "stamp": item.stamp.isoformat(),
        "payload": item.canonical.model_dump(mode="json") if item.canonical is not None else None,
        "raw": item.raw,
        "problem": item.problem,
        "unwanted": item.unwanted,
    }
