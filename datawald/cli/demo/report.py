"""How the demo speaks: calm lines while it runs, tables at its end; or one JSON document and nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from datawald.cli.demo.checks import SHOWN, Check


@dataclass
class Act:
    """A part of the story: what it was about, how long it took, what it came to."""

    title: str
    began: float
    seconds: float = 0.0
    told: str = ""


@dataclass
class Report:
    """Everything the demo has to say, in the order it happened."""

    console: Console
    acts: list[Act] = field(default_factory=list)
    #: Each with the title of its act.
    checks: list[tuple[str, Check]] = field(default_factory=list)
    #: Rows of the table that sets both systems side by side: what, in Magento, staged, in SAP.
    sides: list[tuple[str, str, str, str]] = field(default_factory=list)
    #: How many things were not sent, by status and reason.
    unsent: Counter[tuple[str, str]] = field(default_factory=Counter)
    numbers: dict[str, Any] = field(default_factory=dict)
    #: Where to look if something is wrong.
    look: list[str] = field(default_factory=list)
    #: What kept the story from its end; "" where nothing did.
    trouble: str = ""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{escape(text)}[/bold]\n", highlight=False)

    def note(self, text: str) -> None:
        self.console.print(f"  {text}", markup=False, highlight=False)

    @contextmanager
    def act(self, title: str) -> Iterator[Act]:
        """Times a part of the story and prints its line when it is done."""
        act = Act(title, time.monotonic())
        yield act
        act.seconds = time.monotonic() - act.began
        self.acts.append(act)
        self.console.print(f"  {act.title:<12}  {act.told:<84} {act.seconds:6.1f} s", markup=False, highlight=False)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Something moves while there is nothing to count; nothing where nobody watches."""
        if self.console.is_terminal and not self.console.quiet:
            with self.console.status(text):
                yield
        else:
            yield

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Bar]:
        """A bar that is gone when its work is; nothing where nobody watches."""
        columns = (TextColumn(f"  {title:<12}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        watched = self.console.is_terminal and not self.console.quiet
        with Progress(*columns, console=self.console, transient=True, disable=not watched) as progress:
            yield Bar(progress, progress.add_task(title, total=total))

    def check(self, *checks: Check) -> None:
        """What the act that just ended promised."""
        self.checks += [(self.acts[-1].title, check) for check in checks]

    @property
    def ok(self) -> bool:
        return not self.trouble and bool(self.checks) and all(check.ok for _, check in self.checks)

    # --- the end --------------------------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """Prints what it all came to."""
        self._print_sides()
        self._print_unsent()
        self._print_checks()
        verdict = "Every promise held" if self.ok else "Not every promise held"
        rate = self.numbers.get("orders_per_second")
        pace = f", {rate:.1f} orders a second from Magento to SAP" if rate else ""
        if self.trouble:
            self.console.print(f"\n  [bold red]✗[/bold red] {escape(self.trouble)}", highlight=False)
        if self.look:
            self.console.print("\n  [dim]Where to look[/dim]")
            for path in self.look:
                self.console.print(f"  {path}", markup=False, highlight=False)
        self.console.print(f"\n[bold]{verdict}[/bold], {self.seconds:.0f} s in all{pace}.\n", highlight=False)

    def _print_sides(self) -> None:
        if not self.sides:
            return
        table = Table(box=None, padding=(0, 2), header_style="dim", show_edge=False)
        table.add_column("")
        for name in ("Magento", "staged", "SAP"):
            table.add_column(name, justify="right")
        for row in self.sides:
            table.add_row(*row)
        self.console.print()
        self.console.print(table)

    def _print_unsent(self) -> None:
        if not self.unsent:
            return
        self.console.print("\n  [dim]Not sent, and why[/dim]")
        for (status, why), count in sorted(self.unsent.items(), key=lambda one: (-one[1], one[0])):
            self.console.print(f"  {count:>5}  {status}: {why}", markup=False, highlight=False)

    def _print_checks(self) -> None:
        last = ""
        for act, check in self.checks:
            if act != last:
                self.console.print(f"\n  [dim]{act}[/dim]", highlight=False)
                last = act
            mark = "[green]✓[/green]" if check.ok else "[bold red]✗[/bold red]"
            self.console.print(f"  {mark} {escape(check.promise)} [dim]({check.count})[/dim]", highlight=False)
            for line in check.wrong[:SHOWN]:
                self.console.print(f"      {line}", markup=False, highlight=False)
            if len(check.wrong) > SHOWN:
                self.console.print(f"      and {len(check.wrong) - SHOWN} more", highlight=False)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            **self.numbers,
            "acts": [{"act": act.title, "told": act.told, "seconds": round(act.seconds, 2)} for act in self.acts],
            "not_sent": [
                {"count": count, "status": status, "why": why} for (status, why), count in self.unsent.items()
            ],
            "checks": [
                {"act": act, "promise": one.promise, "ok": one.ok, "count": one.count, "wrong": list(one.wrong)}
                for act, one in self.checks
            ],
            "trouble": self.trouble,
            "look": self.look,
        }


class Bar:
    """The part of a progress bar that the story moves."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def at(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=max(total, done))


def places_to_look(folder: Path, services: Sequence[str]) -> list[str]:
    """The logs of a run that went wrong, those with something to say first."""
    logs = [folder / "logs" / f"{name}.log" for name in services]
    return [str(log) for log in logs if log.exists() and log.stat().st_size]
