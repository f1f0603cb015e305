"""What may stand in policy_kwargs: names, defaults, and one clear sentence for anything impossible."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn

from upswing.errors import ConfigError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
}
_SAME_ACTIVATION = {"swish": "silu", "leakyrelu": "leaky_relu"}
_ELSEWHERE = {
    "optimizer_class": "the optimiser is Adam; set learning_rate and adam_eps",
    "optimizer_kwargs": "the optimiser is Adam; set learning_rate and adam_eps",
    "use_sde": "it is a setting of its own; set use_sde there",
    "sde_sample_freq": "it is a setting of its own; set sde_sample_freq there",
    "learning_rate": "it is a setting of its own; set learning_rate there",
}


@dataclass(frozen=True)
class PolicyOptions:
    """How a network policy is built. Names and defaults are Stable-Baselines3's, share_trunk apart."""

    net_arch: list[int] | dict[str, list[int]] | None = None  # None: [64, 64], and [] after NatureCNN
    activation_fn: str | type[nn.Module] = "tanh"
    ortho_init: bool = True  # orthogonal weights and zero biases; otherwise torch's own
    log_std_init: float = 0.0  # log σ at the start, for Box actions
    use_sde: bool = False  # from TrainConfig.use_sde
    full_std: bool = True  # gSDE: one σ per feature and action dimension, otherwise one per feature
    use_expln: bool = False  # gSDE: σ grows slowly above 1 (see positive_std)
    squash_output: bool = False  # tanh, so that actions stay inside the bounds of a Box
    share_features_extractor: bool = True  # one features extractor for policy and value
    share_trunk: bool = False  # hidden layers of net_arch shared between policy and value too
    features_dim: int | None = None  # None: 512 for CnnPolicy, 256 per image for MultiInputPolicy
    features_extractor_class: type[nn.Module] | None = None  # one's own: called with the space, has features_dim
    features_extractor_kwargs: dict[str, Any] = field(default_factory=dict)
    normalize_images: bool = True  # divide uint8 images by 255; False for images that are floats already

    @property
    def activation_class(self) -> type[nn.Module]:
        """The activation's class."""
        return activation(self.activation_fn)


@dataclass(frozen=True)
class RecurrentOptions(PolicyOptions):
    """How a policy with memory is built. Names and defaults are sb3-contrib's; they mean a GRU where that is the cell."""

    lstm_hidden_size: int = 256  # numbers in h, and in c
    n_lstm_layers: int = 1
    shared_lstm: bool = False  # one memory for policy and value
    enable_critic_lstm: bool = True  # a memory of the value's own, where it is not shared; otherwise it has none


Options = TypeVar("Options", bound=PolicyOptions)


def policy_options(kwargs: dict[str, Any], kind: type[Options]) -> Options:
    """`kwargs` checked and completed. Raises ConfigError at the first unknown name or impossible value."""
    names = [f.name for f in dataclasses.fields(kind)]
    for name in kwargs:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}."
            raise ConfigError(f"policy_kwargs: {name} is not known: {hint}")
    options = kind(**{name: value for name, value in kwargs.items() if value is not None})
    activation(options.activation_fn)
    for f in dataclasses.fields(kind):
        value = getattr(options, f.name)
        if str(f.type) == "bool" and not isinstance(value, bool):
            raise ConfigError(f"policy_kwargs: {f.name} = {value!r} is neither true nor false: write one of the two.")
    if not _is_number(options.log_std_init):
        raise ConfigError(
            f"policy_kwargs: log_std_init = {options.log_std_init!r} is not a number: write one, such as -0.5."
        )
    for name in ("features_dim", "lstm_hidden_size", "n_lstm_layers"):
        value = getattr(options, name, None)
        if value is not None and not _is_width(value):
            raise ConfigError(f"policy_kwargs: {name} = {value!r} is not a whole number of at least 1.")
    if options.share_trunk and not options.share_features_extractor:
        raise ConfigError(
            "policy_kwargs: share_trunk shares everything but the heads, share_features_extractor = false nothing: set one."
        )
    hidden_layers(options, [64, 64])
    return options


def refuse_misplaced(kwargs: dict[str, Any]) -> None:
    """Nothing; raises ConfigError where a name in `kwargs` belongs elsewhere, saying where."""
    for name in kwargs:
        if name in _ELSEWHERE:
            raise ConfigError(f"policy_kwargs: {name} has no place here: {_ELSEWHERE[name]} instead.")


def activation(value: str | type[nn.Module]) -> type[nn.Module]:
    """The class of an activation given by name ("relu", also "nn.ReLU") or as the class itself."""
    if isinstance(value, type) and issubclass(value, nn.Module):
        return value
    plain = str(value).rsplit(".", 1)[-1].lower()
    plain = _SAME_ACTIVATION.get(plain, plain)
    if plain not in ACTIVATIONS:
        near = difflib.get_close_matches(plain, ACTIVATIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(ACTIVATIONS)}."
        raise ConfigError(f"policy_kwargs: activation_fn = {value!r} is not known: {hint}")
    return ACTIVATIONS[plain]


def hidden_layers(options: PolicyOptions, default: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Widths of the hidden layers (trunk, pi, vf): shared, only the policy's, only the value's."""
    arch: Any = default if options.net_arch is None else options.net_arch
    if isinstance(arch, list | tuple) and len(arch) == 1 and isinstance(arch[0], dict):
        arch = arch[0]  # an older way of writing it, still found in recipes
    if isinstance(arch, dict):
        unknown = [key for key in arch if key not in ("pi", "vf")]
        if unknown:
            raise ConfigError(f"policy_kwargs: net_arch has the key {unknown[0]!r}: only pi and vf have a meaning.")
        pi, vf = _widths(arch.get("pi", [])), _widths(arch.get("vf", []))
        if options.share_trunk and pi != vf:
            raise ConfigError(
                f"policy_kwargs: share_trunk cannot share different layers, pi {pi} and vf {vf}: give net_arch as one list."
            )
    else:
        pi = vf = _widths(arch)
    return (pi, [], []) if options.share_trunk else ([], pi, vf)


def _widths(value: Any) -> list[int]:
    if not isinstance(value, list | tuple) or not all(_is_width(width) for width in value):
        raise ConfigError(
            f"policy_kwargs: net_arch = {value!r} is not a list of layer widths: write [64, 64] or {{pi: [64], vf: [64, 64]}}."
        )
    return [int(width) for width in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_width(value: Any) -> bool:
    return _is_number(value) and value == int(value) and value >= 1
