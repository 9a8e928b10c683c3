"""What the core does: stage, claim, report, pull, tick, and what people ask of it. No Flask, no Celery here."""

from datawald.usecases.core import Core, Limits

__all__ = ["Core", "Limits"]
