import pytest

from upswing.config import ALIASES, WORDS
from upswing.errors import ConfigError
from upswing.explain import find, topics
from upswing.explain.source import other_names


@pytest.mark.parametrize(
    ("typed", "topic"),
    [
        ("n_steps", "n_steps"),
        ("--n-steps", "n_steps"),
        ("NUM_STEPS", "n_steps"),
        ("clip coef", "clip_range"),
        ("lr", "learning_rate"),
        ("γ", "gamma"),
        ("λ", "gae_lambda"),
        ("ε", "clip_range"),
        ("approx_kl", "train/approx_kl"),
        ("train/approx-kl", "train/approx_kl"),
        ("KL", "train/approx_kl"),
        ("learning_rate", "learning_rate"),  # the setting, although there is a metric of that name
        ("train/learning_rate", "train/learning_rate"),
        ("p01", "P01"),
        ("KL-HIGH", "P01"),
        ("kl_high", "P01"),
        ("discount factor", "gamma"),
        ("explained variance", "train/explained_variance"),
        ("学习率", "learning_rate"),
        ("折扣因子", "gamma"),
        ("折扣", "gamma"),  # begins one name only
        ("裁剪比例", "train/clip_fraction"),
        ("星际", None),
        ("entropy", "train/entropy_loss"),
        ("control_mode", "control_mode"),
    ],
)
def test_what_people_type(typed, topic):
    if topic is None:
        with pytest.raises(ConfigError):
            find(typed, "zh")
    else:
        assert find(typed, "en") == find(typed, "zh") == topic


def test_every_name_finds_itself():
    for topic in topics():
        assert find(topic, "en") == topic
    for alias, name in ALIASES.items():
        assert find(alias, "en") == name
    for name in WORDS:
        assert find(f"--{name.replace('_', '-')}", "en") == name


def test_other_names_point_to_topics_and_take_no_topics_place():
    for name, topic in other_names().items():
        assert topic in topics()
        assert name not in topics()
        assert find(name, "en") == topic, name


def test_a_near_miss_names_the_nearest_in_the_reader_s_language():
    with pytest.raises(ConfigError, match="gama is not a topic: did you mean gamma"):
        find("gama", "en")
    with pytest.raises(ConfigError, match="没有“lernin_rate”这个主题：是不是 learning_rate"):
        find("lernin_rate", "zh")
    with pytest.raises(ConfigError, match="xyzzy is not a topic: upswing explain lists all of them"):
        find("xyzzy", "en")
    with pytest.raises(ConfigError):
        find("", "en")


def test_a_beginning_that_several_names_share_is_not_guessed_at():
    with pytest.raises(ConfigError, match="did you mean"):
        find("cli", "en")
