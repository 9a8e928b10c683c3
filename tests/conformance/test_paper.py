"""A system without HTTP under the kit: what cannot be proven is skipped and says so; everything else holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datawald_coupons.coupon import Coupon
from datawald_coupons.paper import PaperBooks

from datawald.domain.connection import Connection
from datawald.testing import TargetConformance


class TestCouponsIntoTheBooks(TargetConformance):
    agency, entity, source = PaperBooks, "coupon", "shop"

    @pytest.fixture
    def system(self, installed: None, tmp_path: Path) -> Path:
        return tmp_path

    def connection(self) -> Connection:
        return Connection("books", "paper_books", "http://localhost", {"folder": str(self.system)})

    def sample(self, number: int) -> Coupon:
        return Coupon(code=f"SAVE{number}", percent=number)

    def src_id(self, canonical: Coupon) -> str:
        return canonical.code

    def changed(self, canonical: Coupon) -> Coupon:
        return canonical.model_copy(update={"percent": canonical.percent + 1})

    def count(self, key: str) -> int:
        files = [file for file in self.system.iterdir() if json.loads(file.read_text())]
        return sum(file.stem == key.replace(":", ".") for file in files)
