"""SAP Business One without the look-up before a write: for the test that proves that the look-up matters."""

from __future__ import annotations

from typing import Any

from datawald_b1agency import B1Agency
from datawald_b1agency.entities.order import OrderTarget


class BlindOrderTarget(OrderTarget):
    """Sees no document, whatever SAP holds."""

    def _finding(self, *_: Any) -> None:
        return None


class BlindB1Agency(B1Agency):
    def mapping(self, entity: str) -> Any:
        return BlindOrderTarget(self) if entity == "order" else super().mapping(entity)
