"""The abstract backoffice: where the books are kept. Agencies of ERP systems subclass :class:`Backoffice`."""

from datawald_backoffice.backoffice import Backoffice

__all__ = ["Backoffice"]
