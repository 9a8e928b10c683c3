"""Secrets of connections: references (``env:NAME``, ``file:PATH``) or sealed with the master key (``sealed:…``, Fernet).

They are opened in the process that needs them, and nowhere else.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from datawald.domain.errors import BadInput, Misconfigured

SEALED = "sealed:"


def new_master_key() -> str:
    """A fresh master key. Lose it and every sealed secret is lost with it."""
    return Fernet.generate_key().decode()


def seal(plain: str, master_key: str) -> str:
    """``plain`` as it may be stored. Raises ``Misconfigured`` for a master key that is none."""
    return SEALED + _fernet(master_key).encrypt(plain.encode()).decode()


def check_reference(text: str, field: str) -> None:
    """Refuses a secret in the clear. Raises ``BadInput``."""
    if not text.startswith(("env:", "file:", SEALED)):
        raise BadInput(
            "a secret is written as env:NAME, file:PATH or sealed (datawald config seal), never in the clear",
            field=field,
        )


def open_secret(text: str, master_key: str) -> str:
    """The secret that ``text`` refers to. Raises ``Misconfigured`` naming the reference, never the secret."""
    if text.startswith("env:"):
        name = text.removeprefix("env:")
        if name not in os.environ:
            raise Misconfigured(f"the secret env:{name} is not set in this process")
        return os.environ[name]
    if text.startswith("file:"):
        path = Path(text.removeprefix("file:"))
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Misconfigured(f"the secret {text} cannot be read: {error.strerror}") from error
    if text.startswith(SEALED):
        try:
            return _fernet(master_key).decrypt(text.removeprefix(SEALED).encode()).decode()
        except InvalidToken:
            raise Misconfigured("a sealed secret does not open with this process's master key") from None
    raise Misconfigured("a secret is neither env:NAME, file:PATH nor sealed")


def _fernet(master_key: str) -> Fernet:
    if not master_key:
        raise Misconfigured("no master key: set DATAWALD_MASTER_KEY (datawald keys master prints a new one)")
    try:
        return Fernet(master_key)
    except ValueError:
        raise Misconfigured("the master key is not 32 bytes in url-safe base64") from None
