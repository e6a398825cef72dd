"""Normalized values: by rules, by a catalogue, and not at all."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.base.errors import InputError, UsageError
from labelgen.data.catalogue import Catalogue, plain_words, read_catalogue
from labelgen.data.values import CATALOGUE, SIMILAR, TEXT, comparable, normalize

START = "2026-03-02T23:59:00Z"
"""A Monday."""

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(n: int) -> str:
    """A number below a million in English words."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f" {ONES[n % 10]}" if n % 10 else "")
    size, name = (100, "hundred") if n < 1000 else (1000, "thousand")
    rest = f" and {in_words(n % size)}" if n % size and size == 100 else f" {in_words(n % size)}" if n % size else ""
    return f"{in_words(n // size)} {name}{rest}"


@given(st.integers(0, 999_999))
def test_numbers_in_words_equal_their_digits(n: int):
    for text in (in_words(n), str(n), f"{n:,}"):
        assert (normalize(text).text, normalize(text).origin) == (str(n), "number"), text


@given(st.integers(1, 99), st.integers(1, 59))
def test_durations_in_any_words_are_one_iso_duration(hours: int, minutes: int):
    written = {
        comparable(text)
        for text in (
            f"{in_words(hours)} hours and {in_words(minutes)} minutes",
            f"{hours}h {minutes} min",
            f"{60 * hours + minutes} minutes",
        )
    }
    # Whole days have a form of their own.
    assert len(written) == 1
    assert written == {f"pt{hours}h{minutes}m"}


@given(st.integers(1, 12), st.integers(0, 59), st.sampled_from(["am", "pm"]))
def test_clock_times_equal_those_of_24_hours(hour: int, minute: int, half: str):
    expected = f"{hour % 12 + 12 * (half == 'pm'):02}:{minute:02}"
    dotted = f"{half[0]}.{half[1]}."
    for text in (f"{hour}:{minute:02} {half}", f"at {hour}:{minute:02}{half}", f"{hour}:{minute:02} {dotted}"):
        assert normalize(text).text == expected, text
    assert normalize(f"{hour}:{minute:02}").text.lstrip("~") == f"{hour:02}:{minute:02}"


@given(st.decimals(-999_999, 999_999, places=2))
def test_signs_and_all_digits_of_a_number_stay(n: Decimal):
    value = normalize(f"{n:,} dollars")
    assert (Decimal(value.text), value.origin) == (n, "money")
    assert comparable(f"{n}") == comparable(normalize(f"{n}").text)
    assert n == 0 or comparable(f"{n} degrees") != comparable(f"{-n} degrees")


@pytest.mark.parametrize("words", ["9" * 5000, "9" * 400 + ".5", "1 and " + "9" * 5000, "፩ : ፩"])
def test_numbers_without_a_meaning_stay_words(words: str):
    assert normalize(words).origin == TEXT


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("words", ["yesterday", "tomorrow", "next week", "march 3rd", "a song"])
def test_placeholder_of_a_start_is_no_day(words: str, start: str):
    assert normalize(words, start=start) == normalize(words)


@given(st.dates(date(2000, 1, 1), date(2090, 12, 31)), st.integers(0, 6))
def test_weekday_is_the_next_one_after_the_start(day: date, weekday: int):
    name = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"][weekday]
    found = date.fromisoformat(normalize(name, start=day.isoformat()).text)
    assert found.weekday() == weekday
    assert timedelta(0) < found - day <= timedelta(7)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("half an hour", "PT30M"),
        ("an hour and a half", "PT1H30M"),
        ("two and a half minutes", "PT2M30S"),
        ("a quarter of an hour", "PT15M"),
        ("two weeks", "P2W"),
        ("forty percent", "40%"),
        ("two point five", "2.5"),
        ("a dozen", "12"),
        ("two bottles of", "2 bottle"),
        ("20 euros", "20 EUR"),
        ("$20", "20"),
        ("half past four", "~04:30"),
        ("a quarter to five in the afternoon", "16:45"),
        ("evening 6:30", "18:30"),
        ("noon", "12:00"),
        ("tomorrow morning", "2026-03-03TMO"),
        ("tonight", "2026-03-02TNI"),
        ("this weekend", "2026-W10-WE"),
        ("next week", "2026-W11"),
        ("march 1st", "2027-03-01"),
        ("the twenty first of march", "2026-03-21"),
        ("the 1st", "2026-04-01"),
    ],
)
def test_words_have_the_value_and_a_value_is_its_own(words: str, value: str):
    assert normalize(words, start=START).text == value
    assert normalize(value, start=START).text == value
    assert comparable(words, START) == comparable(value, START)


@pytest.mark.parametrize("words", ["tomorrow", "tonight", "this weekend", "monday", "the 1st", "next week"])
def test_relative_dates_without_a_start_stay_words(words: str):
    value = normalize(words)
    assert (value.text, value.origin, value.resolved) == (words, TEXT, False)


@pytest.mark.parametrize(
    "words", ["purple haze", "", "the", "may", "a lot", "some more", "five golden rings", "minutes"]
)
def test_words_that_no_rule_reads_stay(words: str):
    assert normalize(words, start=START).text == words
    assert normalize(words, start=START).origin == TEXT


def test_language_without_rules_stays_words():
    assert normalize("15 minutes", locale="fi-FI").origin == TEXT
    assert normalize("15 minutes", locale="en_GB").text == "PT15M"
    assert normalize("15 minutes", locale="../en").origin == TEXT


@given(st.text(max_size=30))
def test_any_text_normalizes_to_a_fixed_point(text: str):
    once = normalize(text, start=START)
    assert once.resolved or once.text == text
    assert comparable(once.text, START) == comparable(text, START)


SONGS = Catalogue(
    {"song": {"Purple Haze": ("the haze song",), "Purple Rain": (), "Seventeen": ()}, "room": {"den": ()}}
)


def test_catalogue_matches_names_and_aliases_exactly_before_rules():
    for words in ("purple haze", "PURPLE  Haze!", "the haze song"):
        assert normalize(words, "song", SONGS) == normalize("Purple Haze", "song", SONGS)
        assert normalize(words, "song", SONGS).origin == CATALOGUE
    assert normalize("seventeen", "song", SONGS).text == "Seventeen"
    assert normalize("seventeen", "room", SONGS).text == "17"


def test_catalogue_matches_similar_words_unless_two_are_as_near():
    assert (normalize("purple hase", "song", SONGS).text, normalize("purple hase", "song", SONGS).origin) == (
        "Purple Haze",
        SIMILAR,
    )
    near = Catalogue({"song": {"purple haze": (), "purple maze": ()}})
    assert normalize("purple daze", "song", near).origin == TEXT
    assert normalize("purple maze", "song", near).text == "purple maze"
    assert normalize("something else", "song", SONGS).origin == TEXT


@given(
    st.permutations(["purple haze", "purple rain", "purple train", "green rain"]), st.text("purlehazintg ", max_size=12)
)
def test_order_of_a_catalogue_changes_no_match(names: list[str], words: str):
    plain = Catalogue({"song": dict.fromkeys(sorted(names), ())})
    assert Catalogue({"song": dict.fromkeys(names, ())}).match("song", words) == plain.match("song", words)


def test_catalogues_of_both_forms_are_equal(tmp_path: Path):
    yaml, lines = tmp_path / "c.yaml", tmp_path / "c.jsonl"
    yaml.write_text("song:\n  Purple Haze: [the haze song]\n  Purple Rain:\nroom: [den]\n", encoding="utf-8")
    lines.write_text(
        '{"slot": "song", "value": "Purple Haze", "aliases": ["the haze song"]}\n\n'
        '{"slot": "song", "value": "Purple Rain"}\n{"slot": "room", "value": "den"}\n',
        encoding="utf-8",
    )
    first, second = read_catalogue(yaml), read_catalogue(lines)
    assert first.entries == second.entries
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.yaml", "song: 7\n", "no catalogue"),
        ("c.yaml", "song: [on]\n", "no catalogue"),
        ("c.yaml", "song: [a\n", "no catalogue"),
        ("c.jsonl", '{"slot": "song", "value": "a"}\n{"slot": "song"}\n', "no entry"),
        ("c.jsonl", "\x00\n", "no entry"),
    ],
)
def test_file_that_is_no_catalogue_is_refused_with_its_place(tmp_path: Path, name: str, content: str, message: str):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_catalogue(path)
    assert name in str(error.value)


def test_missing_catalogue_is_refused(tmp_path: Path):
    with pytest.raises(UsageError):
        read_catalogue(tmp_path / "none.yaml")


@given(st.text(max_size=40))
def test_plain_words_are_their_own_form(text: str):
    assert plain_words(plain_words(text)) == plain_words(text)
