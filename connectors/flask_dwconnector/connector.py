"""The core API as typed calls. Used by workers and by the command line, and by anyone who speaks with a DataWald core."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from datawald.domain.errors import BadInput, Conflict, DataWaldError, InDoubt, Misconfigured, NotFound, Retryable
from datawald.domain.outcome import Outcome
from datawald.http import Answer, HttpSession

if TYPE_CHECKING:  # imported by those who use it: the command line does not wait for it
    from flask import Flask


class DWConnector:
    """A client of one core.

    Nearly every call may be repeated without harm (the core's routes are made so), and is sent as a read: tried again
    ``read_retries`` times within the deadline. ``deadline_s`` is the total of one call, retries included. What makes
    something new at each call (:meth:`ask_for_run`, :meth:`create_key`) is sent once.

    Raises ``Retryable`` if the core does not answer, ``BadInput``, ``NotFound``, ``Conflict`` as the core says, and
    ``Misconfigured`` for a wrong key (its ``status`` is 401) or one without the scope (403).

    Without Flask: ``DWConnector("http://127.0.0.1:8800", "dw_…")``. With Flask: ``DWConnector().init_app(app)``, which
    reads ``DATAWALD_CORE_URL`` and ``DATAWALD_API_KEY`` of its configuration.
    """

    def __init__(
        self, core_url: str = "", api_key: str = "", *, deadline_s: float = 20.0, read_retries: int = 8
    ) -> None:
        self._deadline_s = deadline_s
        self._read_retries = read_retries
        self._http: HttpSession | None = None
        if core_url:
            self._connect(core_url, api_key)

    def init_app(self, app: Flask) -> None:
        """Reads the app's configuration and registers as ``app.extensions["dwconnector"]``."""
        self._connect(app.config["DATAWALD_CORE_URL"], app.config["DATAWALD_API_KEY"])
        app.extensions["dwconnector"] = self

    def _connect(self, core_url: str, api_key: str) -> None:
        self._http = HttpSession(
            core_url,
            system="core",
            deadline_s=self._deadline_s,
            read_retries=self._read_retries,
            headers={"x-api-key": api_key},
            redact=[api_key],
            judge=_judge,
        )

    def call(self, method: str, path: str, *, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """One call that may be repeated; the answer's JSON."""
        asked = {name: value for name, value in (params or {}).items() if value not in ("", None)}
        return self._session().read(method, path, json=json, params=asked).json

    def call_once(self, method: str, path: str, *, json: Any) -> Any:
        """One call that makes something new each time; the answer's JSON. Raises ``InDoubt`` where it may have been done."""
        return self._session().write(method, path, json=json).json

    def _session(self) -> HttpSession:
        if self._http is None:
            raise Misconfigured("the connector has no core yet: give it a URL, or call init_app", system="core")
        return self._http

    # claims

    def claim(self, connection: str, lane: str, limit: int = 0) -> dict[str, Any]:
        """``{claim_id, entity, lease_ms, probe, more, records}``; ``claim_id`` is None where there is nothing to do."""
        body = {"connection": connection, "lane": lane, "limit": limit}
        claimed: dict[str, Any] = self.call("POST", "/api/claims", json=body)
        return claimed

    def announce(self, claim_id: str, contents: Mapping[str, Mapping[str, Any]]) -> None:
        """Tells what is about to be sent, by record id. Raises ``Conflict`` if the claim has ended."""
        self.call("PUT", f"/api/claims/{quote(claim_id, safe='')}", json={"contents": contents})

    def report(
        self, claim_id: str, outcomes: Sequence[tuple[str, int, Outcome]], misconfigured: str = ""
    ) -> dict[str, str]:
        """Reports ``(record id, version, outcome)``; per record ``taken``, ``late`` or ``unknown``."""
        body = {
            "claim_id": claim_id,
            "outcomes": [_outcome(id, version, outcome) for id, version, outcome in outcomes],
            "misconfigured": misconfigured[:2000],
        }
        verdicts: dict[str, str] = self.call("POST", "/api/reports", json=body)["records"]
        return verdicts

    # flows

    def lease_flow(self, flow: str) -> dict[str, Any] | None:
        """The lease of a flow: ``{token, entity, source, target, settings, kind, since, ids, cursor, …}``, or None."""
        lease: dict[str, Any] = self.call("POST", f"/api/flows/{_part(flow)}/lease", json={})
        return lease if lease["token"] else None

    def save_flow(self, flow: str, token: str, **fields: Any) -> None:
        """Keeps a cursor, renews or ends the lease (``then``). Raises ``Conflict`` if the lease is no longer ours."""
        self.call("PUT", f"/api/flows/{_part(flow)}/lease", json={"token": token, **fields})

    def stage(self, entity: str, body: Mapping[str, Any]) -> list[str]:
        """Stages records; per record ``new``, ``newer``, ``same`` or ``older``."""
        verdicts: list[str] = self.call("POST", f"/api/records/{entity}", json=body)["records"]
        return verdicts

    # setup

    def agent_setup(self, connection: str) -> dict[str, Any]:
        """A connection with its secrets as references or sealed."""
        setup: dict[str, Any] = self.call("GET", f"/api/connections/{_part(connection)}/agent")
        return setup

    def queues(self) -> list[str]:
        """The queues a worker may listen to; more with every flow that goes to a lane of its own."""
        queues: list[str] = self.call("GET", "/api/queues")["queues"]
        return queues

    # what operators do: the state of things

    def status(self) -> dict[str, Any]:
        """``{now, now_ms, store, flows, connections}``: flows with counts, connections with their live claims."""
        status: dict[str, Any] = self.call("GET", "/api/status")
        return status

    def ready(self) -> None:
        """Raises unless the core and its store answer. Needs no key."""
        self.call("GET", "/health/ready")

    # what operators do: runs

    def ask_for_run(
        self, flow: str, kind: str = "asked", *, since: datetime | None = None, ids: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Asks for a run of a flow now: ``asked``, ``full``, ``since`` or ``ids``. Sent once: each call is a run more."""
        body = {"flow": flow, "kind": kind, "since": since.isoformat() if since else None, "ids": list(ids)}
        task: dict[str, Any] = self.call_once("POST", "/api/sync-tasks", json=body)
        return task

    def run(self, task_id: str) -> dict[str, Any]:
        """One run, with its records counted by status."""
        task: dict[str, Any] = self.call("GET", f"/api/sync-tasks/{_part(task_id)}")
        return task

    def runs(self, flow: str = "", limit: int = 20) -> list[dict[str, Any]]:
        """Runs, newest first."""
        tasks: list[dict[str, Any]] = self.call("GET", "/api/sync-tasks", params={"flow": flow, "limit": limit})[
            "sync_tasks"
        ]
        return tasks

    # what operators do: records

    def find_records(self, entity: str = "", *, limit: int = 100, **filters: Any) -> Iterator[dict[str, Any]]:
        """Records, newest change first, page by page, at most ``limit`` (0: all).

        ``filters``: ``q`` (an id or any number it is known by), ``source``, ``target``, ``status``, ``sync_task``.
        """
        path = f"/api/records/{_part(entity)}" if entity else "/api/records"
        after: dict[str, Any] = {}
        left = limit or sys.maxsize
        while left > 0:
            asked = min(100, left)
            page: list[dict[str, Any]] = self.call("GET", path, params=filters | after | {"limit": asked})["records"]
            yield from page
            left -= len(page)
            if len(page) < asked:
                return
            after = {"before_ms": page[-1]["changed_ms"], "before_id": page[-1]["id"]}

    def record(self, record_id: str) -> dict[str, Any]:
        """One record whole: what was read, sent and answered, and every hop."""
        record: dict[str, Any] = self.call("GET", "/api/records", params={"id": record_id})
        return record

    def replay(self, entity: str, ids: Sequence[str], *, as_new: bool = False) -> dict[str, str]:
        """Makes at most 100 records due again, ``as_new`` as if the target had never held them; per id ``replayed`` or
        why not."""
        body = {"ids": list(ids), "as_new": as_new}
        verdicts: dict[str, str] = self.call("POST", f"/api/records/{_part(entity)}/replay", json=body)["records"]
        return verdicts

    def drop(self, entity: str, ids: Sequence[str], reason: str) -> dict[str, str]:
        """Gives at most 100 records up; per id ``dropped`` or why not."""
        body = {"ids": list(ids), "reason": reason}
        verdicts: dict[str, str] = self.call("POST", f"/api/records/{_part(entity)}/drop", json=body)["records"]
        return verdicts

    # what operators do: configuration

    def connections(self) -> list[dict[str, Any]]:
        """Every connection; of secrets only the names."""
        found: list[dict[str, Any]] = self.call("GET", "/api/connections")["connections"]
        return found

    def put_connection(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Makes or changes a connection."""
        stored: dict[str, Any] = self.call("PUT", f"/api/connections/{_part(name)}", json=body)
        return stored

    def flows(self) -> list[dict[str, Any]]:
        """Every flow, with its cut date and what it is doing."""
        found: list[dict[str, Any]] = self.call("GET", "/api/flows")["flows"]
        return found

    def flow(self, name: str) -> dict[str, Any]:
        """One flow."""
        found: dict[str, Any] = self.call("GET", f"/api/flows/{_part(name)}")
        return found

    def put_flow(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Makes or changes a flow; where it stands is kept."""
        stored: dict[str, Any] = self.call("PUT", f"/api/flows/{_part(name)}", json=body)
        return stored

    def maps(self) -> dict[str, dict[str, Any]]:
        """Every value map."""
        found: dict[str, dict[str, Any]] = self.call("GET", "/api/maps")["maps"]
        return found

    def put_map(self, name: str, values: Mapping[str, Any]) -> None:
        """Makes or changes a value map."""
        self.call("PUT", f"/api/maps/{_part(name)}", json={"values": dict(values)})

    # what operators do: API keys

    def keys(self) -> list[dict[str, Any]]:
        """Every API key by id, name and scopes; never the key itself."""
        found: list[dict[str, Any]] = self.call("GET", "/api/keys")["keys"]
        return found

    def create_key(self, name: str, scopes: Sequence[str]) -> str:
        """Makes an API key and returns it: the only time it is seen. Sent once: each call is a key more."""
        key: str = self.call_once("POST", "/api/keys", json={"name": name, "scopes": list(scopes)})["key"]
        return key

    def delete_key(self, key_id: str) -> None:
        """Deletes an API key; it stops working within seconds."""
        self.call("DELETE", f"/api/keys/{_part(key_id)}")


def _part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _outcome(id: str, version: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": id,
        "version": version,
        "outcome": outcome.kind.value,
        "tgt_id": outcome.tgt_id,
        "links": outcome.links,
        "sent": outcome.sent,
        "answered": outcome.answered,
        "why": outcome.why[:4000],
        "until_ms": round(outcome.until_s * 1000),
        "on": list(outcome.on)[:50],  # the core keeps no more; a wait always has a time as well
        "notes": list(outcome.notes)[:50],
    }


def _judge(answer: Answer) -> DataWaldError | None:
    """The core's own errors, as the core raised them."""
    error = answer.json.get("error") if isinstance(answer.json, dict) else None
    if not isinstance(error, dict):
        return None
    message, detail = str(error.get("message", "")), error.get("detail")
    match answer.status:
        case 400:
            field = detail.get("field") if isinstance(detail, dict) else None
            return BadInput(message, field=field, system="core", status=400, detail=detail)
        case 401 | 403:
            return Misconfigured(message, system="core", status=answer.status)
        case 404:
            return NotFound(message, system="core", status=404)
        case 409:
            return Conflict(message, system="core", status=409)
        case 500 | 503:
            if answer.status == 500:
                message = f"{message} ({error.get('request_id', '')})"
            # a call that is sent once may have been done before the core stumbled
            kind = InDoubt if answer.is_write else Retryable
            return kind(message, system="core", status=answer.status)
    return None
