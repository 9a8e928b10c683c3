"""The conformance kit: proves that an agency keeps the promises DataWald makes in its name.

Whoever writes an agency subclasses :class:`TargetConformance` or :class:`SourceConformance` in a test module, says how to
reach the system and how to look into it past the agency, and runs pytest. ``docs/howto/write-an-agency.md`` shows one.

Nothing in DataWald imports this package: pytest is needed to test, not to run.
"""

from __future__ import annotations

try:
    import pytest
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError("datawald.testing is for tests and needs pytest: pip install pytest") from error

# before they are imported: a failed promise then shows the values on both sides
pytest.register_assert_rewrite("datawald.testing.agencies", "datawald.testing.plain")

from datawald.testing.agencies import SourceConformance, TargetConformance  # noqa: E402
from datawald.testing.life import Life  # noqa: E402
from datawald.testing.wire import Wire  # noqa: E402

__all__ = ["Life", "SourceConformance", "TargetConformance", "Wire"]
