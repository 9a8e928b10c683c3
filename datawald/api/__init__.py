"""The core's HTTP API: Flask-RESTful over the use cases. One resource serves every entity."""

from datawald.api.app import create_app

__all__ = ["create_app"]
