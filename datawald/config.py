"""What a process needs to start: addresses, its key, its limits. From ``datawald.toml`` and the environment.

The environment wins (``DATAWALD_MONGODB_URI``); ``DATAWALD_CONFIG`` names another file. Everything that all processes must
see alike (connections, flows, value maps) is not here but in the core.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from datawald.domain.errors import Misconfigured


class Settings(BaseSettings):
    """Settings of one process. Each is documented in ``docs/configuration.md``."""

    model_config = SettingsConfigDict(env_prefix="DATAWALD_", extra="forbid")

    #: Where staging keeps its documents. A replica set in production; an embedded server otherwise.
    mongodb_uri: str = "mongodb://127.0.0.1:27017/?directConnection=true"
    #: The database's name.
    database: str = Field(default="datawald", pattern=r"^[A-Za-z0-9_-]+$")
    #: Where doorbells travel.
    broker_url: str = "amqp://guest@127.0.0.1:5672//"
    #: The core API, as workers and the command line reach it.
    core_url: str = "http://127.0.0.1:8800"
    #: This process's API key.
    api_key: SecretStr = SecretStr("")
    #: Opens sealed secrets (Fernet, 32 bytes in url-safe base64). Only where secrets are sealed or opened.
    master_key: SecretStr = SecretStr("")
    #: How long a worker holds a claim, seconds.
    lease_s: float = Field(default=90, gt=0)
    #: How long a puller holds a flow between two pages, seconds.
    pull_lease_s: float = Field(default=120, gt=0)
    #: How often beat ticks, seconds.
    tick_s: float = Field(default=1, gt=0)
    #: Multiplies the quiet period; anything but 1 breaks the promise of one effect and is for tests of that promise.
    quiet_factor: float = Field(default=1, ge=0)
    #: Largest request body the API reads, bytes.
    max_body_bytes: int = Field(default=32 * 1024 * 1024, gt=0)
    #: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get("DATAWALD_CONFIG", "datawald.toml"))
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file))


def load() -> Settings:
    """The settings of this process. Raises ``Misconfigured`` naming each wrong one and where it came from."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))} (DATAWALD_{'_'.join(map(str, one['loc'])).upper()}): {one['msg']}"
            for one in error.errors()
        )
        raise Misconfigured(f"settings: {wrong}") from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{os.environ.get('DATAWALD_CONFIG', 'datawald.toml')} is not TOML: {error}") from None
