"""A Magento 2 REST simulator for tests and demos: one shop in memory, seeded and deterministic.

It plays what was seen on a running Magento Open Source 2.4.6 (the recorded exchanges under ``seed/`` are part of the
shop) and refuses everything else with a 501 that names the route or field. It knows nothing of the connectors that
speak to it. ``python -m sandbox_magento2 --help`` starts and steers it; tests start it as a process too.
"""

from sandbox_magento2.app import create_app
from sandbox_magento2.shop import Shop

__all__ = ["Shop", "create_app"]
