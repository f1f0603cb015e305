"""The checklist: every name has a whole page in both languages, and what a page says agrees with the declarations."""

import re

import pytest

from upswing.config import WORDS, TrainConfig, derive
from upswing.doctor.rules import BY_CODE
from upswing.doctor.thresholds import TABLE
from upswing.explain.facts import written
from upswing.explain.numbers import clipped_share
from upswing.explain.pages import RECIPES, Equation, Flow, group_of, page, summary, topics
from upswing.explain.source import SHARED, entries, labels, other_names, reflow, terms
from upswing.metrics import METRICS

LANGUAGES = ("en", "zh")
NUMBERS = {
    "B": range(1, 5),
    "P": range(1, 11),
    "V": range(1, 7),
    "O": (1, 3),
    "A": (1,),
    "N": (1,),
    "T": range(1, 4),
    "S": range(1, 6),
    "L": (1,),
    "R": range(1, 5),
    "F": range(1, 3),
    "E": (1,),
}
RULES = [f"{letter}{number:02}" for letter, numbers in NUMBERS.items() for number in numbers]
WORLDS = [
    "screen_size",
    "minimap_size",
    "step_mul",
    "visualize",
    "obs_mode",
    "control_mode",
    "reward_mode",
    "sim_backend",
]
WHOLE_PAGES = {name for name, word in WORDS.items() if word.group in ("Learning", "Normalisation", "Evaluation")} | {
    "n_envs", "seed", "total_timesteps", "policy", "policy_kwargs", "use_sde", "out_dir", "checkpoint_path",
}  # fmt: skip
NEED_NO_SETTING = {"B03", "V02", "R04", "E01"}  # rules whose remedy is no setting of ours, or another rule
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# names in pages that are neither topics nor other people's names for one
ELSEWHERE = {"squash_output", "ortho_init", "n_evaluations"}

every_page = pytest.mark.parametrize("lang", LANGUAGES)
every_topic = pytest.mark.parametrize("topic", topics())


def texts(body):
    """Every text inside the body of a part."""
    if isinstance(body, str):
        return [body]
    if isinstance(body, Flow):
        return [body.sentence]
    if isinstance(body, Equation):
        return [body.text, body.where]
    return [text for row in body for text in texts(row)]


def said(topic, lang):
    """Everything that a page says in words of its own language."""
    return [
        text for part in page(topic, lang).parts if part.form not in ("equation", "facts") for text in texts(part.body)
    ]


def spans(text):
    """The texts between backticks."""
    return text.split("`")[1::2]


def test_every_setting_metric_rule_and_world_is_a_topic():
    assert set(topics()) == {*WORDS, *METRICS, *RULES, *WORLDS}
    assert len(topics()) == len(set(topics()))
    for lang in LANGUAGES:
        assert set(entries(lang)) == set(topics())


def test_settings_a_learner_meets_have_whole_pages():
    assert {name for name in WORDS if entries("en")[name]["kind"] == "settings"} == WHOLE_PAGES
    assert {name for name in WORDS if entries("en")[name]["kind"] == "machine"} == set(WORDS) - WHOLE_PAGES


@every_page
@every_topic
def test_a_page_has_every_part(topic, lang):
    found = page(topic, lang)
    assert entries("zh")[topic]["kind"] == found.kind
    for key, form in RECIPES[found.kind]:
        part = found.part(key)
        assert part.form == form
        assert part.heading
        assert all(text.strip() for text in texts(part.body) if form != "equation")
        if form == "table":
            assert len(part.body) >= 3
        if form in ("list", "pairs"):
            assert len(part.body) >= 1
    assert found.title and found.summary and found.group
    assert found.related


@every_topic
def test_each_language_is_its_own(topic):
    """Chinese in every text of a Chinese page, none in an English one, and no English sentence left in the Chinese."""
    assert not [text for text in said(topic, "en") if CHINESE.search(text)]
    assert CHINESE.search(summary(topic, "zh"))
    for part in page(topic, "zh").parts:
        if part.form in ("text", "aside", "flow"):
            assert all(CHINESE.search(text) for text in texts(part.body)), part.key
        elif part.form in ("table", "sides", "pairs", "links"):
            assert all(CHINESE.search(row[-1]) for row in part.body), part.key
    plain = " ".join(re.sub(r"`[^`]*`", "", text) for text in said(topic, "zh"))
    assert not re.search(r"(?:\b[a-z]{2,} ){3,}[a-z]{2,}\b", plain)


def test_chinese_is_set_as_chinese():
    """A space between Chinese and Latin signs, and Chinese punctuation after Chinese signs."""
    for topic in topics():
        for text in said(topic, "zh"):
            assert not re.search(
                r"[\u4e00-\u9fff](?:[A-Za-z0-9`]|[,;:?!.])|[A-Za-z0-9`%][\u4e00-\u9fff]|[,;?!][\u4e00-\u9fff]", text
            ), text


@every_topic
def test_both_languages_say_the_same_things(topic):
    english, chinese = page(topic, "en"), page(topic, "zh")
    assert [part.key for part in english.parts] == [part.key for part in chinese.parts]
    assert english.related == chinese.related
    for here, there in zip(english.parts, chinese.parts, strict=True):
        if here.form == "equation":
            assert here.body.text == there.body.text
            assert bool(here.body.where) == bool(there.body.where)
        elif here.form == "flow":
            assert here.body.stage == there.body.stage
        elif here.form not in ("text", "aside"):
            assert len(here.body) == len(there.body), here.key
        if here.form in ("pairs", "links"):
            assert [row[0] for row in here.body] == [row[0] for row in there.body]


def test_exact_changes_are_the_same_in_both_languages():
    for topic in topics():
        changes = [sorted(span for span in spans(" ".join(said(topic, lang))) if " → " in span) for lang in LANGUAGES]
        assert changes[0] == changes[1], topic
        for change in changes[0]:
            name = change.split()[0]
            assert name in topics() or name in other_names() or name in ELSEWHERE, change


@pytest.mark.parametrize("code", RULES)
def test_a_rule_names_an_exact_change(code):
    remedies = " ".join(page(code, "en").part("remedies").body)
    assert "→" in remedies or code in NEED_NO_SETTING | {"B02", "T01", "A01", "B04"}
    assert entries("en")[code]["name"].isupper()


@every_topic
def test_what_is_named_exists(topic):
    for lang in LANGUAGES:
        found = page(topic, lang)
        assert set(found.related) <= set(topics()) - {topic}
        if "interactions" in dict(RECIPES[found.kind]):
            assert {name for name, _ in found.part("interactions").body} <= set(topics()) - {topic}
        for text in said(topic, lang):
            assert set(re.findall(r"\b[A-Z]\d\d\b", text)) <= set(RULES)
            assert set(re.findall(r"\b(?:rollout|time|train|eval)/\w+", text)) <= set(METRICS)
            for name in re.findall(r"`(\w+)`", text):
                assert name in topics() or name in ELSEWHERE or name.endswith("Policy") or name == "batch", name


def test_related_points_both_to_metrics_and_rules_where_learning_is_concerned():
    for name in WHOLE_PAGES - {"out_dir"}:
        related = page(name, "en").related
        assert set(related) & set(METRICS), name
        assert set(related) & set(RULES), name


def test_what_is_shared_stands_once():
    for topic, entry in entries("en").items():
        assert "related" in entry, topic
    import tomllib

    from upswing.explain.source import _pages

    for kind in RECIPES:
        for file in (_pages() / "zh" / kind).iterdir():
            for topic, entry in tomllib.loads(file.read_text("utf-8")).items():
                assert not set(entry) & set(SHARED), topic


def test_equations_hold_no_sentences():
    """Equations are shown to readers of both languages: symbols and names, no English sentences."""
    for topic in topics():
        equation = entries("en")[topic].get("equation", "")
        assert not re.search(
            r"\b(of|the|in|on|over|and|or|at|by|when|with|each|all|for|from|to|is|where|if|else)\b", equation
        )
        assert not re.search(r"\b[a-z]{3,} [a-z]{2,} [a-z]{2,}\b", equation), topic


def test_short_phrases_of_the_declarations_are_translated():
    words = terms("zh")
    units = {metric.unit for metric in METRICS.values()} | {word.unit for word in WORDS.values()}
    assert set(words["unit"]) == units - {""}
    assert set(words["aggregation"]) == {metric.aggregation for metric in METRICS.values()}
    assert set(words["origin"]) == {metric.band.origin for metric in METRICS.values() if metric.band}


def test_labels_are_the_same_in_both_languages():
    english, chinese = labels("en"), labels("zh")
    assert {section: set(texts) for section, texts in english.items()} == {s: set(t) for s, t in chinese.items()}
    for section, all_texts in english.items():
        for key, text in all_texts.items():
            if isinstance(text, str):
                slots = [sorted(re.findall(r"{(\w+)}", each)) for each in (text, chinese[section][key])]
                assert slots[0] == slots[1], key
    assert {group_of(topic) for topic in topics()} == set(english["group"])


@every_page
def test_the_table_of_clip_fractions_is_right(lang):
    formula = page("train/clip_fraction", lang).part("equation").body.text
    rows = {clip: re.findall(r"([\d.]+) → ([\d.]+) %", line) for clip, line in re.findall(r"ε = (0.\d):(.*)", formula)}
    assert len(rows["0.2"]) == 5 and len(rows["0.1"]) >= 1
    for clip, pairs in rows.items():
        for kl, share in pairs:
            assert clipped_share(float(kl), float(clip)) == pytest.approx(float(share) / 100, abs=0.006)


@every_page
def test_the_arithmetic_of_too_many_environments_is_right(lang):
    def counts(n_envs, rounding):
        config = TrainConfig(
            n_envs=n_envs,
            n_steps=50,
            n_epochs=4,
            n_minibatches=32,
            total_timesteps=2_000_000,
            rollout_rounding=rounding,
        )
        derived = derive(config)
        return derived.iterations, derived.gradient_steps

    text = " ".join(page("S01", lang).part("causes").body).replace(",", "")
    for n_envs in (2048, 256):
        for number in counts(n_envs, "down"):
            assert re.search(rf"\b{number}\b", text), number
    assert re.search(rf"\b{counts(2048, 'up')[0]}\b", " ".join(said("rollout_rounding", lang)))


@every_page
def test_bands_on_pages_are_the_declared_ones(lang):
    for tag in (
        "train/approx_kl",
        "train/kl_update",
        "train/clip_fraction",
        "train/explained_variance",
        "train/value_bias",
    ):
        band = METRICS[tag].band
        text = page(tag, lang).part("healthy").body
        for end in (band.low, band.high):
            assert re.search(rf"(?<![\d.]){re.escape(f'{end:g}')}(?!\d|\.\d)", text), (tag, end)


@every_page
def test_defaults_on_pages_are_the_declared_ones(lang):
    """Where a row of typical values is called the default, it is: exactly, or as a range that holds it."""
    checked = 0
    for topic in WHOLE_PAGES - {"policy_kwargs", "batch_size", "eval_freq"}:  # whose default is derived or empty
        for value, effect in page(topic, lang).part("typical").body:
            if not re.match(r"the default\b|默认值", effect.lower()):
                continue
            ends = value.replace(",", "").split("–")
            default = written(getattr(TrainConfig(), topic))
            assert default in ends or (len(ends) == 2 and float(ends[0]) <= float(default) <= float(ends[1])), (
                topic,
                value,
            )
            checked += 1
    assert checked >= 25


def test_line_breaks_of_the_files_vanish():
    assert reflow("\none\ntwo\n\nthree\n") == "one two\n\nthree"
    assert reflow("一行\n又一行\nand `x`\n再一行") == "一行又一行 and `x` 再一行"


def test_rules_are_the_doctor_s_own():
    assert set(BY_CODE) == set(RULES)


@every_page
def test_every_threshold_of_a_rule_stands_on_its_page(lang):
    """By name, so that the page follows when a threshold is calibrated anew."""
    for name, threshold in TABLE.items():
        code, dot, _ = name.partition(".")
        if not dot:
            continue
        entry = entries(lang)[code]
        assert any(f"{{{name}:" in entry[key] for key in ("signal", "misfires", "guard")), name
        shown = " ".join(page(code, lang).part(key).body for key in ("signal", "misfires", "guard"))
        assert "{" not in shown
        number = f"{threshold.value:g}".replace("e-0", "e-")
        share = f"{threshold.value:.0%}".replace("%", " %" if lang == "en" else "%")
        assert number in shown or share in shown, name
