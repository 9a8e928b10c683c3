"""What every ERP system's agency starts from."""

from __future__ import annotations

from typing import ClassVar

from datawald.domain.agent import Agent
from datawald.domain.entity import Side


class Backoffice(Agent):
    """A system where the books are kept. It takes orders and gives shipments.

    An agency adds a connector and one mapping per entity (``entities/<name>.py``); everything else, from batches to
    outcomes, is :class:`~datawald.domain.agent.Agent`'s.
    """

    side: ClassVar[Side] = "backoffice"
