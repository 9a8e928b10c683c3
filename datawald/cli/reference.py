"""``docs/cli.md``, made from the help of the commands: ``datawald reference > docs/cli.md``.

From what the commands declare, not from click's own layout, so that another version of click changes nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from datawald.cli.command import Noun, Verb

HEAD = """\
# The command line

<!-- Made from the commands' own help: `datawald reference > docs/cli.md`. Do not edit. -->

Every command takes `--json` and `--help`. A failure is one line on standard error that names what is wrong and one with
the fix; with `--json` it is `{"error": {"code", "message", "fix", "detail", "exit_code"}}` on standard output too.

| exit code | means |
|---|---|
| 0 | done; `sync`: the run ended Completed |
| 1 | error; `records replay` and `drop`: some were refused; `config check`: the file has mistakes |
| 2 | wrong usage |
| 3 | `sync`: the run ended Fail, at least one record failed |
| 4 | `sync`: the run ended Incompleted, records wait or are in doubt |
| 5 | `doctor`: something is not well |
| 130 | Ctrl-C |
"""


@click.command(
    cls=Verb, hidden=True, examples=(("datawald reference > docs/cli.md", "after any change of a help text"),)
)
@click.pass_context
def reference(context: click.Context) -> None:
    """Print the reference of all commands as Markdown."""
    root = context.find_root()
    click.echo(render(root.command, root.info_name or "datawald"), nl=False)


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, by what is typed; hidden ones are left out."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, f"{path} {name}")


def render(command: click.Command, path: str) -> str:
    """The reference as Markdown."""
    return "\n".join([HEAD, *(_section(one, typed) for typed, one in commands(command, path))])


def _section(command: click.Command, typed: str) -> str:
    lines = [f"## {typed}" if typed.count(" ") < 2 else f"### {typed}", "", inspect.cleandoc(command.help or ""), ""]
    context = click.Context(command, info_name=typed)
    lines += ["```", " ".join([typed, *command.collect_usage_pieces(context)]), "```", ""]
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden and one.name != "json"]
    if options:
        lines += ["| option | |", "|---|---|", *(_row(option, context) for option in options), ""]
    if isinstance(command, Verb | Noun) and command.examples:
        lines.append("```")
        for example, does in command.examples:
            lines += [f"# {does}", example]
        lines += ["```", ""]
    return "\n".join(lines)


def _row(option: click.Option, context: click.Context) -> str:
    names, text = option.get_help_record(context) or (", ".join(option.opts), option.help or "")
    return f"| `{names}` | {text} |".replace("\n", " ")
