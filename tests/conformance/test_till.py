"""The till of ``docs/howto/write-an-agency.md`` keeps DataWald's promises."""

from __future__ import annotations

import pytest
from datawald_coupons.coupon import Coupon
from datawald_till.agency import TillAgency, TillOffice

from datawald.domain.connection import Connection
from datawald.testing import SourceConformance, TargetConformance
from tests.conformance.till_server import API_KEY, TillServer


class TestCouponsIntoTheTill(TargetConformance):
    agency, entity, source = TillAgency, "coupon", "shop"

    @pytest.fixture
    def system(self, till: TillServer) -> TillServer:
        return till

    def connection(self) -> Connection:
        return Connection("till_1", "till", self.system.url, {}, {"api_key": API_KEY}, deadline_s=5)

    def sample(self, number: int) -> Coupon:
        return Coupon(code=f"SAVE{number}", percent="12.5")

    def src_id(self, canonical: Coupon) -> str:
        return canonical.code

    def count(self, key: str) -> int:
        return self.system.count(key)

    def changed(self, canonical: Coupon) -> Coupon:
        return canonical.model_copy(update={"percent": canonical.percent + 5})

    def refused(self) -> Coupon:
        return Coupon(code="TOOMUCH", percent="101")

    def reset_after_commit(self) -> None:
        self.system.lose_next_answer = True

    def server_error_on_write(self) -> None:
        self.system.fail_next_write = True

    def refuse_connection(self) -> None:
        self.system.is_down = True

    def recover(self) -> None:
        self.system.is_down = False


class TestCouponsFromTheOffice(SourceConformance):
    agency, entity, target, most_per_page = TillOffice, "coupon", "till_1", 2

    @pytest.fixture
    def system(self, till: TillServer) -> TillServer:
        return till

    def connection(self) -> Connection:
        secrets = {"api_key": API_KEY}
        return Connection("office", "till_office", self.system.url, {"page_size": 2}, secrets, deadline_s=5)

    def make(self, number: int) -> str:
        return str(self.system.put({"code": f"SAVE{number}", "percent": 10})["code"])

    def change(self, src_id: str) -> None:
        (voucher,) = [one for one in self.system.vouchers if one["code"] == src_id]
        self.system.put({"percent": 20}, voucher["id"])

    def unmappable(self) -> str:
        return str(self.system.put({"code": "ODD", "percent": "a lot"})["code"])
