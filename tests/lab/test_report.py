"""The report: one file, escaped, without network; drawn in a real browser; and its plots as pictures."""

import base64
import json
import re
import subprocess

import numpy as np
import pytest

from lab.browser import BROWSER, tab
from lab.made_runs import make_run, make_setting, make_study
from upswing.cli import run as command_line
from upswing.doctor.texts import texts
from upswing.lab.compare import compare
from upswing.lab.report import pictures
from upswing.lab.report.curves import POINTS, panels
from upswing.lab.report.page import page
from upswing.lab.texts import comparison_texts

GOOD, BAD = [480.0, 490, 495], [30.0, 20, 40]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    base = {"batch_size": None, "n_minibatches": 4}
    return make_study(tmp_path_factory.mktemp("study") / "s", {
        "n_envs=8": (GOOD, {"n_envs": 8, **base}, None),
        "n_envs=64": (BAD, {"n_envs": 64, **base}, None),
        "n_envs=64 [matched]": (GOOD, {"n_envs": 64, "total_timesteps": 81920, **base}, "n_envs=64"),
    }, "n_envs=8")  # fmt: skip


@pytest.fixture(scope="module")
def comparison(study):
    return compare([str(study)])


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_holds_everything(comparison, study, lang):
    html, words = page(comparison, lang), comparison_texts(lang)
    for key in ("summary", "results", "curves", "why", "differences", "doctor", "losses", "repeat", "versions"):
        assert f">{words[key]}<" in html, key
    assert texts(lang).rules["S01"].title in html
    assert "upswing train --config setting-2.json --seed 1" in html and "&quot;n_minibatches&quot;: 4" in html
    drawn = data_of(html)
    assert [each["label"] for each in drawn["settings"]] == ["n_envs=8", "n_envs=64", "n_envs=64 [matched]"]
    assert [each["control"] for each in drawn["settings"]] == [False, False, True]
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)|@import|url\(", html)


def test_curves_are_the_runs_own_and_short(comparison):
    by_key = {panel.key: panel for panel in panels(comparison)}
    assert {"return", "eval_return", "eval_reward", "kl", "policy_loss", "value_loss", "ev", "entropy", "speed"} <= set(
        by_key
    )
    assert "success" not in by_key  # never measured
    kl = by_key["kl"].curves[0]
    member = comparison.rows[0].setting.members[1]
    assert np.interp(kl.steps, member.series.steps, member.series.column("train/approx_kl")) == pytest.approx(
        kl.runs[1]
    )
    assert all(len(curves.steps) <= POINTS for panel in by_key.values() for curves in panel.curves)
    assert (kl.band.low <= kl.band.value + 1e-12).all() and (kl.band.value <= kl.band.high + 1e-12).all()


def test_marks_stand_where_the_doctor_saw_something(tmp_path):
    folder = tmp_path / "run"
    make_run(folder, 300.0, total_timesteps=25600)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows[50:]:
        row |= {"train/approx_kl": 0.9, "train/clip_fraction": 0.8, "rollout/ep_rew_mean": 12.0}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_key = {panel.key: panel.curves[0] for panel in panels(compare([str(folder)]))}
    found = {mark.code: mark.step for mark in by_key["kl"].marks}
    assert found["P01"] == pytest.approx(50 * 256, rel=0.15)
    assert "P01" in {mark.code for mark in by_key["return"].marks}
    assert not by_key["speed"].marks


def test_names_from_files_are_escaped(tmp_path):
    bad = "x</script><img src=x onerror=alert(1)>"
    make_run(tmp_path / "run", 100.0)
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    content["config"]["env"] = content["config"]["policy"] = bad
    content["versions"] = content["machine"] = {bad: bad}
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    html = page(compare([str(tmp_path / "run")]), "en")
    assert "<img" not in html and "x&lt;/script&gt;" in html
    assert html.count("</script>") == 2
    make_setting(tmp_path / "a", GOOD[:1], env_kwargs={"</script><img src=y>": "<b>"})
    html = page(compare([str(tmp_path / "a"), str(make_setting(tmp_path / "b", BAD[:1]))]), "en")
    assert "<img" not in html and html.count("</script>") == 2 and "<b>" not in data_of(html)["settings"]


def browser(page_file, *flags, tmp_path):
    """What headless Chromium prints about the page, and the addresses it asked for."""
    log = tmp_path / "net.json"
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0",
         f"--log-net-log={log}", *flags, f"file://{page_file}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    asked = set(re.findall(r'"url":"(https?:[^"]+)"', log.read_text() if log.exists() else ""))
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line], asked


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize(("lang", "size"), [("en", "1280,2400"), ("zh", "420,2400")])
def test_a_browser_draws_it_without_error_or_request(comparison, tmp_path, lang, size):
    file, shot = tmp_path / "r.html", tmp_path / "r.png"
    file.write_text(page(comparison, lang), "utf-8")
    dom, console, asked = browser(file, "--dump-dom", f"--window-size={size}", tmp_path=tmp_path)
    assert console == [] and asked == set()
    plots = re.findall(r'<div class="panel plot.*?</div>', dom, re.S)
    assert len(plots) == len(panels(comparison))
    assert all(plot.count('class="curve') == 3 and 'class="band"' in plot for plot in plots)
    assert all("NaN" not in plot and "undefined" not in plot for plot in plots)
    browser(file, f"--screenshot={shot}", f"--window-size={size}", tmp_path=tmp_path)
    from PIL import Image

    picture = Image.open(shot).convert("RGB")
    assert picture.size == tuple(map(int, size.split(",")))
    colours = {colour for n, colour in picture.getcolors(2**24) if n > 50}
    assert {(0x25, 0x63, 0xEB), (0xD9, 0x48, 0x0F)} <= colours  # the lines of the first two settings


@pytest.fixture(scope="module")
def opened(comparison, tmp_path_factory):
    """The report in a browser, of which nothing has been touched yet."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path_factory.mktemp("opened")
    (folder / "r.html").write_text(page(comparison, "en"), "utf-8")
    with tab(folder) as browser:
        browser.open(f"file://{folder / 'r.html'}")
        yield browser
        assert browser.errors == []
        assert [url for url in browser.requests if not url.startswith(("file://", "data:"))] == []


def over(opened, place, share):
    """Point at `share` of the width of the plot number `place`; its tip's text, or None where no tip is shown."""
    box = opened.value(
        f"(() => {{ const svg = document.querySelectorAll('.plot svg')[{place}]; svg.scrollIntoView({{block: 'center', behavior: 'instant'}});"
        "const at = svg.getBoundingClientRect(); return [at.x, at.y, at.width, at.height]; })()"
    )
    opened.point(box[0] + share * box[2], box[1] + 0.5 * box[3])
    return opened.value(
        f"(tip => tip.hidden ? null : tip.innerText)(document.querySelectorAll('.plot')[{place}].querySelector('.tip'))"
    )


def test_a_reading_follows_the_pointer(opened, comparison):
    drawn = panels(comparison)
    for place, panel in enumerate(drawn):
        said = over(opened, place, 0.5)
        assert " steps\n" in said and said.count("n_envs=") >= 1, panel.key
        assert "NaN" not in said and "undefined" not in said
        crosses = opened.value("document.querySelectorAll('.cross').length")
        assert crosses == sum(max(c.steps[-1] for c in each.curves) > 0 for each in drawn)  # in all plots at once
    place = [panel.key for panel in drawn].index("return")
    last = over(opened, place, 0.995)
    assert "39,299" not in last and "n_envs=64 [matched]" in last  # the longest alone has steps there
    opened.point(2, 2)
    assert opened.value("document.querySelectorAll('.tip:not([hidden]), .cross').length") == 0


def click_first_name(opened):
    """Click the first setting's name in the legend."""
    x, y = opened.value(
        "(() => { const b = document.querySelector('.legend button[data-setting]');"
        "b.scrollIntoView({block: 'center', behavior: 'instant'}); const at = b.getBoundingClientRect();"
        "return [at.x + 5, at.y + 5]; })()"
    )
    opened.click(x, y)


def test_a_setting_is_hidden_by_a_click(opened, comparison):
    before = opened.value("document.querySelectorAll('.curve').length")
    click_first_name(opened)
    assert opened.value("document.querySelectorAll('.curve').length") == before - len(panels(comparison))
    assert "n_envs=8" not in over(opened, 0, 0.1)
    click_first_name(opened)
    assert opened.value("document.querySelectorAll('.curve').length") == before
    assert "n_envs=8" in over(opened, 0, 0.1)


def test_it_prints_on_white_and_without_buttons(opened):
    opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    opened.until("document.documentElement.dataset.theme === 'dark'")
    state = "[document.documentElement.dataset.theme, document.querySelectorAll('details:not([open])').length]"
    theme, folded = opened.value(state)
    assert theme == "dark" and folded > 0
    opened.value(f"addEventListener('beforeprint', () => {{ window.printed = {state}; }})")
    printed = base64.b64decode(opened.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF") and opened.value("window.printed") == ["light", 0]
    assert opened.value(state) == [theme, folded]  # as it was
    opened.call("Emulation.setEmulatedMedia", media="print", features=[])
    opened.until("matchMedia('print').matches")
    assert opened.value("getComputedStyle(document.getElementById('theme')).display") == "none"
    opened.call("Emulation.setEmulatedMedia", media="", features=[])


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_browser_check_sees_errors_and_requests(tmp_path):
    file = tmp_path / "bad.html"
    file.write_text("<img src='http://127.0.0.1:9/x.png'><script>nothing.there</script>")
    _, console, asked = browser(file, "--dump-dom", tmp_path=tmp_path)
    assert console and "http://127.0.0.1:9/x.png" in asked


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command_writes_the_page_and_the_pictures(study, tmp_path, capsys, lang):
    target, folder = tmp_path / "r.html", tmp_path / "png"
    more = ["--png", str(folder)] if lang == "zh" else []
    assert command_line(["report", str(study), "-o", str(target), "--lang", lang, *more]) == 0
    assert f'lang="{lang}"' in target.read_text()
    if not more:
        return
    names = {file.name for file in folder.iterdir()}
    assert {"rollout-ep_rew_mean.png", "train-approx_kl.png", "time-fps.png"} <= names
    assert all(file.stat().st_size > 5000 for file in folder.iterdir())
    assert str(folder / "time-fps.png") in capsys.readouterr().out


def test_pictures_speak_english_where_no_chinese_font_is(comparison, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "CHINESE", ("No Such Font",))
    first = next(pictures.write_pictures(comparison, tmp_path, "zh"))  # a missing letter would be a warning: an error
    assert first.name == "rollout-ep_rew_mean.png"


def test_one_run_alone_and_wrong_targets(study, tmp_path, capsys):
    run = study / "n_envs=64-seed0"
    assert command_line(["report", str(run), "-o", str(tmp_path / "r.html")]) == 0
    brief = (tmp_path / "r.html").read_text().partition("</ul>")[0]
    assert f"S01 {texts('en').rules['S01'].title}" in brief
    assert data_of((tmp_path / "r.html").read_text())["panels"][0]["curves"][0]["low"] is None
    assert command_line(["report", str(run), "-o", str(tmp_path / "r.pdf")]) == 2
    assert "--png" in capsys.readouterr().err
    assert command_line(["report", str(run), "-o", str(tmp_path / "no" / "r.html")]) == 4
