"""API keys: ``dw_<id>_<secret>``; only the secret's hash is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from datawald.domain.errors import BadInput
from datawald.staging.store import ApiKey
from datawald.usecases.core import Core

#: What a key may be for. ``read`` looks; ``worker`` claims, stages and reports, and is given sealed secrets; ``operator``
#: configures, asks for runs, replays and drops. Every key may read.
SCOPES = ("read", "worker", "operator")


def create(core: Core, name: str, scopes: Sequence[str]) -> str:
    """Makes a key and returns it: the only time it is seen. Raises ``BadInput`` for an unknown scope."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise BadInput(f"unknown scope {', '.join(unknown) or 'none'}; known: {', '.join(SCOPES)}", field="scopes")
    id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    core.store.keys.insert(ApiKey(id, name, tuple(dict.fromkeys(scopes)), hash_of(secret), core.now_ms()))
    return f"dw_{id}_{secret}"


def verify(core: Core, text: str) -> ApiKey | None:
    """The stored key that ``text`` is, or None."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != "dw":
        return None
    found = core.store.keys.get(parts[1])
    return found if found and hmac.compare_digest(found.hash, hash_of(parts[2])) else None


def hash_of(secret: str) -> str:
    # the secrets are 256 random bits, so a fast hash is as good as a slow one
    return hashlib.sha256(secret.encode()).hexdigest()
