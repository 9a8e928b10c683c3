"""What every command prints: tables for people, or one JSON document for scripts.

Results go to standard output, everything about the work itself (progress, notes, errors) to standard error, so that a
pipe gets results only.
"""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Columns of output that no terminal shows: lines are not broken for it.
PIPE_WIDTH = 240

#: Cells up to this length are never broken.
SHORT = 19

#: How the statuses of records, runs and checks look on a terminal.
STYLES = {
    "delivered": "green",
    "waiting": "yellow",
    "processing": "cyan",
    "failed": "red",
    "in doubt": "magenta",
    "ignored": "dim",
    "dropped": "dim",
    "Completed": "green",
    "Incompleted": "yellow",
    "Fail": "red",
    "well": "green",
    "not well": "red",
    "paused": "red",
    "enabled": "green",
    "disabled": "dim",
}


class Stop(click.ClickException):
    """Ends a command with one line that names what is wrong, and one that says how to mend it."""

    def __init__(self, message: str, fix: str = "", *, code: str = "error", exit_code: int = 1) -> None:
        super().__init__(message)
        self.fix = fix
        self.code = code
        self.exits_with = exit_code


class Output:
    """Where a command's words go."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        # width None: the terminal's own
        self.console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
        self.notes = Console(
            stderr=True, highlight=False, markup=False, width=None if sys.stderr.isatty() else PIPE_WIDTH
        )

    def document(self, document: Any) -> None:
        """The command's result as JSON, where ``--json`` asks for it; a command prints one."""
        if self.json:
            click.echo(jsonlib.dumps(document, ensure_ascii=False, indent=2, default=str))

    def line(self, document: Any) -> None:
        """One of a series of results as JSON (``--watch``)."""
        if self.json:
            click.echo(jsonlib.dumps(document, ensure_ascii=False, default=str))

    def say(self, text: str = "", style: str = "") -> None:
        """A line of the result, for people."""
        if not self.json:
            self.console.print(Text(clean(text), style=style))

    def note(self, text: str) -> None:
        """A line about the work, on standard error."""
        self.notes.print(Text(clean(text), style="dim"))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """Rows for people."""
        if not self.json:
            self.console.print(table(columns, rows, title))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Table:
    """A table whose cells are plain text, with statuses coloured. A column of numbers stands on the right."""
    listed = [[cell(value) for value in row] for row in rows]
    made = Table(
        box=box.SIMPLE_HEAD,
        show_header=any(columns),
        title=title or None,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        padding=(0, 1),
    )
    for index, column in enumerate(columns):
        values = [row[index].plain for row in listed if row[index].plain]
        numbers = bool(values) and all(value.replace(",", "").replace(".", "").isdigit() for value in values)
        # short ones stay whole on a narrow terminal: a time in two lines is hard to read
        whole = max(map(len, values), default=0) <= SHORT
        made.add_column(column, justify="right" if numbers else "left", overflow="fold", no_wrap=whole)
    for row in listed:
        made.add_row(*row)
    return made


def cell(value: Any) -> Text:
    if isinstance(value, Text):
        return value
    text = "" if value is None else clean(str(value))
    return Text(text, style=STYLES.get(text, ""))


def clean(text: str) -> str:
    """``text`` without control characters: what a customer typed into a shop must not steer an operator's terminal."""
    return "".join(char if char in "\n\t" or not _is_control(char) else "\ufffd" for char in text)


def _is_control(char: str) -> bool:
    # C0, DEL and C1, and the marks that turn the direction of writing
    return ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def current() -> Output:
    """The output of the command that runs."""
    found = click.get_current_context().find_root().obj
    if not isinstance(found, Output):  # a command called by itself, as tests of a single one do
        found = click.get_current_context().find_root().obj = Output()
    return found


def confirm(question: str, yes: bool) -> None:
    """Asks before something that touches much. Without a terminal, ``--yes`` has to say it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Stop(f"{question} Nobody is here to ask.", "add --yes", code="usage", exit_code=2)
    if not click.confirm(question, err=True):
        raise Stop("nothing was done", code="declined")


# --- times and counts --------------------------------------------------------------------------------------------------


def moment(text: str | None) -> datetime | None:
    """A time of the API."""
    return datetime.fromisoformat(text) if text else None


def local(text: str | None, *, seconds: bool = True) -> str:
    """A time of the API as the clock on this machine's wall says it."""
    at = moment(text)
    if at is None:
        return ""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if seconds else f"{at.astimezone():%Y-%m-%d %H:%M}"


def both(text: str | None) -> str:
    """A time of the API, local and in UTC."""
    at = moment(text)
    if at is None:
        return ""
    here, there = at.astimezone(), at.astimezone(UTC)
    if not here.utcoffset():
        return f"{there:%Y-%m-%d %H:%M:%S} UTC"
    return f"{here:%Y-%m-%d %H:%M:%S %Z} ({there:%Y-%m-%d %H:%M:%S} UTC)"


def ago(text: str | None, now: datetime | None = None) -> str:
    """How long a time of the API is past or ahead, in the one unit that matters."""
    at = moment(text)
    if at is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    size = abs(seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if size >= length:
            words = f"{size / length:.0f} {unit}"
            break
    else:
        words = f"{size:.0f} s"
    return f"{words} ago" if seconds >= 0 else f"in {words}"


#: Status letters in the order people read them.
LETTERS = {
    "S": "delivered",
    "N": "waiting",
    "P": "processing",
    "F": "failed",
    "?": "in doubt",
    "I": "ignored",
    "X": "dropped",
}


def named_counts(letters: Mapping[str, int]) -> dict[str, int]:
    """Counts by status letter as JSON has them: every status by its long name."""
    return {name.replace(" ", "_"): letters.get(letter, 0) for letter, name in LETTERS.items()}


def plural(number: int, one: str, many: str = "") -> str:
    """``1 record``, ``2 records``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
