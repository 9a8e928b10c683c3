"""Tills that take vouchers: the worked example of ``docs/howto/write-an-agency.md``."""
