"""What every use case is given: the store, the clock, the bells, the limits."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field

from datawald.domain.errors import DataWaldError, NotFound
from datawald.domain.flow import Flow
from datawald.domain.ports import Bells, Clock
from datawald.staging.store import Store, StoredConnection


class ClockOff(DataWaldError):
    """This process's clock and the store's disagree: it grants and ends nothing until they agree again."""


@dataclass(frozen=True)
class Limits:
    """Lengths of time and sizes that the rules are counted with."""

    #: How long a worker holds a claim.
    lease_ms: int = 90_000
    #: How long a puller holds a flow between two pages.
    pull_lease_ms: int = 120_000
    #: A bell not heard within this time is not worth hearing: the store rings again.
    bell_ttl_s: int = 10
    #: A paused connection is probed this often.
    probe_every_ms: int = 60_000
    #: Multiplies the quiet period. 1 in every installation; 0 switches the rule off, for the tests that prove it matters.
    quiet_factor: float = 1.0
    #: How long settled claims and finished sync tasks are kept.
    keep_ms: int = 30 * 24 * 3_600_000


@dataclass(frozen=True)
class Core:
    """The core of one DataWald, as use cases see it."""

    store: Store
    clock: Clock
    bells: Bells
    limits: Limits = field(default_factory=Limits)
    chance: random.Random = field(default_factory=random.SystemRandom)

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def trusted_now_ms(self) -> int:
        """The time, for whoever grants or ends a lease. Raises :class:`ClockOff`."""
        now_ms = self.clock.now_ms()
        if not self.clock.trusted(self.limits.lease_ms // 10):
            raise ClockOff("this process's clock and the store's are apart by more than a tenth of a lease")
        return now_ms

    def connection(self, name: str) -> StoredConnection:
        found = self.store.connections.get(name)
        if found is None:
            raise NotFound(f"there is no connection {name!r}")
        return found

    def flow(self, name: str) -> Flow:
        found = self.store.flows.get(name)
        if found is None:
            raise NotFound(f"there is no flow {name!r}")
        return found

    def flow_carrying(self, entity: str, source: str, target: str) -> Flow:
        """The flow of a route. Raises ``NotFound``: what no flow carries would be rung for by nobody."""
        found = self.store.flows.find({"entity": entity, "source": source, "target": target}, limit=1)
        if not found:
            raise NotFound(f"no flow carries {entity} from {source} to {target}: make one (it may stay disabled)")
        return found[0]

    def quiet_ms_of(self, name: str) -> int:
        """The quiet period of a connection; of one that was deleted meanwhile, what a new one would have."""
        return self.quiet_ms(self.store.connections.get(name) or StoredConnection(name, "", ""))

    def quiet_ms(self, connection: StoredConnection) -> int:
        """How long a record in doubt is left alone: the request's total deadline, plus the longest time the server may
        still work on it, plus a fifth of a lease for clocks."""
        full = (connection.deadline_s + connection.server_may_work_s) * 1000 + self.limits.lease_ms // 5
        return round(full * self.limits.quiet_factor)

    def new_id(self) -> str:
        return uuid.uuid4().hex
