"""Who may call: OAuth 1.0a with a signature that is really checked, bearer tokens, and the refusals of both.

The signature is computed as Magento computes it, from the raw request line. Two of its habits are traps and follow
from the rules here by themselves: ``+`` in a query is not a space, and the path is normalised (``%2F``, ``%2B``,
``%26`` are decoded) before it is signed, so that a client who signed what he sent is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import quote, unquote

from sandbox_magento2.errors import MagentoError

#: Length of every OAuth key, token and secret; another length is refused by name.
KEY_LENGTH = 32
#: Seconds an admin token is good for (documented default).
ADMIN_TOKEN_SECONDS = 4 * 3600
#: A timestamp may be old (one decades old was accepted), but not this far ahead (from Magento's nonce check).
MAX_SECONDS_AHEAD = 600
#: Nonces remembered; Magento, too, clears old ones away.
NONCES_KEPT = 200_000
#: The integration's consumer id, as it stands in the refusal of a reused nonce. Database ids arrive as text.
CONSUMER_ID = "1"

_ENVIRONMENT = "SANDBOX_MAGENTO2_"
_HEADER_PARAMETER = re.compile(r"oauth_[a-z_-]+")
#: Percent-encodings of these characters are undone in the path before signing.
_DECODED_IN_PATH = re.compile(r"[A-Za-z0-9_.~\-/:@&=+$,;%]")


@dataclass(frozen=True)
class Credentials:
    """The one integration and the one admin user of the shop. Fixed, public, for sandboxes only."""

    consumer_key: str = "sandboxconsumerkey00000000000001"
    consumer_secret: str = "sandboxconsumersecret00000000001"  # noqa: S105
    access_token: str = "sandboxaccesstoken00000000000001"  # noqa: S105
    access_token_secret: str = "sandboxaccesstokensecret00000001"  # noqa: S105
    admin_user: str = "admin"
    admin_password: str = "sandbox-Admin1"  # noqa: S105

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Credentials:
        """The defaults, each replaced by ``SANDBOX_MAGENTO2_<NAME>`` where that is set."""
        found = {
            field.name: environment[_ENVIRONMENT + field.name.upper()]
            for field in fields(cls)
            if environment.get(_ENVIRONMENT + field.name.upper())
        }
        credentials = cls(**found)
        for name in ("consumer_key", "consumer_secret", "access_token", "access_token_secret"):
            if len(getattr(credentials, name)) != KEY_LENGTH:
                raise ValueError(f"{_ENVIRONMENT}{name.upper()} must have {KEY_LENGTH} characters")
        return credentials


@dataclass(frozen=True)
class SignedRequest:
    """The parts of a request that authorisation looks at, exactly as they came over the wire."""

    method: str
    scheme: str
    host: str
    raw_path: str
    raw_query: str
    authorization: str


def not_authorized(resource: str) -> MagentoError:
    """401 for a missing token, a bad one, and a missing right alike; 403 was never seen."""
    return MagentoError(401, "The consumer isn't authorized to access %resources.", {"resources": resource})


class Gate:
    """Lets requests in or refuses them. Remembers nonces, the newest :data:`NONCES_KEPT` of them."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._lock = threading.Lock()
        self._nonces: dict[str, None] = {}

    def check(self, request: SignedRequest, resource: str, bearer_allowed: bool) -> None:
        """Raise the refusal that Magento would answer; return if the caller is the integration or the admin."""
        header = request.authorization
        if header[:7].lower() == "bearer ":
            token = header[7:].strip()
            if self._is_admin_token(token):
                return
            # While the setting is off a valid token and a bogus one look the same.
            if bearer_allowed and hmac.compare_digest(token, self.credentials.access_token):
                return
            raise not_authorized(resource)
        if "oauth " in header.lower():
            self._check_oauth(request)
            return
        raise not_authorized(resource)

    # --- OAuth 1.0a ---------------------------------------------------------------------------------------------------

    def _check_oauth(self, request: SignedRequest) -> None:
        """The checks in Magento's order: a nonce is used up even if the signature then turns out wrong."""
        sent = _oauth_parameters(request.authorization)
        version = sent.get("oauth_version")
        if version is not None and version != "1.0":
            raise MagentoError(400, 'The "%1" Oauth version isn\'t supported.', [version])
        _check_required(sent)
        if len(sent["oauth_token"]) != KEY_LENGTH:
            raise MagentoError(400, "The token length is invalid. Check the length and try again.")
        if sent["oauth_signature_method"] != "HMAC-SHA256":
            raise MagentoError(400, "Signature method %1 is not supported", [sent["oauth_signature_method"]])
        if len(sent["oauth_consumer_key"]) != KEY_LENGTH:
            raise MagentoError(401, "Consumer key is not the correct length")
        if not hmac.compare_digest(sent["oauth_consumer_key"], self.credentials.consumer_key):
            raise MagentoError(401, "A consumer having the specified key does not exist")
        self._use_nonce(sent["oauth_nonce"], sent["oauth_timestamp"])
        if not hmac.compare_digest(sent["oauth_token"], self.credentials.access_token):
            raise MagentoError(401, "Specified token does not exist")
        expected = sign(request, sent, self.credentials.consumer_secret, self.credentials.access_token_secret)
        if not hmac.compare_digest(expected.encode(), sent["oauth_signature"].encode()):
            raise MagentoError(401, "The signature is invalid. Verify and try again.")

    def _use_nonce(self, nonce: str, timestamp: str) -> None:
        if not timestamp.isdigit() or not 0 < int(timestamp) <= time.time() + MAX_SECONDS_AHEAD:
            raise MagentoError(400, "The timestamp value in the oauth_timestamp parameter is invalid.")
        with self._lock:
            if nonce in self._nonces:
                raise MagentoError(401, "The nonce is already being used by the consumer with ID %1", [CONSUMER_ID])
            self._nonces[nonce] = None
            if len(self._nonces) > NONCES_KEPT:
                del self._nonces[next(iter(self._nonces))]

    # --- the admin's token --------------------------------------------------------------------------------------------

    def admin_token(self, user: str, password: str) -> str:
        """A JWT for the right name and password."""
        if (user, password) != (self.credentials.admin_user, self.credentials.admin_password):
            raise MagentoError(
                401,
                "The account sign-in was incorrect or your account is disabled temporarily. "
                "Please wait and try again later.",
            )
        now = int(time.time())
        head = _base64url(json.dumps({"kid": "1", "alg": "HS256"}).encode())
        claims = {"uid": 1, "utypid": 2, "iat": now, "exp": now + ADMIN_TOKEN_SECONDS}
        text = f"{head}.{_base64url(json.dumps(claims).encode())}"
        return f"{text}.{self._seal(text)}"

    def _seal(self, text: str) -> str:
        return _base64url(hmac.digest(self.credentials.consumer_secret.encode(), text.encode(), hashlib.sha256))

    def _is_admin_token(self, token: str) -> bool:
        text, _, seal = token.rpartition(".")
        if not text or not hmac.compare_digest(seal, self._seal(text)):
            return False
        payload = text.partition(".")[2]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return bool(claims["exp"] > time.time())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _oauth_parameters(header: str) -> dict[str, str]:
    found = {}
    for part in header[header.lower().index("oauth ") + 6 :].split(","):
        name, equals, value = part.strip().partition("=")
        if equals and _HEADER_PARAMETER.search(name):
            found[unquote(name)] = unquote(value.strip('"'))
    return found


def _check_required(sent: Mapping[str, str]) -> None:
    message = '"%fieldName" is required. Enter and try again.'
    names = ("consumer_key", "signature", "signature_method", "nonce", "timestamp", "token")
    missing = [{"fieldName": f"oauth_{name}"} for name in names if f"oauth_{name}" not in sent]
    if len(missing) == 1:
        raise MagentoError(400, message, missing[0])
    if missing:
        errors = [{"message": message, "parameters": one} for one in missing]
        raise MagentoError(400, "One or more input exceptions have occurred.", errors=errors)


def sign(request: SignedRequest, oauth: Mapping[str, str], consumer_secret: str, token_secret: str) -> str:
    """The HMAC-SHA256 signature of a request. The JSON body is not signed."""
    parameters = {name: value for name, value in oauth.items() if name != "oauth_signature"}
    for pair in request.raw_query.split("&"):
        halves = pair.split("=")
        if len(halves) == 2 and not _HEADER_PARAMETER.search(halves[0]):
            # unquote, not unquote_plus: a "+" stays a plus here while clients sign a space, hence the known refusal.
            parameters[unquote(halves[0])] = unquote(halves[1])
    encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parameters.items())
    url = f"{request.scheme}://{_without_default_port(request.scheme, request.host)}{normalise_path(request.raw_path)}"
    base = "&".join(
        quote(part, safe="~")
        for part in (request.method.upper(), url, "&".join(f"{name}={value}" for name, value in encoded))
    )
    key = f"{quote(consumer_secret, safe='~')}&{quote(token_secret, safe='~')}"
    return base64.b64encode(hmac.digest(key.encode(), base.encode(), hashlib.sha256)).decode()


def normalise_path(raw_path: str) -> str:
    """The path as Magento's URI library rewrites it before signing."""

    def decoded(match: re.Match[str]) -> str:
        char = chr(int(match.group(1), 16))
        return char if _DECODED_IN_PATH.fullmatch(char) else match.group().upper()

    return re.sub(r"%([0-9A-Fa-f]{2})", decoded, raw_path)


def _without_default_port(scheme: str, host: str) -> str:
    host = host.lower()
    return host.removesuffix({"http": ":80", "https": ":443"}.get(scheme, "\0"))
