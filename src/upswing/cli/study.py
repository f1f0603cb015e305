"""upswing study: one setting varied, several seeds, side by side."""

from __future__ import annotations

import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import rich_click as click

from upswing.cli.borrowed import BORROWED
from upswing.cli.options import CONTEXT, MANY, field_options
from upswing.cli.output import VIEW_OPTIONS, print_json
from upswing.cli.train import SETTINGS_OPTIONS, BorrowedOption, TrainCommand, chosen_from
from upswing.config import FIELDS, TrainConfig, canonical
from upswing.errors import ConfigError

STUDY = "Study"
TABLES = ("env", "vary", "zip", "seeds", "match", "control", "reference", "settings")

STUDY_OPTIONS = [
    click.RichOption(
        ["--vary"],
        multiple=True,
        metavar="NAME=V1,V2,…",
        panel=STUDY,
        help="The values of a setting to compare; several --vary make every combination. A key of keyword arguments is "
        "written with a dot: policy_kwargs.net_arch=[32,32],[64,64].",
    ),
    click.RichOption(
        ["--zip", "zipped"],
        is_flag=True,
        default=None,
        panel=STUDY,
        help="Combine the first values of all --vary, the second values, and so on, instead of every combination.",
    ),
    click.RichOption(
        ["--seeds"],
        type=click.IntRange(1, 1000),
        metavar="N",
        panel=STUDY,
        help="Seeds of each setting, counted up from --seed; 5 by default. Under 3 there is no verdict, only a suspicion.",
    ),
    click.RichOption(
        ["--match"],
        type=click.Choice(["gradient_steps", "iterations", "wall_time"]),
        panel=STUDY,
        help="Add controls whose total_timesteps alone is raised until they have as much of this as the reference.",
    ),
    click.RichOption(
        ["--control"],
        multiple=True,
        metavar="NAME=V",
        panel=STUDY,
        help="With --match: only this setting gets a control; may be given several times. By default all do.",
    ),
    click.RichOption(
        ["--reference"],
        metavar="NAME=V",
        panel=STUDY,
        help="The setting that others are measured against; by default the first.",
    ),
    click.RichOption(
        ["--resume", "resumed"],
        metavar="STUDY",
        panel=STUDY,
        help="Go on with the study in this folder: finished runs stay, half-finished ones continue.",
    ),
    click.RichOption(
        ["--jobs"],
        type=click.IntRange(1),
        metavar="N",
        panel=STUDY,
        help="Runs side by side; by default one a core, and one alone where device names a GPU.",
    ),
    click.RichOption(
        ["--executor"],
        type=click.Choice(["local", "ray"]),
        default="local",
        panel=STUDY,
        help="Where runs are done: processes on this machine, or a Ray cluster (RAY_ADDRESS).",
    ),
    click.RichOption(
        ["--doctor/--no-doctor"], default=True, panel=STUDY, help="Let the doctor watch every run; on by default."
    ),
]


def _study(env: str | None, env_flag: str | None, **options: Any) -> int:
    """Train ENV with several values of a setting and several seeds each, side by side, and say which settings failed.

    ENV is a Gymnasium id, module:EnvId, or a TOML file that describes the study. Takes the settings of
    [cyan]upswing train[/] besides. The study is a new folder in [cyan]--out-dir[/]: study.json and the run folders.
    """
    from rich.console import Console

    from upswing.lab.judging import as_json as study_json
    from upswing.lab.running import Plan, run_study
    from upswing.lab.watching import StudyView, print_study
    from upswing.view.words import language

    lang, as_json = language(options.pop("lang")), options.pop("as_json")
    quiet, plain = options.pop("quiet"), options.pop("plain")
    plan = Plan(
        options["executor"], options["jobs"], options["doctor"], options["trust_code"] or not options["resumed"], lang
    )
    folder = _existing(options) if options["resumed"] else _new(env, env_flag, options)
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    with StudyView(console, lang, quiet, plain) as view:
        finished = run_study(folder, plan, view)
    print_study(finished.study, folder, console, lang)
    if as_json:
        print_json(study_json(finished.study, folder))
    return finished.exit_code


def _existing(options: dict[str, Any]) -> Path:
    """The folder of the study to go on with. Raises ConfigError where settings are given as well."""
    from upswing.config import refuse_code
    from upswing.lab.study_record import read_study

    given = [name for name in FIELDS if options.get(name) not in (None, ())]
    given += [name for name in ("vary", "seeds", "match", "control", "reference") if options[name]]
    if given:
        raise ConfigError(f"--resume goes on with a study as it is: leave out {', '.join(sorted(given))}.")
    folder = Path(options["resumed"]).expanduser()
    study = read_study(folder)
    if not options["trust_code"]:
        for setting in study.settings:
            refuse_code(setting.config, folder)
    return folder


def _new(env: str | None, env_flag: str | None, options: dict[str, Any]) -> Path:
    """The folder of the new study that the command line asks for. Raises ConfigError."""
    from upswing.envs.registry import env_name
    from upswing.lab.design import combinations, parse_vary, points, varied
    from upswing.lab.running import new_study

    described = _described(env) if env is not None and env.lower().endswith(".toml") else {}
    if described:
        env = described.get("env")
        options = {**options, **{k: v for k, v in described["settings"].items() if options.get(k) in (None, ())}}
    axes = dict(varied(name, values) for name, values in described.get("vary", {}).items())
    axes |= dict(parse_vary(text) for text in options.get("vary", ()))
    if not axes:
        raise ConfigError("A study varies something: write for example --vary n_envs=8,32,128.")

    def configure(values: dict[str, Any]) -> TrainConfig:
        return chosen_from(env, env_flag, _with(options, values)).config

    zipped = options.get("zipped") if options.get("zipped") is not None else described.get("zip", False)
    made = points(combinations(axes, bool(zipped)), configure)
    first = made[0].config
    seeds = _seeds(options.get("seeds") or described.get("seeds", 5), first.seed)
    name = first.name or f"study-{env_name(first.env)}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(first.out_dir).expanduser() / name
    match, reference = (options.get(key) or described.get(key) for key in ("match", "reference"))
    control = options.get("control") or described.get("control")
    only = [control] if isinstance(control, str) else control
    new_study(folder, made, seeds, match=match, reference=reference, only=only)
    return folder


def _with(options: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`options` as they would be if the varied settings had been given as flags."""
    import json

    given = dict(options)
    for name, value in values.items():
        field, dot, key = name.partition(".")
        if dot:
            given[field] = (*given.get(field, ()), f"{key}={json.dumps(value)}")
        else:
            given[field] = "none" if value is None else value
            if field in ("batch_size", "n_minibatches"):  # alternatives: the varied one is meant
                given["n_minibatches" if field == "batch_size" else "batch_size"] = None
    return given


def _seeds(given: Any, first: int) -> list[int]:
    """The seeds that a number of them, or a list, means. Raises ConfigError."""
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return list(range(first, first + given))
    if isinstance(given, list) and given and all(isinstance(seed, int) and seed >= 0 for seed in given):
        return list(dict.fromkeys(given))
    raise ConfigError(f"seeds = {given!r} is neither a number of seeds nor a list of them: write for example 5.")


def _described(path: str) -> dict[str, Any]:
    """The study that a TOML file describes, with settings as flags would give them. Raises ConfigError."""
    file = Path(path).expanduser()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file} does not exist: give an environment, or a TOML file that describes a study."
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as TOML: {error}.") from None
    unknown = [key for key in content if key not in TABLES]
    if unknown:
        raise ConfigError(
            f"{file}: {unknown[0]} has no place at the top of a study: write {', '.join(TABLES)}, and settings under "
            f"[settings]."
        )
    if not isinstance(content.get("env"), str) or not isinstance(content.get("vary"), dict):
        raise ConfigError(f'{file}: a study needs env = "…" and a table [vary] with a list for each setting.')
    for name, values in content["vary"].items():
        if not isinstance(values, list):
            raise ConfigError(f"{file}: vary.{name} is not a list: write for example n_envs = [8, 32].")
    settings = {canonical(name): value for name, value in content.get("settings", {}).items()}
    for name in MANY:
        if name in settings:
            import json

            settings[name] = (json.dumps(settings[name]),)
    return {**content, "settings": settings}


study = TrainCommand(
    name="study",
    callback=_study,
    help=_study.__doc__,
    short_help="Vary a setting over several seeds, and say which values failed and why.",
    params=[
        click.RichArgument(["env"], required=False, metavar="ENV", help="An environment, or a TOML file."),
        click.RichOption(["--env", "env_flag"], metavar="ENV", hidden=True),
        *STUDY_OPTIONS,
        *field_options(),
        *(option for option in SETTINGS_OPTIONS if option.name != "write_config"),
        *VIEW_OPTIONS,
        *(BorrowedOption(name) for name in BORROWED),
    ],
    context_settings=CONTEXT,
)
