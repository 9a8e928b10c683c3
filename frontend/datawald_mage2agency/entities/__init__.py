"""One mapping per entity: the module's ``MAPPING`` is found through the entry point ``mage2.<entity>``."""
