"""Two systems made of paper: a folder holds one JSON file per coupon."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from datawald.domain.agent import Absent, Delivery, Extracted, Finding, FlowView, Found, Page, Plan, Source, Target
from datawald.domain.errors import Misconfigured
from datawald.domain.outcome import Outcome
from datawald_backoffice import Backoffice
from datawald_coupons.coupon import Coupon
from datawald_frontend import Frontend


class PaperSettings(BaseModel):
    folder: str


class Paper:
    """A folder."""

    settings_model = PaperSettings
    settings: Any

    def folder(self) -> Path:
        return Path(self.settings.folder)

    def probe(self) -> None:
        if not self.folder().is_dir():
            raise Misconfigured(f"there is no folder {self.folder()}")


class PaperShop(Paper, Frontend):
    system = "paper_shop"


class PaperBooks(Paper, Backoffice):
    system = "paper_books"


class CouponSource(Source[Coupon]):
    entity: ClassVar[str] = "coupon"

    def extract(self, flow: FlowView, since: datetime, cursor: dict[str, Any] | None) -> Iterator[Page[Coupon]]:
        files = sorted(self.agent.folder().glob("*.json"))
        items = [self._read(file) for file in files]
        yield Page([item for item in items if item.stamp >= since], {}, len(items), more=False)

    def extract_ids(self, flow: FlowView, src_ids: Sequence[str]) -> Iterator[Page[Coupon]]:
        files = [self.agent.folder() / f"{src_id}.json" for src_id in src_ids]
        yield Page([self._read(file) for file in files if file.exists()], {}, more=False)

    def _read(self, file: Path) -> Extracted[Coupon]:
        raw = json.loads(file.read_text())
        stamp = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        return Extracted(file.stem, stamp, raw, Coupon(code=raw["code"], percent=raw["percent"]))


class CouponTarget(Target[Coupon]):
    entity: ClassVar[str] = "coupon"

    def find(self, records: Sequence[Delivery[Coupon]]) -> Mapping[str, Finding]:
        return {record.id: self._find(record) for record in records}

    def plan(self, record: Delivery[Coupon], finding: Finding) -> Plan:
        wanted = record.canonical.content()
        if isinstance(finding, Found):
            same = finding.content == wanted
            return Plan("nothing" if same else "update", content=wanted, tgt_id=finding.tgt_id)
        return Plan("create", content=wanted)

    def write(self, record: Delivery[Coupon], plan: Plan) -> Outcome:
        self._file(record).write_text(json.dumps(dict(plan.content)))
        return Outcome.written(self._file(record).name, sent=dict(plan.content))

    def _find(self, record: Delivery[Coupon]) -> Finding:
        file = self._file(record)
        return Found(file.name, "live", json.loads(file.read_text())) if file.exists() else Absent()

    def _file(self, record: Delivery[Coupon]) -> Path:
        return self.agent.folder() / f"{record.key.replace(':', '.')}.json"
