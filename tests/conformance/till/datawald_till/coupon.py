"""Coupons at a till: ``CouponTarget`` writes them, ``CouponSource`` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from datawald_coupons.coupon import Coupon

from datawald.domain.agent import (
    Absent,
    Delivery,
    Extracted,
    Finding,
    FlowView,
    Found,
    Page,
    Plan,
    Several,
    Source,
    Target,
    changes,
)
from datawald.domain.entity import plain_decimal
from datawald.domain.errors import DataWaldError, InDoubt
from datawald.domain.outcome import Outcome


class CouponTarget(Target[Coupon]):
    entity: ClassVar[str] = "coupon"

    @property
    def write_deadline_s(self) -> float:
        """The write, and reading it back."""
        return 2 * float(self.agent.connection.deadline_s)

    def find(self, records: Sequence[Delivery[Coupon]]) -> Mapping[str, Finding]:
        by_key: dict[str, list[Found]] = {}
        for voucher in self.agent.connector.by_reference(record.key for record in records):
            by_key.setdefault(voucher["reference"], []).append(_found(voucher))
        findings: dict[str, Finding] = {}
        for record in records:
            found = by_key.get(record.key, [])
            findings[record.id] = Several(found) if len(found) > 1 else found[0] if found else Absent()
        return findings

    def plan(self, record: Delivery[Coupon], finding: Finding) -> Plan:
        wanted = record.canonical.content()
        if not isinstance(finding, Found):
            return Plan("create", content=wanted, body={**wanted, "reference": record.key})
        compared = changes(wanted, finding.content, record.sent, record.attempts)
        plan = Plan("nothing", content=wanted | compared.kept, tgt_id=finding.tgt_id, notes=_notes(compared.kept))
        if not compared.send:
            return plan
        body = {**finding.content, **compared.send, "reference": record.key}
        return Plan("update", content=plan.content, body=body, tgt_id=finding.tgt_id, notes=plan.notes)

    def write(self, record: Delivery[Coupon], plan: Plan) -> Outcome:
        connector = self.agent.connector
        if plan.action == "create":
            connector.create(plan.body)
        else:
            connector.change(plan.tgt_id, plan.body)
        # 2xx is not the effect: what counts is what the till says it holds, and from here on no failure means "nothing"
        try:
            held = [_found(voucher) for voucher in connector.by_reference([record.key])]
        except DataWaldError as error:
            raise InDoubt(f"it was sent, but could not be read back: {error.message}", system=error.system) from error
        if len(held) != 1 or held[0].content != plan.content:
            raise InDoubt(f"it was sent, but the till holds {[one.content for one in held]}", system=record.target)
        return Outcome.written(held[0].tgt_id, sent=dict(plan.content), notes=plan.notes)


def _found(voucher: Mapping[str, Any]) -> Found:
    # equal amounts are equal text, however the till writes them
    percent = plain_decimal(Decimal(str(voucher["percent"])))
    content = {"code": voucher["code"], "percent": percent}
    return Found(str(voucher["id"]), "live", content)


def _notes(kept: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{name} was changed at the till to {value}: left alone" for name, value in kept.items())


class CouponSource(Source[Coupon]):
    entity: ClassVar[str] = "coupon"

    def extract(self, flow: FlowView, since: datetime, cursor: dict[str, Any] | None) -> Iterator[Page[Coupon]]:
        cursor = cursor or {"after": 0}
        size = self.agent.settings.page_size
        for vouchers in self.agent.connector.changed(since.isoformat(), cursor["after"], size):
            cursor = {"after": vouchers[-1]["id"]}
            yield Page([self._extracted(voucher) for voucher in vouchers], cursor)
        yield Page((), cursor, more=False)

    def extract_ids(self, flow: FlowView, src_ids: Sequence[str]) -> Iterator[Page[Coupon]]:
        vouchers = self.agent.connector.by_code(src_ids)
        yield Page([self._extracted(voucher) for voucher in vouchers], {}, more=False)

    def _extracted(self, voucher: Mapping[str, Any]) -> Extracted[Coupon]:
        src_id, stamp = str(voucher["code"]), datetime.fromisoformat(voucher["changed_at"])
        try:
            coupon = Coupon(code=voucher["code"], percent=voucher["percent"])
        except ValueError as error:  # an odd voucher must not stop the page: it is staged as failed, with the reason
            return Extracted(src_id, stamp, voucher, None, f"voucher {src_id}: {error}")
        return Extracted(src_id, stamp, voucher, coupon)
