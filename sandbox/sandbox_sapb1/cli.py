"""The command ``sandbox-sapb1``: run the simulator, and steer a running one."""

from __future__ import annotations

import inspect
import json
from datetime import datetime
from typing import Any

import click

import sandbox_faults
from sandbox_faults.commands import call_sandbox, fault_commands
from sandbox_sapb1.app import create_app
from sandbox_sapb1.clock import Clock
from sandbox_sapb1.company import COMPANY_DB
from sandbox_sapb1.sessions import PASSWORD_VARIABLE, USER_NAME
from sandbox_sapb1.switches import BadSwitch, Switches

DEFAULT_PORT = 50001
URL_VARIABLE = "SANDBOX_SAPB1_URL"
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"

url_option = click.option(
    "--url", default=DEFAULT_URL, envvar=URL_VARIABLE, show_default=True, show_envvar=True, help="Running sandbox."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A simulator of SAP Business One's Service Layer (v2) for tests and demos.

    `serve` runs it; the other commands steer a running one.
    """


def _tell(answer: Any) -> None:
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))


@main.command(
    epilog=f"Log in with company {COMPANY_DB}, user {USER_NAME}, password from ${PASSWORD_VARIABLE} (default: sandbox)."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, help="Port to bind to.")
@click.option("--threads", default=32, show_default=True, help="Requests worked at once.")
@click.option(
    "--now",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]),
    default=None,
    help="Server-local time to start from; it runs on from there. Default: the real time.",
)
@click.option("--utc-offset", default=1.0, show_default=True, help="Hours the server's zone is ahead of UTC.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Switch of the company, see `company`. Repeatable.",
)
def serve(
    host: str, port: int, threads: int, now: datetime | None, utc_offset: float, assignments: tuple[str, ...]
) -> None:
    """Run the simulator until it is interrupted. All state is in memory and begins at the seed."""
    switches = dict(_assignment(one) for one in assignments)
    try:
        app = create_app(Clock(now, utc_offset), switches)
    except BadSwitch as error:
        raise click.BadParameter(str(error), param_hint="--set") from error
    click.echo(f"SAP Business One sandbox: http://{host}:{port}/b1s/v2  company {COMPANY_DB}, user {USER_NAME}")
    sandbox_faults.serve(app, host, port, threads)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="--set")
    return name, value


@main.command()
@url_option
@click.option("--keys", is_flag=True, help="List every U_DW_KEY with the number of its live orders.")
def state(url: str, keys: bool) -> None:
    """Count orders, drafts, deliveries and totals; name keys that more than one live order carries."""
    _tell(call_sandbox(url, "GET", f"/_sandbox/state{'?keys=all' if keys else ''}"))


@main.command()
@url_option
@click.option("--after", default=0, help="Begin behind this DocEntry.")
@click.option("--limit", default=500, show_default=True, help="At most so many.")
def orders(url: str, after: int, limit: int) -> None:
    """List orders with their keys, totals and lines."""
    _tell(call_sandbox(url, "GET", f"/_sandbox/orders?after={after}&limit={limit}"))


@main.command()
@url_option
@click.argument("assignments", nargs=-1, metavar="[NAME=VALUE]...")
def company(url: str, assignments: tuple[str, ...]) -> None:
    """Show the company's switches, or set some.

    Rates are set as rate.USD=0.91 and taken away as rate.USD= (nothing).
    """
    wanted: dict[str, Any] = {}
    for name, value in map(_assignment, assignments):
        if name.startswith("rate."):
            wanted.setdefault("rates", {})[name.removeprefix("rate.")] = value or None
        else:
            wanted[name] = value
    _tell(call_sandbox(url, "POST" if wanted else "GET", "/_sandbox/company", wanted or None))


# Every switch and its default belong to the help, and only there are they listed.
_defaults = ", ".join(f"{name}={json.dumps(value)}" for name, value in Switches().as_json().items())
company.help = f"{inspect.cleandoc(company.help or '')}\n\nSwitches with defaults: {_defaults}."


@main.command()
@url_option
@click.option("--count", type=int, default=None, help="Deliver the oldest COUNT open orders.")
@click.option(
    "--order", "doc_entries", type=int, multiple=True, help="Deliver the order with this DocEntry. Repeatable."
)
@click.option("--all", "everything", is_flag=True, help="Deliver all open orders.")
@click.option("--partial", is_flag=True, help="Only half of the first open line, rounded up.")
@click.option("--tracking", is_flag=True, help="With a tracking number.")
def deliver(
    url: str, count: int | None, doc_entries: tuple[int, ...], everything: bool, partial: bool, tracking: bool
) -> None:
    """Book deliveries of open orders."""
    wanted = {
        "count": count,
        "doc_entries": list(doc_entries),
        "all": everything,
        "partial": partial,
        "tracking": tracking,
    }
    _tell(call_sandbox(url, "POST", "/_sandbox/deliver", wanted))


@main.command()
@url_option
@click.argument("doc_entry", type=int)
@click.argument("tracking")
def track(url: str, doc_entry: int, tracking: str) -> None:
    """Write a tracking number into a delivery without moving its UpdateDate."""
    _tell(call_sandbox(url, "POST", f"/_sandbox/deliveries/{doc_entry}/track", {"tracking": tracking}))


@main.command("add-item")
@url_option
@click.argument("item_code")
@click.option("--name", default=None, help="Item name.")
def add_item(url: str, item_code: str, name: str | None) -> None:
    """Add an item to the catalogue."""
    _tell(call_sandbox(url, "POST", "/_sandbox/items", {"item_code": item_code, "item_name": name}))


@main.command()
@url_option
def drafts(url: str) -> None:
    """List the drafts."""
    _tell(call_sandbox(url, "GET", "/_sandbox/drafts"))


@main.command()
@url_option
@click.argument("draft", type=int, required=False)
def approve(url: str, draft: int | None) -> None:
    """Approve the DRAFT with this DocEntry, or all that wait: each becomes an order."""
    _tell(call_sandbox(url, "POST", f"/_sandbox/drafts/{draft}/approve" if draft else "/_sandbox/drafts/approve"))


@main.command()
@url_option
@click.argument("draft", type=int)
@click.option("--remove", is_flag=True, help="Remove the draft instead of marking it.")
def reject(url: str, draft: int, remove: bool) -> None:
    """Reject the DRAFT with this DocEntry."""
    _tell(call_sandbox(url, "POST", f"/_sandbox/drafts/{draft}/reject", {"remove": remove}))


@main.command("drop-sessions")
@url_option
def drop_sessions(url: str) -> None:
    """End all sessions: the next request of each answers 401, code 301."""
    _tell(call_sandbox(url, "DELETE", "/_sandbox/sessions"))


@main.command()
@url_option
def reset(url: str) -> None:
    """Back to the seed: no documents, no sessions, no faults, switches as at the start."""
    _tell(call_sandbox(url, "POST", "/_sandbox/reset"))


main.add_command(fault_commands(DEFAULT_URL, URL_VARIABLE), "fault")
