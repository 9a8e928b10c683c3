"""One mapping per entity: each module's ``MAPPING`` is declared as entry point ``b1.<module>``."""
