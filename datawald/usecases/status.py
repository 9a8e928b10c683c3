"""The state of a flow in numbers, counted when asked."""

from __future__ import annotations

from datawald.domain.flow import Flow
from datawald.usecases.core import Core


def counts(core: Core, flow: Flow) -> dict[str, int]:
    """Records of a flow per status letter."""
    return core.store.records.count_by("tx_status", {"route": flow.route})
