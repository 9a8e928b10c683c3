"""The worker's half of the API: claims, reports, and the lease of a flow."""

from __future__ import annotations

from typing import Any

from datawald.api import wire
from datawald.api.routing import CoreResource, route
from datawald.domain import record as rules
from datawald.domain import registry
from datawald.usecases import claim, configure, pull, report
from datawald.usecases.report import Reported


class Claims(CoreResource):
    @route("worker", body=wire.ClaimBody)
    def post(self, body: wire.ClaimBody) -> dict[str, Any]:
        """Claim due records of a lane; ``claim_id`` is null where there is nothing to do."""
        claimed = claim.claim(self.core, body.connection, body.lane, body.limit)
        if claimed is None:
            return {"claim_id": None, "lease_ms": 0, "probe": False, "more": False, "records": []}
        return wire.claimed(claimed)


class Claim(CoreResource):
    @route("worker", body=wire.AnnounceBody)
    def put(self, claim_id: str, body: wire.AnnounceBody) -> dict[str, Any]:
        """Announce what is about to be sent. A 409 means: write nothing."""
        claim.announce(self.core, claim_id, body.contents)
        return {"announced": len(body.contents)}


class Reports(CoreResource):
    @route("worker", body=wire.ReportBody)
    def post(self, body: wire.ReportBody) -> dict[str, Any]:
        """Report outcomes of a claim, per record ``taken``, ``late`` or ``unknown``. May be repeated."""
        reported = [Reported(one.id, one.version, one.as_outcome()) for one in body.outcomes]
        return {"records": report.report(self.core, body.claim_id, reported, body.misconfigured)}


class FlowLease(CoreResource):
    @route("worker")
    def post(self, name: str) -> dict[str, Any]:
        """Take the lease of a flow; ``token`` is null where it is held or nothing is to be done."""
        lease = pull.lease(self.core, name)
        return {"token": None} if lease is None else wire.flow_lease(lease)

    @route("worker", body=wire.FlowSave)
    def put(self, name: str, body: wire.FlowSave) -> dict[str, Any]:
        """Keep the cursor and renew the lease, or end it. A 409 means: stop pulling."""
        lease_ms = 0
        if body.cursor is not None:
            lease_ms = pull.save(
                self.core,
                name,
                body.token,
                cursor=body.cursor,
                newest_ms=body.newest_ms,
                source_began_ms=body.source_began_ms,
                read=body.read,
                expected=body.expected,
            )
        match body.then:
            case "hand_back":
                pull.hand_back(self.core, name, body.token)
            case "finish":
                pull.finish(self.core, name, body.token)
            case "fail":
                pull.fail(self.core, name, body.token, body.why, body.retry_after_ms / 1000)
        return {"lease_ms": lease_ms if body.then == "save" else 0}


class AgentSetup(CoreResource):
    @route("worker")
    def get(self, name: str) -> dict[str, Any]:
        """A connection as its agent needs it: maps filled in, secrets as references or sealed."""
        stored = self.core.connection(name)
        return wire.connection(stored, with_secrets=True) | {"settings": configure.filled_settings(self.core, stored)}


class Queues(CoreResource):
    @route("worker")
    def get(self) -> dict[str, Any]:
        """The queues a worker may listen to: a lane of each target, a ``pull`` of each source, and ``core``."""
        flows = self.core.store.flows.find({})
        lanes = {rules.lane_name(flow.target, registry.entity(flow.entity).lane) for flow in flows}
        pulls = {rules.lane_name(flow.source, "pull") for flow in flows}
        return {"queues": ["core", *sorted(lanes), *sorted(pulls)]}
