"""``datawald sync --dry-run``: extracts, looks up and plans in this process, and writes nothing anywhere.

The same code as a real run, stopped after ``plan``: the agents come from :class:`datawald.worker.agents.Agents`, the core
is only asked what it knows of each record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from datawald import config
from datawald.cli import output
from datawald.cli.output import Output
from datawald.cli.sync import MOST_REASONS, plain_reason
from datawald.domain import registry
from datawald.domain.agent import Agent, Delivery, Extracted, FlowView, Page, Plan
from datawald.domain.errors import NotFound
from datawald.domain.record import record_id
from datawald.worker.agents import Agents
from flask_dwconnector import DWConnector

#: What a plan's action is called, in the order of the table.
WORDS = {
    "create": "created",
    "update": "updated",
    "cancel": "cancelled",
    "close": "closed",
    "nothing": "found there already, the same",
    "wait": "waiting",
    "missing": "failed: master data is missing",
    "reject": "failed: refused",
    "retry": "tried again: the look-up was incomplete",
    "skip": "ignored",
    "problem": "failed: cannot be mapped",
    "unwanted": "ignored: not wanted",
    "same": "left as they are: nothing new",
}
#: Statuses that new content does not move before something else happens, whatever the target holds.
SETTLED = frozenset("SIFXP?")


@dataclass
class Rehearsed:
    """What would be done, counted. Of single records only what a table or a script needs is kept."""

    read: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    #: (action, currency) → the sum.
    totals: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)

    def add(self, src_id: str, action: str, why: str, *, total: Decimal | None = None, currency: str = "") -> None:
        self.actions[action] += 1
        line: dict[str, Any] = {"src_id": src_id, "action": action, "why": why}
        if total is not None:
            self.totals[action, currency] = self.totals.get((action, currency), Decimal(0)) + total
            line |= {"total": str(total), "currency": currency}
        self.records.append(line)

    def reasons(self) -> list[dict[str, Any]]:
        found: Counter[tuple[str, str]] = Counter()
        such_as: dict[tuple[str, str], list[str]] = {}
        for one in self.records:
            if one["action"] in ("create", "nothing", "same") or not one["why"]:
                continue
            reason = (one["action"], plain_reason(one["why"], one["src_id"]))
            found[reason] += 1
            such_as.setdefault(reason, []).append(one["src_id"])
        return [
            {"records": number, "action": action, "why": why, "such_as": such_as[action, why][:3]}
            for (action, why), number in found.most_common(MOST_REASONS)
        ]


def rehearse(
    out: Output, core: DWConnector, flow: Mapping[str, Any], kind: str, since: datetime | None, ids: Sequence[str]
) -> None:
    """Prints what a run of ``flow`` would do."""
    view = FlowView(flow["name"], flow["entity"], flow["source"], flow["target"], flow["settings"])
    agents = Agents(core, config.load().master_key.get_secret_value())
    source, target = agents.get(view.source), agents.get(view.target)
    size = int(core.agent_setup(view.target)["claim_size"])
    begins = _begins(flow, kind, since)
    done = Rehearsed()
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=out.notes,
        disable=not out.notes.is_terminal or out.json,
        transient=True,
    )
    with bar:
        row = bar.add_task("reading")
        for page in _pages(source, view, begins, ids):
            _page(core, target, view, page, size, done)
            expected = f" of {page.expected:,}" if page.expected else ""
            bar.update(row, description=f"{view.name}: {done.read:,}{expected} read and planned")
    _tell(out, view, None if ids else begins, done)


def _begins(flow: Mapping[str, Any], kind: str, since: datetime | None) -> datetime:
    """Where a real run would begin to read."""
    start = output.moment(flow["start_from"]) or datetime.fromtimestamp(0, UTC)
    cut = output.moment(flow["cut_date"]) or start
    return max(start, {"full": start, "since": since or start}.get(kind, cut))


def _pages(source: Agent, view: FlowView, begins: datetime, ids: Sequence[str]) -> Iterator[Page[Any]]:
    if ids:
        yield from source.extract_ids(view, ids)
        return
    for page in source.extract(view, begins, None):
        yield page
        if not page.more:
            return


def _page(core: DWConnector, target: Agent, view: FlowView, page: Page[Any], size: int, done: Rehearsed) -> None:
    batch: list[Delivery[Any]] = []
    for item in page.items:
        done.read += 1
        delivery = _delivery(core, view, item, done)
        if delivery:
            batch.append(delivery)
    for start in range(0, len(batch), size):
        chunk = batch[start : start + size]
        plans = target.rehearse(chunk)
        for record in chunk:
            _count(record, plans[record.id], done)


def _delivery(core: DWConnector, view: FlowView, item: Extracted[Any], done: Rehearsed) -> Delivery[Any] | None:
    """The record as a claim would hand it out, or None where staging alone decides what becomes of it."""
    if item.canonical is None:
        done.add(item.src_id, "problem", item.problem)
        return None
    if item.unwanted:
        done.add(item.src_id, "unwanted", item.unwanted)
        return None
    id = record_id(view.entity, view.source, view.target, item.src_id)
    try:
        known = core.record(id)
    except NotFound:
        return Delivery(id, view.entity, view.source, view.target, item.src_id, 1, item.canonical)
    same = not known["problem"] and known["hash"] == item.canonical.content_hash()
    if same and known["tx_status"] in SETTLED:
        done.add(item.src_id, "same", f"{known['status']}: {known['why']}" if known["why"] else known["status"])
        return None
    return Delivery(
        id=id,
        entity=view.entity,
        source=view.source,
        target=view.target,
        src_id=item.src_id,
        version=known["version"],
        canonical=item.canonical,
        in_doubt=known["tx_status"] == "?",
        tgt_id=known["tgt_id"],
        sent=known["sent"],
        attempts=known["attempts"],
        links=known["links"],
    )


def _count(record: Delivery[Any], plan: Plan, done: Rehearsed) -> None:
    total = plan.total
    if total is None and plan.action in ("create", "update"):
        # a plan that writes has made sure that the target arrives at the record's own total
        total = getattr(record.canonical, "grand_total", None)
    currency = str(getattr(record.canonical, "currency", ""))
    done.add(record.src_id, plan.action, plan.why, total=total, currency=currency)


def _tell(out: Output, view: FlowView, begins: datetime | None, done: Rehearsed) -> None:
    out.document(
        {
            "flow": view.name,
            "since": begins.isoformat() if begins else None,
            "read": done.read,
            "actions": {action: done.actions[action] for action in WORDS if done.actions[action]},
            "totals": [
                {"action": action, "currency": currency, "total": str(total)}
                for (action, currency), total in done.totals.items()
            ],
            "reasons": done.reasons(),
            "records": done.records,
        }
    )
    if out.json:
        return
    since = f", changed since {output.both(begins.isoformat())}" if begins else ""
    out.say(f"A dry run of {view.name}: {view.source} → {view.target}{since}. Nothing is written anywhere.")
    rows = [
        (word, f"{done.actions[action]:,}", _totals(done, action))
        for action, word in WORDS.items()
        if done.actions[action]
    ]
    entity = registry.entity(view.entity)
    out.table((f"{output.plural(done.read, entity.name, entity.plural)} read", "records", "total"), rows)
    reasons = done.reasons()
    if reasons:
        out.table(
            ("records", "would be", "why", "such as"),
            [(one["records"], WORDS[one["action"]], one["why"], ", ".join(one["such_as"])) for one in reasons],
        )


def _totals(done: Rehearsed, action: str) -> str:
    return ", ".join(
        f"{total:,.2f} {currency}".strip() for (of, currency), total in done.totals.items() if of == action
    )
