"""Registers commands with a short help that is never truncated, examples and common options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from . import settings

Function = TypeVar("Function", bound=Callable[..., None])

Quiet = Annotated[bool | None, typer.Option("--quiet", "-q", help="Results and errors only.")]
Verbose = Annotated[bool | None, typer.Option("--verbose", "-v", help="Every step and log line.")]
NoColor = Annotated[bool | None, typer.Option("--no-color", help="No colours; also NO_COLOR=1.")]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="DIR",
        help="Project folder; also BENCH_PROJECT.",
    ),
]


def options(
    quiet: Quiet = None, verbose: Verbose = None, no_color: NoColor = None, project: Project = None
) -> None:
    """Apply the common options; the last one on the command line wins."""
    color = None if no_color is None else not no_color
    settings.update(quiet=quiet, verbose=verbose, color=color, project=project)


_CONTEXT = inspect.Parameter("_context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
_COMMON = tuple(inspect.signature(options, eval_str=True).parameters.values())


def command(
    app: typer.Typer, short: str, examples: Sequence[str] = (), name: str | None = None
) -> Callable[[Function], Function]:
    """Register a function as a command; `short` is its line in the list, at most 60 characters."""

    def register(function: Function) -> Function:
        app.command(name, short_help=short, epilog=epilog(examples))(_with_options(function))
        return function

    return register


def group(short: str, examples: Sequence[str] = (), *, no_args_is_help: bool = True) -> typer.Typer:
    """An app of subcommands; without one it shows its help, or calls its `callback`."""
    return typer.Typer(
        help=short,
        short_help=short,
        epilog=epilog(examples),
        no_args_is_help=no_args_is_help,
        invoke_without_command=not no_args_is_help,
        rich_markup_mode=None,
    )


def callback(app: typer.Typer) -> Callable[[Function], Function]:
    """Register what a group does without a subcommand; it takes the common options."""

    def register(function: Function) -> Function:
        app.callback()(_with_options(function))
        return function

    return register


def epilog(examples: Sequence[str]) -> str | None:
    """Examples, one per line: `\\b` prevents rewrapping."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in examples)]) if examples else None


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(function, eval_str=True)
    own = signature.parameters.values()
    context = next((p.name for p in own if p.annotation is typer.Context), "")
    parameters = (*own, *_COMMON, *(() if context else (_CONTEXT,)))

    @functools.wraps(function)
    def run(**values: Any) -> None:
        here = values[context] if context else values.pop(_CONTEXT.name)
        settings.update(command=here.command_path)
        options(**{parameter.name: values.pop(parameter.name) for parameter in _COMMON})
        function(**values)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
