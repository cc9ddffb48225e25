"""The command group. To start fast, it imports the module of a command only when that command is called.

It has the short help of each command, so that ``mssbench --help`` imports no command.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from importlib import import_module
from typing import Any

import click
from mssbench_service.names import suggestion

from .. import __version__

COMMANDS = {
    "cancel": ("control", "Cancel a run, in whichever process it runs."),
    "data": ("data", "Get, check and convert datasets."),
    "delete": ("control", "Delete a run with its results."),
    "demo": ("runs", "Run a benchmark of all oracle separators on the demo dataset."),
    "diff": ("control", "Compare the results of two runs."),
    "evaluate": ("folders", "Score the estimates in a folder."),
    "gc": ("control", "Remove files that no run needs."),
    "hrir": ("hrir", "Inspect HRIR sets."),
    "leaderboard": ("reports", "Write a static site that compares runs."),
    "list": ("status", "List all runs, newest first."),
    "pull": ("transfer", "Copy a run or dataset that mssbench push wrote at URL."),
    "push": ("transfer", "Copy a run or a dataset to URL, such as s3://bucket/folder."),
    "report": ("reports", "Write the tables and the report of a run again."),
    "rescore": ("runs", "Score the estimates of a run again."),
    "resume": ("runs", "Resume a run that was cancelled or interrupted."),
    "retry": ("runs", "Retry the failed cells of a run."),
    "run": ("runs", "Run a benchmark: render, separate, evaluate, report."),
    "separate": ("separate", "Separate audio files into their stems."),
    "serve": ("services", "Start the API and the dashboard."),
    "services": ("services", "Show the health of all services; start and stop them on this machine."),
    "status": ("status", "Show the status of runs."),
    "synth": ("folders", "Render the tracks of a dataset binaurally."),
    "weights": ("weights", "Fetch and verify the weights of the models."),
    "worker": ("services", "Start a worker on a queue."),
}
"""Name of a command -> its module in this package, and its short help."""


class Choice(click.Choice):  # type: ignore[type-arg]  # not generic before click 8.2
    """A choice that suggests a value for a misspelt one."""

    def get_invalid_choice_message(self, value: str, ctx: click.Context | None) -> str:
        message = super().get_invalid_choice_message(value, ctx).rstrip(".")
        return f"{message}{suggestion(value, self.choices)}"


class Command(click.Command):
    """A command whose options with one value may be given once. By itself, click takes the last one.

    Its help shows all defaults but empty ones and those that are read from the environment, and keeps the line of its
    example, so that it can be copied.
    """

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        for option in self.params:
            if isinstance(option, click.Option) and (callable(option.default) or option.default == ""):
                option.show_default = False

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        text = self.help or ""
        self.help = re.sub(r"(?m)^( *)(?=Example: )", r"\1\b\n\1", text)
        super().format_help_text(ctx, formatter)
        self.help = text

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = Counter(text.partition("=")[0] for text in itertools.takewhile(lambda one: one != "--", args))
        for option in self.params:
            if isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.count):
                times = sum(given[name] for name in option.opts)
                if times > 1:
                    ctx.fail(f"{option.opts[0]} is given {times} times; it takes one value")
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group whose commands are of :class:`Command`. A misspelt command gets a suggestion."""

    command_class = Command
    group_class = type

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{suggestion(args[0], names)}")
        return super().resolve_command(ctx, args)


class Commands(Group):
    """The commands of :data:`COMMANDS`."""

    group_class = Group  # type: ignore[assignment]  # declared as `type[type]`

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            import_module(f".{COMMANDS[cmd_name][0]}", __package__)  # it adds its commands to `cli`
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
)
@click.version_option(__version__, prog_name="mssbench")
def cli() -> None:
    """Binaural MSS Bench: does a music source separation model keep the spatial image of binaural audio?

    Example: mssbench demo
    """
