"""What every command of ``datawald`` has: examples in its help, ``--json``, and subcommands that are imported when used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from datawald.cli.output import Output

#: What is typed, and what it does.
Examples = Sequence[tuple[str, str]]


def _asks_for_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    root = context.find_root()
    if not isinstance(root.obj, Output):
        root.obj = Output()
    root.obj.json = root.obj.json or value


def json_option() -> click.Option:
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_asks_for_json,
        help="Print one JSON document instead of tables; errors too.",
    )


def _write_examples(examples: Examples, formatter: click.HelpFormatter) -> None:
    with formatter.section("Examples"):
        for typed, does in examples:
            formatter.write_text(f"# {does}")
            # never wrapped: it is there to be copied
            formatter.write(f"{'':>{formatter.current_indent}}{typed}\n")


class Verb(click.Command):
    """A command with examples and ``--json``."""

    def __init__(self, *args: Any, examples: Examples = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples
        self.params.append(json_option())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)


class Noun(click.Group):
    """A group of verbs about one thing (``datawald records …``)."""

    command_class = Verb

    def __init__(self, *args: Any, examples: Examples = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples
        self.params.append(json_option())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)


@dataclass(frozen=True)
class Lazy:
    """Where a command is, and its line in the overview: known without importing it."""

    module: str
    attribute: str
    short_help: str
    hidden: bool = False

    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


class LazyGroup(Noun):
    """A group whose commands are imported when they are used, so that the overview comes at once.

    A command whose module is not installed is left out: the others work. ``further`` is asked for a name that is not
    among them.
    """

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, Lazy],
        further: Callable[[str], click.Command | None] = lambda _: None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.lazy = lazy
        self.further = further

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, one in self.lazy.items() if one.installed()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        one = self.lazy.get(cmd_name)
        if one is None:
            return self.further(cmd_name)
        if not one.installed():
            return None
        command = getattr(importlib.import_module(one.module), one.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{one.module}:{one.attribute} is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self.lazy[name].short_help) for name in self.list_commands(ctx) if not self.lazy[name].hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
