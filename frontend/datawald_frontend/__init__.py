"""The abstract frontend: where customers buy. Agencies of shop systems subclass :class:`Frontend`."""

from datawald_frontend.frontend import Frontend

__all__ = ["Frontend"]
