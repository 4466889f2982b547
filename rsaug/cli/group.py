"""How commands end: one sentence and an exit code, whatever went wrong."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from rsaug.cli import messages, stopping
from rsaug.errors import RsaugError, RunError

FAILED = 1
"""Exit code of a command that ran, where something failed or is not whole."""

BAD_INPUT = 2
"""Exit code where something that was given cannot be used, or a result cannot be written."""

# Typer has its parser's errors in another module with each release.
_TyperError: Any = typer.BadParameter.__mro__[2]

_BEFORE_THE_COMMAND = ("-q", "--quiet", "-v", "--verbose", "--version")


class _PlainHelp:
    """Says no type beside ``--help``, which takes no value."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option, or None where there is none."""
        option = super().get_help_option(ctx)  # type: ignore[misc]  # typer's, mixed in
        if option is not None:
            option.metavar = ""
        return option


class Group(_PlainHelp, TyperGroup):
    """Commands that belong together."""


class Command(_PlainHelp, TyperCommand):
    """A command that says how to go on when it is stopped."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            typer.Exit: when stopped by Ctrl-C or SIGTERM.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            _say_stopped(ctx, stop)
        except SystemExit as end:
            taken = _stop_of(end)
            if taken is None:
                raise
            _say_stopped(ctx, taken)


def _stop_of(end: SystemExit) -> KeyboardInterrupt | None:
    """The signal that Lightning took for itself, if that is why it leaves."""
    if isinstance(end.__context__, KeyboardInterrupt):
        return end.__context__
    return stopping.Terminated() if type(end).__name__ == "SIGTERMException" else None


def _say_stopped(ctx: Any, stop: KeyboardInterrupt) -> None:
    stopping.heard()
    name = ctx.command_path.partition(" ")[2]
    messages.note(f"Stopped. {stopping.how_to_go_on(name)}")
    raise typer.Exit(stopping.exit_code(stop)) from stop


class Commands(Group):
    """Commands that end in one sentence where something is wrong; see `FAILED`, `BAD_INPUT`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, those for completion among them, which the help does without."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            if param.name in ("install_completion", "show_completion"):
                param.hidden = True
        return params

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command that the arguments name, and leave with its exit code."""
        leaves = extra.pop("standalone_mode", True)
        try:
            ended = super().main(*args, **{**extra, "standalone_mode": False})
        except _TyperError as error:
            code = _say_usage(error)
        except RsaugError as error:
            code = FAILED if isinstance(error, RunError) else BAD_INPUT
            _say(str(error), error)
        except MemoryError as error:
            code = FAILED
            _say(
                "There is not enough memory; ask for less at once, or close other programs.", error
            )
        except OSError as error:
            code = _say_os_error(error)
        except typer.Abort:  # Ctrl-C before a command began
            code = stopping.INTERRUPTED
        else:
            code = ended if isinstance(ended, int) else 0
        if not leaves:
            return code
        sys.exit(code)


def settle(app: typer.Typer) -> None:
    """Have all commands and groups of an application behave as said here."""
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        group.cls = Group
        if group.typer_instance is not None:
            settle(group.typer_instance)


def _say_usage(error: Any) -> int:
    """Say what the parser found wrong, as one sentence."""
    if type(error).__name__ == "NoArgsIsHelpError":  # the help is on stdout by now
        return BAD_INPUT
    said = " ".join(error.format_message().split())
    ctx = getattr(error, "ctx", None)
    option = getattr(error, "option_name", None)
    if option in _BEFORE_THE_COMMAND:
        said = f"{option} goes before the command, as in rsaug {option} synth."
    elif ctx is not None:
        more = f"ee {ctx.command_path} --help."
        said = f"{said} S{more}" if said.endswith("?") else f"{said.rstrip('.')}; s{more}"
    messages.error(said)
    return int(error.exit_code)


def _say_os_error(error: OSError) -> int:
    """Say what the system refused; what no module of ours has better words for."""
    if error.errno == errno.EPIPE:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    what = error.strerror or str(error) or type(error).__name__
    where = f"{error.filename}: " if error.filename is not None else ""
    _say(f"{where}{what}.", error)
    return BAD_INPUT


def _say(sentence: str, error: Exception) -> None:
    if messages.is_verbose():
        typer.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    messages.error(sentence)
