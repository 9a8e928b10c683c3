"""The ``fault`` command group that every sandbox's command line mounts."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import click

from sandbox_faults.rules import BadRule, FaultRule


def call_sandbox(url: str, method: str, path: str, body: object = None) -> Any:
    """Call a sandbox's control route and return its JSON; a refusal becomes a readable command-line error."""
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("must begin with http:// or https://", param_hint="--url")
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        url.rstrip("/") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise click.ClickException(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise click.ClickException(f"no sandbox answers at {url}: {error}") from error


def fault_commands(default_url: str, environment: str) -> click.Group:
    """The group, talking to ``default_url`` unless ``--url`` or the variable named by ``environment`` says else."""
    url_option = click.option(
        "--url", default=default_url, envvar=environment, show_default=True, show_envvar=True, help="Running sandbox."
    )

    @click.group()
    def fault() -> None:
        """Put up and take down faults: latency, refusals, cut connections."""

    @fault.command()
    @url_option
    @click.argument("rule")
    def add(url: str, rule: str) -> None:
        """Add the fault RULE, a JSON object.

        \b
        kind         latency | status | reset_before | reset_after_commit | reset_commit_later | drip
        method path  which requests; path is a glob without the query (default: all)
        times        how often it may happen (default: until removed)
        every        on every nth matching request
        probability  0..1, with seed
        seconds      latency: delay; reset_commit_later: until the commit; drip: between bytes
        status       with retry_after, body, content_type

        Example: fault add '{"kind": "reset_after_commit", "method": "POST", "path": "/b1s/v2/Orders", "times": 1}'
        """
        try:
            raw = json.loads(rule)
            FaultRule.parse(raw)
        except (ValueError, BadRule) as error:
            raise click.BadParameter(str(error), param_hint="RULE") from error
        click.echo(json.dumps(call_sandbox(url, "POST", "/_sandbox/faults", raw)))

    @fault.command("list")
    @url_option
    def list_faults(url: str) -> None:
        """Show all faults with how often they matched and happened, as JSON lines."""
        for rule in call_sandbox(url, "GET", "/_sandbox/faults")["faults"]:
            click.echo(json.dumps({name: value for name, value in rule.items() if value is not None}))

    @fault.command()
    @url_option
    @click.option("--id", "rule_id", type=int, default=None, help="Remove only this one.")
    def clear(url: str, rule_id: int | None) -> None:
        """Remove all faults, or one."""
        path = "/_sandbox/faults" if rule_id is None else f"/_sandbox/faults/{rule_id}"
        click.echo(json.dumps(call_sandbox(url, "DELETE", path)))

    return fault
