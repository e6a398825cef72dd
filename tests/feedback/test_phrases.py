"""Phrases come from files by language, each with its source; a language without phrases is silent, and the command says so."""

from pathlib import Path

import pytest
import yaml
from heard import talk
from hypothesis import given
from hypothesis import strategies as st

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import language_of
from labelgen.data.log import write_log
from labelgen.feedback import cues as module
from labelgen.feedback.cues import phrases
from labelgen.feedback.signal import detector, find_signals

FILES = {path.stem: yaml.safe_load(path.read_text()) for path in Path(module.__file__).parent.glob("languages/*.yaml")}


def test_files_name_source_and_license_and_have_groups_of_english() -> None:
    assert {"en", "de", "es"} <= set(FILES)
    for content in FILES.values():
        assert content["source"]
        assert content["license"]
        assert set(content["groups"]) <= set(FILES["en"]["groups"])
        for group in content["groups"].values():
            assert set(group) in ({"pattern"}, {"phrases"})


@pytest.mark.parametrize("language", FILES)
def test_every_listed_phrase_is_found_also_among_fillers(language: str) -> None:
    content = FILES[language]
    for name, group in content["groups"].items():
        for phrase in group.get("phrases", ()):
            assert phrases(language).fullmatch(name, phrase.upper() + "!"), phrase
            for filler in content.get("fillers", ())[:5]:
                assert phrases(language).fullmatch(name, f"{filler}, {phrase} {filler}"), (filler, phrase)
            assert not phrases(language).fullmatch(name, f"xx {phrase}")


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("de-DE", "de"),
        ("de_CH", "de"),
        ("zh_Hant_TW", "zh"),
        ("ES", "es"),
        (None, "en"),
        ("", "en"),
        ("English", "en"),
        ("deutsch", "de"),
        ("Simlish", "simlish"),
    ],
)
def test_language_of_a_locale(locale: str | None, language: str) -> None:
    assert language_of(locale) == language


@given(st.text(max_size=12))
def test_locale_of_any_text_has_phrases_of_its_language_or_none(locale: str) -> None:
    found = phrases(locale)
    assert found.has(*FILES["en"]["groups"]) == (found.language in FILES)


def kinds(dialogue: Dialogue) -> list[tuple[str, tuple[int, ...]]]:
    return [(signal.kind, signal.turns) for signal in find_signals(dialogue)]


@pytest.mark.parametrize(
    ("locale", "lines", "expected"),
    [
        ("de-DE", ("spiel haze", "Ich spiele Rain.", "Ach, vergiss es", "Gut."), []),
        ("de-DE", ("spiel haze", "Ich spiele Rain.", "Bitte vergiss es!", "Gut."), [("stop", (0,))]),
        ("de", ("spiel haze", "Ich spiele Rain.", "Das hast du falsch verstanden", "Gut."), [("correction", (0,))]),
        ("es-MX", ("pon haze", "Pongo Rain.", "olvídalo, por favor", "Vale."), [("stop", (0,))]),
        ("es", ("pon haze", "Lo siento, no he entendido.", "pon rain", "Vale."), [("repetition", (0,))]),
        ("fr-FR", ("joue haze", "Je joue Rain.", "never mind, thanks", "Ok."), []),
        ("de-DE", ("spiel haze", "Ich spiele Rain.", "never mind", "Ok."), []),
        (None, ("play haze", "I play Rain.", "never mind", "Ok."), [("stop", (0,))]),
    ],
)
def test_words_are_read_in_the_language_of_the_dialogue(
    locale: str | None, lines: tuple[str, ...], expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    assert kinds(talk(*lines, locale=locale)) == expected


@pytest.mark.parametrize("kind", ["correction", "gratitude", "stop", "rating"])
def test_silence_in_a_language_without_phrases_is_no_evidence(kind: str) -> None:
    lines = ("a", "b", "c", "d")
    assert detector(kind).observable(talk(*lines, locale="en-US"), 0)
    assert not detector(kind).observable(talk(*lines, locale="fr-FR"), 0)


def test_signals_command_counts_dialogues_of_languages_that_lack_phrases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    locales = ["fr-FR", "fr-CA", "de-DE", "en-US", None]
    write_log(log, [talk("a", "b", id=str(k), locale=locale) for k, locale in enumerate(locales)])
    assert main(["feedback", "signals", str(log), str(tmp_path / "out.jsonl")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "language 'fr' of 2 dialogues has no phrases" in shown
    assert "language 'de' of 1 dialogue has few phrases: no signals from words of answer, gratitude" in shown
    assert "'en'" not in shown
