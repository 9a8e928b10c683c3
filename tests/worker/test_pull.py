"""``pull``: when a read began, by the core's clock."""

from __future__ import annotations

import time
from typing import Any

from datawald.worker import pull


class SlowCore:
    """Grants a lease, and takes its time to hear and to answer."""

    def __init__(self) -> None:
        self.offset_ms = 5_000_000.0

    def now_ms(self) -> float:
        return time.monotonic() * 1000 + self.offset_ms

    def lease_flow(self, flow: str) -> dict[str, Any]:
        time.sleep(0.05)
        granted = int(self.now_ms())
        time.sleep(0.05)
        about = {"entity": "thing", "source": "shop", "target": "books", "settings": {}, "token": "t"}
        return about | {"now_ms": granted}


def test_no_read_is_taken_to_have_begun_later_than_it_did(monkeypatch: Any) -> None:
    core = SlowCore()
    seen: list[float] = []

    def go(run: Any, agents: Any) -> int:
        seen.append(core.now_ms() - run.now_ms())
        return 0

    monkeypatch.setattr(pull._Run, "go", go)
    pull.pull(core, None, "things")  # type: ignore[arg-type]
    assert 0 <= seen[0] < 2_000, "ahead of the core's clock, a read of old content would replace newer content"
