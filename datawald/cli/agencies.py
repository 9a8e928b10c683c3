"""``datawald <system> <verb>``: what an agency adds to the command line through its class (:attr:`Agent.verbs`).

The core names no system: the commands are found by the installed agents' own word.
"""

from __future__ import annotations

import click

from datawald import config
from datawald.cli import output
from datawald.cli.command import Noun, Verb
from datawald.cli.core import connect
from datawald.cli.output import Stop
from datawald.domain import registry
from datawald.domain.agent import Agent
from flask_dwconnector import DWConnector

#: Exit code where a line is not well, as the doctor's.
NOT_WELL = 5


def commands_of(system: str) -> click.Group | None:
    """The commands that agents of ``system`` add, or None where there are none."""
    verbs: dict[str, str] = {}
    for agent in _agents_of(system).values():
        verbs |= agent.verbs
    if not verbs:
        return None
    examples = [(f"datawald {system} {verb}", line) for verb, line in verbs.items()]
    group = Noun(name=system, help=f"What the agency of {system} adds.", examples=examples)
    for verb, line in verbs.items():
        group.add_command(_command(system, verb, line))
    return group


def _agents_of(system: str) -> dict[str, type[Agent]]:
    found: dict[str, type[Agent]] = {}
    for name in registry.agent_names():
        try:
            agent = registry.agent(name)
        except Exception:  # noqa: S112 - a package that cannot be imported adds nothing
            continue
        if agent.system == system:
            found[name] = agent
    return found


def _command(system: str, verb: str, line: str) -> click.Command:
    def run(connection: str | None, yes: bool) -> int:
        from datawald.worker.agents import Agents

        out, core = output.current(), connect()
        name = connection or _only_one(core, system)
        agent = Agents(core, config.load().master_key.get_secret_value()).get(name)
        if verb not in agent.verbs or agent.system != system:
            raise Stop(f"the agent of {name} knows no {verb}", f"its agent is one of {agent.system}", code="bad_input")
        output.confirm(f"{line.rstrip('.')}: {name} ({agent.connection.endpoint})?", yes)
        checks = list(getattr(agent, verb)())
        well = all(check.ok for check in checks)
        lines = [{"check": one.name, "ok": one.ok, "detail": one.detail, "fix": one.fix} for one in checks]
        out.document({"connection": name, "ok": well, "checks": lines})
        out.table(
            (name, "state", "what was seen", "fix"),
            [(one.name, "well" if one.ok else "not well", one.detail, one.fix) for one in checks],
        )
        return 0 if well else NOT_WELL

    return Verb(
        name=verb,
        callback=run,
        help=f"{line}\n\nIt may write into the system, and asks first. CONNECTION may be left out where there is only one of "
        f"{system}. The API key needs the scope worker, and the connection's secrets must be known here.\n\n"
        f"Exit code: 0 all is well, {NOT_WELL} something is not.",
        params=[
            click.Argument(["connection"], required=False),
            click.Option(["--yes"], is_flag=True, help="Do not ask."),
        ],
        examples=[(f"datawald {system} {verb}", line)],
    )


def _only_one(core: DWConnector, system: str) -> str:
    agents = _agents_of(system)
    found = [str(one["name"]) for one in core.connections() if one["agent"] in agents]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Stop(f"there is no connection of {system}", "datawald config apply FILE makes one", code="not_found")
    raise Stop(f"there are {len(found)} connections of {system}", f"name one: {', '.join(found)}", exit_code=2)
