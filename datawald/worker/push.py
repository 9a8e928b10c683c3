"""``push``: one claim of a lane, delivered and reported."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from datawald.domain import registry
from datawald.domain.agent import Agent, Delivered, Delivery, Lease
from datawald.domain.errors import DataWaldError, Misconfigured, Retryable
from datawald.domain.outcome import Outcome
from datawald.worker.agents import Agents
from flask_dwconnector import DWConnector

log = logging.getLogger(__name__)


def push(
    core: DWConnector,
    agents: Agents,
    connection: str,
    lane: str,
    ring: Callable[[], None],
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Takes one claim of what is due in a lane, works it, and rings again if there is more.

    Returns how many records it had. A core that does not answer ends it without harm: what was claimed is looked up
    after its lease.
    """
    asked_at = monotonic()
    claim = core.claim(connection, lane)
    if claim["claim_id"] is None:
        return 0
    if claim["more"]:
        ring()
    handed = claim["records"]
    log.info("claim %s: %s %s for %s", claim["claim_id"], len(handed), claim["entity"], connection)
    records, unread = _deliveries(handed)

    def announce(contents: Any) -> None:
        core.announce(claim["claim_id"], contents)

    lease = Lease(asked_at, claim["lease_ms"] / 1000, announce, monotonic)
    done = _deliver(agents, connection, records, lease, claim["probe"])
    known = unread | done.outcomes
    outcomes = [(record["id"], record["version"], known[record["id"]]) for record in handed]
    core.report(claim["claim_id"], outcomes, done.misconfigured)
    for id, _, outcome in outcomes:
        log.info("%s %s", outcome.kind.value, outcome.why, extra={"record_id": id})
    if claim["more"]:
        ring()
    return len(handed)


def _deliver(agents: Agents, connection: str, records: list[Delivery[Any]], lease: Lease, probe: bool) -> Delivered:
    """The outcomes of a claim, whatever happens."""
    agent: Agent | None = None
    try:
        agent = agents.get(connection)
        if probe:
            agent.probe()
        done = agent.deliver(records, lease)
        if done.misconfigured:
            done.misconfigured = _confirmed(agent, done.misconfigured)
        return done
    except Retryable as error:
        outcome = Outcome.retryable(str(error), until_s=error.retry_after or 0)
        return Delivered({record.id: outcome for record in records})
    except Misconfigured as error:
        outcome = Outcome.retryable(str(error))
        return Delivered({record.id: outcome for record in records}, _confirmed(agent, str(error)))
    except DataWaldError as error:  # the core refused the announcement: the claim is no longer ours
        return Delivered({record.id: Outcome.not_tried(str(error)) for record in records})
    except Exception as error:  # a fault of ours, or the process is asked to stop
        log.exception("claim of %s failed", connection)
        why = f"{type(error).__name__}: {error}"
        # what was announced may have been written
        outcome = Outcome.in_doubt(why) if lease.announced else Outcome.retryable(why)
        return Delivered({record.id: outcome for record in records})


def _confirmed(agent: Agent | None, why: str) -> str:
    """Why the connection is wrongly configured, if a probe says so too: one odd answer must not pause everything."""
    if agent is None:
        return why
    try:
        agent.probe()
    except Misconfigured as error:
        return str(error)
    except Exception:  # it does not answer at all: that is another matter
        return ""
    return ""


def _deliveries(handed: list[dict[str, Any]]) -> tuple[list[Delivery[Any]], dict[str, Outcome]]:
    """The records of a claim, and outcomes for those that this worker cannot read: they must not stop the others."""
    records: list[Delivery[Any]] = []
    unread: dict[str, Outcome] = {}
    for one in handed:
        try:
            records.append(_delivery(one))
        except ValidationError as error:  # staged under an older model
            wrong = error.errors()[0]
            field = ".".join(map(str, wrong["loc"]))
            why = f"its stored payload does not fit the entity any more ({field}: {wrong['msg']}): read it again by id"
            unread[one["id"]] = Outcome.rejected(why)
        except DataWaldError as error:  # the entity's package is not installed beside this worker
            unread[one["id"]] = Outcome.retryable(str(error))
        except KeyError as error:  # a core of another release
            unread[one["id"]] = Outcome.retryable(f"the core hands out no {error}: is it older than this worker?")
    return records, unread


def _delivery(record: dict[str, Any]) -> Delivery[Any]:
    entity = registry.entity(record["entity"])
    return Delivery(
        id=record["id"],
        entity=record["entity"],
        source=record["source"],
        target=record["target"],
        src_id=record["src_id"],
        version=record["version"],
        canonical=entity.model.model_validate(record["payload"]),
        in_doubt=record["in_doubt"],
        tgt_id=record["tgt_id"],
        sent=record["sent"],
        attempts=record["attempts"],
        links=record["links"],
        withheld=record["withheld"],
    )
