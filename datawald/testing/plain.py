"""What may go over the wire and into the store: plain JSON, every number exact. Used by the conformance kit."""

# ruff: noqa: S101 - these are tests: pytest shows what an assert saw

from __future__ import annotations

import json
from typing import Any


def assert_plain(value: Any, where: str) -> None:
    """Fails naming the place where ``value`` is not made of dict, list, str, int, bool and None.

    Floats are refused: 0.1 + 0.2 is not what anybody sold. Amounts are text.
    """
    if isinstance(value, dict):
        for name, one in value.items():
            assert type(name) is str, f"{where}: the key {name!r} is no text"
            assert_plain(one, f"{where}.{name}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            assert_plain(one, f"{where}[{number}]")
    else:
        kind = type(value)
        assert value is None or kind in (str, int, bool), f"{where} is a {kind.__name__} ({value!r}), not plain JSON"


def through_json(value: Any) -> Any:
    """``value`` as it is after a journey over the wire."""
    return json.loads(json.dumps(value))
