"""The ``datawald`` command: which commands there are, and what a failure looks like.

A failure is one line on standard error that names what is wrong and one that says how to mend it, never a traceback;
with ``--json`` it is a JSON document on standard output too. Exit codes: 0 done, 1 error, 2 wrong usage, 3 and 4 how a
run ended (``sync``), 5 something is not well (``doctor``), 130 Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import click

from datawald.cli.command import Lazy, LazyGroup
from datawald.cli.output import Output, Stop, clean

#: Every command, in the order of the overview: where it is, and its line there.
COMMANDS = {
    "demo": Lazy("datawald.cli.demo", "demo", "Show DataWald at work: a shop and a company, all on this machine"),
    "up": Lazy("datawald.cli.up", "up", "Start a whole DataWald on this machine, and keep it running"),
    "status": Lazy("datawald.cli.status", "status", "Flows, connections, counts: the state of things at a glance"),
    "sync": Lazy("datawald.cli.sync", "sync", "Run a flow now, and wait for how it ends"),
    "records": Lazy("datawald.cli.records", "records", "Find records, see every hop, replay or drop them"),
    "doctor": Lazy("datawald.cli.doctor", "doctor", "Check everything this installation needs, with the fix for each"),
    "config": Lazy("datawald.cli.config", "config", "Connections, flows and value maps, from a file"),
    "keys": Lazy("datawald.cli.keys", "keys", "API keys, and the master key for sealed secrets"),
    "api": Lazy("datawald.cli.worker", "api", "Serve the API"),
    "worker": Lazy("datawald.cli.worker", "worker", "Read and deliver: answer the doorbells"),
    "beat": Lazy("datawald.cli.worker", "beat", "Ring the tick"),
    "reference": Lazy("datawald.cli.reference", "reference", "Print docs/cli.md", hidden=True),
}


def _of_an_agency(name: str) -> click.Command | None:
    """``datawald b1 …``: what an installed agency adds, looked for only where nothing else has the name."""
    from datawald.cli.agencies import commands_of

    return commands_of(name)


@click.command(
    cls=LazyGroup,
    lazy=COMMANDS,
    further=_of_an_agency,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=(
        ("datawald status", "how are things?"),
        ("datawald records show 100000123", "where is order 100000123?"),
        ("datawald sync orders_us --dry-run", "what would a run do?"),
        ("datawald doctor", "why does it not work?"),
    ),
)
@click.option("--core", metavar="URL", help="The core API; DATAWALD_CORE_URL otherwise.")
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="This process's settings; DATAWALD_CONFIG or ./datawald.toml otherwise.",
)
@click.option("--debug", is_flag=True, help="Log what goes on, and show tracebacks.")
@click.version_option(version("datawald"), "-V", "--version", prog_name="datawald")
@click.pass_context
def cli(context: click.Context, core: str | None, config_file: str | None, debug: bool) -> None:
    """DataWald moves orders, shipments and what else a shop and its books share, and proves that nothing is lost.

    Commands speak to the core over HTTP: DATAWALD_CORE_URL says where it is, DATAWALD_API_KEY who you are. Both may stand
    in ./datawald.toml as core_url and api_key.

    An agency may add commands of its own under its system's name; `datawald doctor` names them where they help.
    """
    if not isinstance(context.obj, Output):
        context.obj = Output()
    # through the environment, so that processes begun from here see the same
    if core:
        os.environ["DATAWALD_CORE_URL"] = core
    if config_file:
        os.environ["DATAWALD_CONFIG"] = config_file
    if debug:
        from datawald import logs

        logs.configure("DEBUG")
    else:
        logging.getLogger().addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Problem:
    """A failure as it is told."""

    message: str
    fix: str = ""
    code: str = "error"
    exit_code: int = 1
    detail: Any = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        result = cli.main(arguments, prog_name="datawald", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except BrokenPipeError:  # whoever read us has seen enough (head)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - or the interpreter complains while it ends
        return 0
    except click.Abort as abort:
        if isinstance(abort.__cause__, KeyboardInterrupt) or isinstance(abort.__context__, KeyboardInterrupt):
            return 130
        return _tell(Problem("nobody answered the question; nothing was done", code="declined"), arguments)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if "--debug" in arguments:
            logging.getLogger(__name__).exception("the command failed")
        return _tell(explain(error), arguments)


def _tell(problem: Problem, arguments: Sequence[str]) -> int:
    output = Output(json="--json" in arguments)
    error = {
        "code": problem.code,
        "message": problem.message,
        "fix": problem.fix,
        "detail": problem.detail,
        "exit_code": problem.exit_code,
    }
    output.document({"error": error})
    click.echo(f"datawald: {_one_line(problem.message)}", err=True)
    if problem.fix:
        click.echo(f"  fix: {_one_line(problem.fix)}", err=True)
    return problem.exit_code


def _one_line(text: str) -> str:
    return clean(" ".join(text.split()))


def explain(error: Exception) -> Problem:
    """What went wrong, in words that lead on."""
    if isinstance(error, Stop):
        return Problem(error.message, error.fix, error.code, error.exits_with)
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "datawald"
        return Problem(error.format_message(), f"{path} --help", "usage", 2)
    if isinstance(error, click.ClickException):
        return Problem(error.format_message(), exit_code=error.exit_code)
    # imported late: an overview must not wait for pydantic and requests
    from pymongo.errors import PyMongoError

    from datawald import logs
    from datawald.domain.errors import DataWaldError

    if isinstance(error, DataWaldError):
        return _explain_ours(error)
    if isinstance(error, PyMongoError):
        return Problem(
            f"the store does not answer: {_first_of(logs.redact(str(error)))}",
            "is it running? DATAWALD_MONGODB_URI says where it is (datawald up starts one)",
            "store_unavailable",
        )
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Problem(f"{where}{error.strerror or error}", code="os_error")
    return Problem(
        f"a fault of ours: {type(error).__name__}: {logs.redact(str(error))[:500]}",
        "run it again with datawald --debug … and report what it says",
        "internal",
    )


def _first_of(text: str) -> str:
    """The driver's message without its inventory of timeouts and servers."""
    return text.split(" (configured")[0].split(", Timeout:")[0][:300]


def _explain_ours(error: Any) -> Problem:
    from datawald import config
    from datawald.domain.errors import BadInput, Conflict, InDoubt, Misconfigured, NotFound, Retryable

    text = str(error).removeprefix("core: ")
    if error.system != "core":
        match error:
            case BadInput():
                return Problem(f"{error.field}: {text}" if error.field else text, code="bad_input", exit_code=2)
            case Misconfigured() if "master key" in text and "datawald keys master" not in text:
                return Problem(text, "DATAWALD_MASTER_KEY must be the key that sealed it", "misconfigured")
            case Misconfigured():
                return Problem(text, code="misconfigured")
            case Retryable():
                return Problem(text, "try again; datawald doctor looks at it", "try_again")
        return Problem(text)
    url = config.load().core_url
    match error:
        case Retryable() | InDoubt() if error.status is None:
            return Problem(
                f"the core does not answer at {url}: {text}",
                "is `datawald up` running? Else set DATAWALD_CORE_URL to where the core is",
                "core_unreachable",
            )
        case InDoubt():
            return Problem(
                f"{text}; it may have been done", "look with datawald status before you repeat it", "in_doubt"
            )
        case Retryable():
            return Problem(text, "try again; datawald doctor looks at it", "try_again")
        case Misconfigured() if error.status == 401:
            return Problem(
                text,
                "set DATAWALD_API_KEY to a key of this core; on its machine "
                "`datawald keys create NAME --scope operator --direct` makes one",
                "unauthorized",
            )
        case Misconfigured() if error.status == 403:
            return Problem(
                text, "use a key that has it, or make one: datawald keys create NAME --scope SCOPE", "forbidden"
            )
        case Misconfigured() if error.status is None or error.status < 400:
            return Problem(f"{url}: {text}", "DATAWALD_CORE_URL must name a DataWald core", "core_unreachable")
        case BadInput():
            return Problem(f"{error.field}: {text}" if error.field else text, code="bad_input", exit_code=2)
        case NotFound():
            return Problem(text, code="not_found")
        case Conflict():
            return Problem(text, code="conflict")
    return Problem(text, f"is {url} a DataWald core? set DATAWALD_CORE_URL", "core_unreachable")


if __name__ == "__main__":
    sys.exit(main())
