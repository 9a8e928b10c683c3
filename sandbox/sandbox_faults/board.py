"""The fault board: the rules in force in one sandbox process, and which of them hit a request."""

from __future__ import annotations

import threading
from typing import Any

from sandbox_faults.rules import LATENCY, FaultRule


class FaultBoard:
    """Holds the fault rules of one process, in the order they were added.

    Thread-safe. The lock is held only while deciding, never while a fault is acted out: ten requests under a latency
    fault sleep side by side.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []
        self._last_id = 0

    def add(self, raw: object) -> int:
        """Put up the rule that ``raw`` describes and return its id; raises ``BadRule``."""
        rule = FaultRule.parse(raw)
        with self._lock:
            self._last_id += 1
            rule.id = self._last_id
            self._rules.append(rule)
        return rule.id

    def remove(self, rule_id: int) -> bool:
        """Take one rule down; False if there is none with that id."""
        with self._lock:
            kept = [rule for rule in self._rules if rule.id != rule_id]
            removed = len(kept) < len(self._rules)
            self._rules = kept
        return removed

    def clear(self) -> int:
        """Take all rules down and return how many there were."""
        with self._lock:
            count, self._rules = len(self._rules), []
        return count

    def as_json(self) -> list[dict[str, Any]]:
        """All rules, also the used-up ones, with their counters."""
        with self._lock:
            return [rule.as_json() for rule in self._rules]

    def draw(self, method: str, path: str) -> tuple[float, FaultRule | None]:
        """What happens to this request: seconds to sleep first, then the fault that ends it, if any.

        Latencies add up. Of the others the first that fires wins; the ones after it do not count the request.
        """
        seconds = 0.0
        with self._lock:
            for rule in self._rules:
                if not rule.matches(method, path) or not rule.draw():
                    continue
                if rule.kind == LATENCY:
                    seconds += rule.seconds
                else:
                    return seconds, rule
        return seconds, None
