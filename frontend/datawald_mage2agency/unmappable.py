"""What a mapping of this agency raises where Magento's payload cannot be made canonical."""

from __future__ import annotations


class Unmappable(ValueError):
    """No canonical record can be made of the payload. The message is for the operator, who reads it on the record."""
