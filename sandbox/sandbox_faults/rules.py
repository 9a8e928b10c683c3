"""Fault rules: what a rule may say, how a bad one is refused, and when it fires.

A rule is plain JSON (see :data:`FIELDS`). :class:`FaultRule` keeps its own counters, so that "every third request",
"twice" and "with probability 0.1, seed 7" come out the same in every run that sends the same requests.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

#: Sleeps ``seconds``, then the request goes on (later rules still apply to it).
LATENCY = "latency"
#: Answers ``status`` with ``body``; the application never sees the request.
STATUS = "status"
#: TCP reset; the application never sees the request.
RESET_BEFORE = "reset_before"
#: The application works the request to its end, then the connection is reset instead of an answer.
RESET_AFTER_COMMIT = "reset_after_commit"
#: The connection is reset at once; the application works the request ``seconds`` later, in the background.
RESET_COMMIT_LATER = "reset_commit_later"
#: The answer is sent, its body one byte every ``seconds``: only a client with a total deadline gets away from it.
DRIP = "drip"

KINDS = (LATENCY, STATUS, RESET_BEFORE, RESET_AFTER_COMMIT, RESET_COMMIT_LATER, DRIP)

FIELDS = (
    "kind",
    "method",
    "path",
    "times",
    "every",
    "probability",
    "seed",
    "seconds",
    "status",
    "retry_after",
    "body",
    "content_type",
)


class BadRule(ValueError):
    """A rule that cannot be understood; ``field`` is the name of the part at fault."""

    def __init__(self, field_name: str, why: str) -> None:
        super().__init__(f"{field_name}: {why}")
        self.field = field_name
        self.why = why


@dataclass
class FaultRule:
    """One fault and the requests it applies to. Not thread-safe: the board guards it."""

    kind: str
    #: An HTTP method in capitals, or ``*``.
    method: str = "*"
    #: Glob over the path without its query, case-sensitive; ``*`` also matches ``/``.
    path: str = "*"
    #: How often it may still fire; None: until it is removed.
    times: int | None = None
    #: Fires on every nth matching request; None: on each.
    every: int | None = None
    #: Chance to fire, drawn from a generator of the rule's own.
    probability: float | None = None
    seed: int = 0
    #: latency: the delay. reset_commit_later: how long after the reset the request is worked. drip: pause per byte.
    seconds: float = 0.0
    status: int | None = None
    #: Seconds for the ``Retry-After`` header of a status fault.
    retry_after: float | None = None
    body: str | None = None
    content_type: str | None = None
    id: int = 0
    matched: int = 0
    fired: int = 0
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable, not secret

    @classmethod
    def parse(cls, raw: object) -> FaultRule:
        """The rule that ``raw`` (decoded JSON) describes; raises :class:`BadRule` naming the first bad field."""
        if not isinstance(raw, Mapping):
            raise BadRule("rule", "must be a JSON object")
        for name in raw:
            if name not in FIELDS:
                raise BadRule(str(name), f"unknown field; known are {', '.join(FIELDS)}")
        kind = raw.get("kind")
        if kind not in KINDS:
            raise BadRule("kind", f"must be one of {', '.join(KINDS)}")
        rule = cls(
            kind=kind,
            method=_text(raw, "method", "*").upper(),
            path=_text(raw, "path", "*"),
            times=_whole(raw, "times", at_least=1),
            every=_whole(raw, "every", at_least=1),
            probability=_number(raw, "probability", at_most=1.0),
            seed=_whole(raw, "seed") or 0,
            seconds=_number(raw, "seconds") or 0.0,
            status=_whole(raw, "status", at_least=200, at_most=599),
            retry_after=_number(raw, "retry_after"),
            body=_optional_text(raw, "body"),
            content_type=_optional_text(raw, "content_type"),
        )
        if not rule.path.startswith(("/", "*")):
            raise BadRule("path", "must begin with / or *")
        if kind == STATUS and rule.status is None:
            raise BadRule("status", "a status fault needs one")
        if kind in (LATENCY, DRIP) and not rule.seconds:
            raise BadRule("seconds", f"a {kind} fault needs some")
        return rule

    def matches(self, method: str, path: str) -> bool:
        """Whether the request is one of those this rule is about."""
        return self.method in ("*", method) and fnmatchcase(path, self.path)

    def draw(self) -> bool:
        """Count one matching request and say whether the fault happens to it."""
        if self.times is not None and self.times <= 0:
            return False
        self.matched += 1
        if self.every is not None and self.matched % self.every:
            return False
        if self.probability is not None and self._random.random() >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        self.fired += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """The rule as given, with its id, what is left of ``times`` and its counters."""
        told = {name: getattr(self, name) for name in FIELDS}
        return {"id": self.id, **told, "matched": self.matched, "fired": self.fired}


def _text(raw: Mapping[str, Any], name: str, default: str) -> str:
    value = raw.get(name, default)
    if not isinstance(value, str) or not value:
        raise BadRule(name, "must be a non-empty text")
    return value


def _optional_text(raw: Mapping[str, Any], name: str) -> str | None:
    value = raw.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRule(name, "must be a text")
    return value


def _whole(raw: Mapping[str, Any], name: str, at_least: int | None = None, at_most: int | None = None) -> int | None:
    value = raw.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRule(name, "must be a whole number")
    if at_least is not None and value < at_least:
        raise BadRule(name, f"must be at least {at_least}")
    if at_most is not None and value > at_most:
        raise BadRule(name, f"must be at most {at_most}")
    return value


def _number(raw: Mapping[str, Any], name: str, at_most: float | None = None) -> float | None:
    value = raw.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRule(name, "must be a number")
    if not 0 <= value <= (at_most if at_most is not None else 86_400):
        raise BadRule(name, f"must be between 0 and {at_most if at_most is not None else 86_400}")
    return float(value)
