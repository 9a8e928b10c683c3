"""``sandbox-magento2``: start the simulator, and steer a running one."""

from __future__ import annotations

import gc
import json
from typing import Any

import click

from sandbox_faults import serve as serve_app
from sandbox_faults.commands import call_sandbox, fault_commands
from sandbox_magento2.app import create_app
from sandbox_magento2.auth import Credentials
from sandbox_magento2.control import BREAKS, CHANGES
from sandbox_magento2.generator import KINDS
from sandbox_magento2.shop import STORE_VIEWS

DEFAULT_URL = "http://127.0.0.1:8081"
URL_VARIABLE = "SANDBOX_MAGENTO2_URL"

_url = click.option(
    "--url", default=DEFAULT_URL, envvar=URL_VARIABLE, show_default=True, show_envvar=True, help="Running sandbox."
)


@click.group()
def main() -> None:
    """A Magento 2 REST simulator: a seeded shop in memory, with switches and faults.

    Start one with "serve"; the other commands steer a running one.
    """


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8081, show_default=True, help="Port to listen on.")
@click.option("--orders", default=0, show_default=True, help="Generated orders to begin with, besides the recorded.")
@click.option("--seed", default=1, show_default=True, help="Seed of the generated orders.")
@click.option("--threads", default=32, show_default=True, help="Requests worked at once.")
def serve(host: str, port: int, orders: int, seed: int, threads: int) -> None:
    """Run the simulator until it is told to end (SIGTERM, Ctrl-C).

    Its credentials are fixed and printed; the variables SANDBOX_MAGENTO2_CONSUMER_KEY, _CONSUMER_SECRET,
    _ACCESS_TOKEN, _ACCESS_TOKEN_SECRET, _ADMIN_USER and _ADMIN_PASSWORD replace them.
    """
    credentials = Credentials.from_environment()
    app = create_app(orders, seed, credentials)
    click.echo(f"Magento sandbox on http://{host}:{port}/rest/V1")
    click.echo(f"consumer key {credentials.consumer_key} secret {credentials.consumer_secret}")
    click.echo(f"access token {credentials.access_token} secret {credentials.access_token_secret}")
    click.echo(f"admin {credentials.admin_user} / {credentials.admin_password}")
    # Every order placed is kept; with the usual thresholds the garbage collector would walk through all of them often.
    gc.set_threshold(100_000, 50, 1_000)
    serve_app(app, host, port, threads)


def _show(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@main.command()
@_url
@click.option("--count", default=1, show_default=True, help="How many.")
@click.option("--seed", default=None, help="The same seed gives the same carts.")
@click.option("--kind", type=click.Choice(list(KINDS)), default=None, help="Kind of order; without it any.")
@click.option("--store", type=click.Choice([view.code for view in STORE_VIEWS]), default=None, help="Store view.")
@click.option("--sku", default=None, help="Add a row with this SKU, known or not.")
def place(url: str, count: int, seed: str | None, kind: str | None, store: str | None, sku: str | None) -> None:
    """Place orders, as customers do; prints their increment ids."""
    asked = {"count": count, "seed": seed, "kind": kind, "store": store, "sku": sku}
    body = {name: value for name, value in asked.items() if value is not None}
    for increment_id in call_sandbox(url, "POST", "/_sandbox/orders/place", body)["increment_ids"]:
        click.echo(increment_id)


@main.command("break")
@_url
@click.option("--how", type=click.Choice(list(BREAKS)), default="sku", show_default=True, help="What is wrong with it.")
@click.option("--store", type=click.Choice([view.code for view in STORE_VIEWS]), default=None, help="Store view.")
def break_(url: str, how: str, store: str | None) -> None:
    """Place an order that cannot be booked as it is; prints its increment id.

    \b
    sku     a row with a SKU that SAP lacks
    tax     a tax code nobody mapped
    fee     a fee in the grand total that no field explains
    region  a region nobody knows
    """
    body = {"break": how, **({"store": store} if store else {})}
    click.echo(call_sandbox(url, "POST", "/_sandbox/orders/place", body)["increment_ids"][0])


@main.command()
@_url
@click.argument("increment_id")
@click.option("--what", type=click.Choice(CHANGES), default="address", show_default=True, help="What changes.")
@click.option("--value", default=None, help="New value; for an address a JSON object of its fields.")
@click.option("--bump/--no-bump", default=True, show_default=True, help="Whether updated_at moves.")
def change(url: str, increment_id: str, what: str, value: str | None, bump: bool) -> None:
    """Change an order the way Magento's admin can: never its rows."""
    body: dict[str, Any] = {"what": what, "bump": bump}
    if value is not None:
        body["value"] = json.loads(value) if what.endswith("address") else value
    _show(call_sandbox(url, "POST", f"/_sandbox/orders/{increment_id}/change", body))


@main.command()
@_url
@click.argument("increment_id")
def cancel(url: str, increment_id: str) -> None:
    """Cancel an order."""
    _show(call_sandbox(url, "POST", f"/_sandbox/orders/{increment_id}/cancel"))


@main.command()
@_url
@click.argument("increment_id")
def invoice(url: str, increment_id: str) -> None:
    """Invoice all that is open of an order (it is paid then)."""
    _show(call_sandbox(url, "POST", f"/_sandbox/orders/{increment_id}/invoice"))


@main.command()
@_url
@click.argument("increment_id")
@click.option("--track", multiple=True, help="A tracking number; may be given several times.")
def ship(url: str, increment_id: str, track: tuple[str, ...]) -> None:
    """Ship all that is open of an order by hand, as a clerk does in Magento's admin."""
    tracks = [{"track_number": number, "title": "DHL", "carrier_code": "custom"} for number in track]
    _show(call_sandbox(url, "POST", f"/_sandbox/orders/{increment_id}/ship", {"tracks": tracks}))


@main.command()
@_url
def state(url: str) -> None:
    """Show orders by state, totals, shipments with their tracks, mails and switches."""
    _show(call_sandbox(url, "GET", "/_sandbox/state"))


@main.command()
@_url
@click.argument("settings", nargs=-1, metavar="[NAME=JSON]...")
def switch(url: str, settings: tuple[str, ...]) -> None:
    """Show the switches, or set some: switch enable_integration_as_bearer=true commit_lag_seconds=2."""
    if not settings:
        _show(call_sandbox(url, "GET", "/_sandbox/switches"))
        return
    body = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        try:
            body[name] = json.loads(value) if equals else True
        except ValueError:
            body[name] = value
    _show(call_sandbox(url, "POST", "/_sandbox/switches", body))


@main.command()
@_url
@click.option("--orders", default=0, show_default=True, help="Generated orders to begin with.")
@click.option("--seed", default=1, show_default=True, help="Their seed.")
def reset(url: str, orders: int, seed: int) -> None:
    """Forget everything and open the shop anew."""
    _show(call_sandbox(url, "POST", "/_sandbox/reset", {"orders": orders, "seed": seed}))


main.add_command(fault_commands(DEFAULT_URL, URL_VARIABLE), "fault")
