"""For monitors: alive, ready, and what the API is. Without a key."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app

from datawald.api.openapi import document
from datawald.usecases.core import Core

blueprint = Blueprint("health", __name__)


@blueprint.get("/health/live")
def live() -> dict[str, Any]:
    """The process answers."""
    return {"live": True}


@blueprint.get("/health/ready")
def ready() -> dict[str, Any]:
    """The store answers too."""
    core: Core = current_app.extensions["datawald"]
    core.store.ping()
    return {"ready": True}


@blueprint.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """This API, as OpenAPI 3.1."""
    return document(current_app)
