"""upswing train: from an environment's name to a trained policy."""

from __future__ import annotations

from typing import Any

import rich_click as click
from rich.text import Text

from upswing.cli.borrowed import BORROWED
from upswing.cli.doctor import DOCTOR_OPTIONS, doctor_hooks
from upswing.cli.options import CONTEXT, DIM, MANY, field_options
from upswing.cli.output import VIEW_OPTIONS, Output, trust_option
from upswing.cli.settings import Chosen, choose
from upswing.cli.spelling import spelled
from upswing.config import FIELDS

START, TOOLS = "Where settings come from", "From CleanRL and ManiSkill"

SETTINGS_OPTIONS = [
    click.RichOption(
        ["--config", "config_file"],
        metavar="FILE",
        panel=START,
        help="Take settings from a TOML file, a finished run's folder, or its config.json. Flags go before it.",
    ),
    click.RichOption(
        ["--preset", "preset_name"], metavar="ID", panel=START, help="Use the preset of another environment."
    ),
    click.RichOption(["--no-preset"], is_flag=True, panel=START, help="Do not use the environment's preset."),
    click.RichOption(
        ["--write-config"],
        metavar="FILE.toml",
        panel=START,
        help="Write all settings to a new TOML file, each explained, instead of training.",
    ),
    trust_option(START),
]


class BorrowedOption(click.RichOption):
    """The option of another tool's flag."""

    def __init__(self, name: str):
        flag = BORROWED[name]
        super().__init__(
            ["--" + name.replace("_", "-"), f"borrowed_{name}"],
            default=None,
            metavar="" if flag.switch else "VALUE",
            help=flag.help,
            hidden=not flag.shown,
            panel=TOOLS,
        )

    def get_rich_table_row(self, ctx: click.RichContext, formatter: Any, panel: Any = None) -> list[Any]:
        """Two cells: how it is written, and what it does."""
        flag = self.opts[0] if self.metavar else self.opts[0].replace("--", "--[no-]", 1)
        return [Text.assemble((flag, "cyan"), " ", (self.metavar or "", DIM), no_wrap=True), Text(self.help or "")]


class TrainCommand(click.RichCommand):
    """A command that understands every spelling of its settings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell the flags as the options below expect them, then parse."""
        own = {
            opt
            for param in self.get_params(ctx)
            if param.name not in FIELDS and not (param.name or "").startswith("borrowed_")
            for opt in (*param.opts, *param.secondary_opts)
            if opt.startswith("--")
        }
        return super().parse_args(ctx, spelled(args, own))


def _train(env: str | None, env_flag: str | None, **options: Any) -> int:
    """Train a policy for ENV: a Gymnasium id, or module:EnvId.

    Settings come from the defaults (Stable-Baselines3's), then the preset of the environment if it has one, then
    [cyan]--config[/], then flags; the later ones win. Flags may be written with - or _, and CleanRL's and ManiSkill's
    names are understood. A schedule is [cyan]linear:START:END[/], [cyan]cosine:START:END[/] or
    [cyan]piecewise:0=START,0.5=VALUE[/]; the learning rate may also be [cyan]adaptive:START[/].
    """
    output = Output.taken_from(options)
    watching = doctor_hooks(options, output.lang)
    chosen = chosen_from(env, env_flag, options)
    if options["write_config"]:
        from upswing.config import write_toml

        click.echo(f"Wrote {write_toml(chosen.config, options['write_config'])}.")
        return 0
    with output.view(str(chosen.config.env), chosen.notices) as view:
        from upswing.training import train as start

        result = start(chosen.config, [*watching, view])
    return output.finish(result)


def chosen_from(env: str | None, env_flag: str | None, options: dict[str, Any]) -> Chosen:
    """The configuration that a command's arguments and `options` describe. Raises ConfigError."""
    flags = {
        name: options[name]
        for name in FIELDS
        if options.get(name) not in (None, ()) or (name in MANY and options[name])
    }
    if env_flag is not None:
        flags["env"] = env_flag
    borrowed = {name: options[f"borrowed_{name}"] for name in BORROWED if options[f"borrowed_{name}"] is not None}
    return choose(
        env,
        flags,
        borrowed,
        file=options["config_file"],
        preset=options["preset_name"],
        use_preset=not options["no_preset"],
        trust_code=options["trust_code"],
    )


train = TrainCommand(
    name="train",
    callback=_train,
    help=_train.__doc__,
    short_help="Train a policy for an environment.",
    params=[
        click.RichArgument(["env"], required=False, metavar="ENV", help="A Gymnasium id, or module:EnvId."),
        click.RichOption(["--env", "env_flag"], metavar="ENV", hidden=True),
        *field_options(),
        *SETTINGS_OPTIONS,
        *DOCTOR_OPTIONS,
        *VIEW_OPTIONS,
        *(BorrowedOption(name) for name in BORROWED),
    ],
    context_settings=CONTEXT,
)
