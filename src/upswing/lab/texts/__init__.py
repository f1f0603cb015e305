"""What comparisons and reports say, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping


def comparison_texts(lang: str) -> Mapping[str, str]:
    """The sentences and labels of a comparison and its report in `lang`, "en" or "zh"."""
    if lang == "zh":
        from upswing.lab.texts.compare_zh import ZH

        return ZH
    from upswing.lab.texts.compare_en import EN

    return EN
