"""A shop and a company on paper: two JSON files. What the command line needs of real agents, and nothing else.

The SKU of an order's first line says what becomes of it: ``REJECT``, ``MISSING``, ``WAIT``, ``DOUBT``, anything else is
booked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from datawald.domain.agent import (
    Absent,
    Check,
    Delivery,
    Extracted,
    Finding,
    FlowView,
    Found,
    Page,
    Plan,
    Source,
    Target,
)
from datawald.domain.errors import InDoubt, Misconfigured, Retryable
from datawald.domain.outcome import Outcome
from datawald.entities.order import Order
from datawald_backoffice import Backoffice
from datawald_frontend import Frontend


class PaperSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: str
    page_size: int = 2
    carriers: dict[str, str] = {}


class FlowSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    store_views: tuple[str, ...] = ()


class _Paper:
    settings: PaperSettings

    def read(self) -> dict[str, Any]:
        path = Path(self.settings.file)
        if not path.exists():
            raise Retryable(f"{path.name} is not there", system=self.connection.name)  # type: ignore[attr-defined]
        loaded: dict[str, Any] = json.loads(path.read_text())
        return loaded

    def write(self, content: Mapping[str, Any]) -> None:
        path = Path(self.settings.file)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(content))
        part.rename(path)

    def probe(self) -> None:
        if self.read().get("closed"):
            raise Misconfigured("the paper is locked away", system=self.connection.name)  # type: ignore[attr-defined]


class PaperShop(_Paper, Frontend):
    system: ClassVar[str] = "paper_shop"
    settings_model: ClassVar[type[BaseModel]] = PaperSettings
    secret_names: ClassVar[tuple[str, ...]] = ("token",)


class PaperBooks(_Paper, Backoffice):
    system: ClassVar[str] = "paper_books"
    settings_model: ClassVar[type[BaseModel]] = PaperSettings
    verbs: ClassVar[Mapping[str, str]] = {"sharpen": "Sharpen the pencil."}

    def sharpen(self) -> Iterator[Check]:
        yield Check("pencil", not self.read().get("closed"), self.connection.name, "buy another one")

    def doctor(self) -> Iterator[Check]:
        yield from super().doctor()
        yield Check("a pencil is there", True, "sharp")


class ShopOrders(Source[Order]):
    entity: ClassVar[str] = "order"
    flow_settings_model: ClassVar[type[BaseModel] | None] = FlowSettings

    def extract(self, flow: FlowView, since: datetime, cursor: dict[str, Any] | None) -> Iterator[Page[Order]]:
        rows = [row for row in self.agent.read()["orders"] if datetime.fromisoformat(row["updated"]) >= since]
        rows.sort(key=lambda row: (row["updated"], row["id"]))
        size, start = self.agent.settings.page_size, (cursor or {}).get("next", 0)
        while True:
            chunk = rows[start : start + size]
            start += size
            more = start < len(rows)
            yield Page([_extracted(row) for row in chunk], {"next": start}, len(rows), more)
            if not more:
                return

    def extract_ids(self, flow: FlowView, src_ids: Sequence[str]) -> Iterator[Page[Order]]:
        rows = [row for row in self.agent.read()["orders"] if row["id"] in src_ids]
        yield Page([_extracted(row) for row in rows], {"next": 0}, len(rows), False)


def _extracted(row: Mapping[str, Any]) -> Extracted[Order]:
    stamp = datetime.fromisoformat(row["updated"])
    if row["sku"] == "UNREADABLE":
        return Extracted(row["id"], stamp, row, None, problem="its total is not explained by its lines")
    net = Decimal(row["total"])
    canonical = Order.model_validate(
        {
            "increment_id": row["id"],
            "store_view": "default",
            "placed_at": row["updated"],
            "currency": "EUR",
            "base_currency": "EUR",
            "customer": {"last_name": row.get("name", "Müller")},
            "billing": {},
            "lines": [{"line_id": "1", "sku": row["sku"], "quantity": 1, "net": net, "tax": 0}],
            "grand_total": net,
        }
    )
    unwanted = "a test order" if row["sku"] == "TEST" else ""
    return Extracted(row["id"], stamp, row, canonical, unwanted=unwanted)


class BooksOrders(Target[Order]):
    entity: ClassVar[str] = "order"

    def find(self, records: Sequence[Delivery[Order]]) -> Mapping[str, Finding]:
        booked = self.agent.read()["booked"]
        findings: dict[str, Finding] = {}
        for record in records:
            row = booked.get(record.key)
            findings[record.id] = (
                Found(row["id"], "live", row["content"], links={"doc_num": row["number"]}) if row else Absent()
            )
        return findings

    def plan(self, record: Delivery[Order], finding: Finding) -> Plan:
        sku, total = record.canonical.lines[0].sku, record.canonical.grand_total
        content = {"Total": str(total), "Name": record.canonical.customer.last_name}
        match sku:
            case "REJECT":
                return Plan("reject", f"order {record.src_id}: the books refuse it")
            case "MISSING":
                return Plan("missing", "the item MISSING is not known in the books")
            case "WAIT":
                return Plan("wait", "the order is on hold", until_s=600)
        if isinstance(finding, Found):
            if finding.content == content:
                return Plan("nothing", content=content, tgt_id=finding.tgt_id, links=finding.links)
            return Plan("update", content=content, tgt_id=finding.tgt_id, links=finding.links, total=total)
        return Plan("create", content=content, total=total)

    def write(self, record: Delivery[Order], plan: Plan) -> Outcome:
        if record.canonical.lines[0].sku == "DOUBT":
            raise InDoubt("the answer did not come")
        paper = self.agent.read()
        row = paper["booked"].setdefault(record.key, {})
        id = row.get("id") or str(500 + len(paper["booked"]))
        row |= {
            "id": id,
            "number": row.get("number") or str(9000 + len(paper["booked"])),
            "content": dict(plan.content),
        }
        self.agent.write(paper)
        return Outcome.written(
            id, sent=dict(plan.content), answered={"DocNum": row["number"]}, links={"doc_num": row["number"]}
        )
