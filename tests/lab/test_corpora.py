"""The readers on whole public corpora: hardly a record is bad, and the counts are the published ones.

LABELGEN_DATA names the folder of the corpora, each in its published layout; a corpus that is not there is skipped."""

import os
from pathlib import Path

import pytest

from labelgen.data.log import Log
from labelgen.data.stats import log_stats

pytestmark = pytest.mark.corpora

COUNTS: dict[str, tuple[str, int, str, dict[str, int]]] = {
    "star": ("star", 5285, "user outcome", {"success": 1327, "failure": 473}),
    "getgoing": ("getgoing", 836, "user outcome", {"success": 85, "failure": 12}),
    "betold": ("betold", 1352, "user outcome", {"success": 901, "failure": 451}),
    "uss": ("uss", 3479, "", {}),
    "snips": ("snips", 13784, "", {}),
    "slurp": ("slurp/dataset/slurp/devel.jsonl", 2033, "", {}),
    "multiwoz": ("multiwoz", 1552, "person outcome", {"success": 1417}),
    "multidogo": ("multidogo", 11313, "", {}),
    "dbdc3": ("dbdc3", 415, "person quality", {"good": 40900, "fair": 46432, "bad": 37168}),
    "abredial": ("abredial", 140, "person outcome", {"success": 275, "failure": 33}),
    "stc3": ("stc3", 2941, "person outcome", {"success": 13757, "failure": 18757}),
    "taskmaster": ("taskmaster/TM-3-2020", 2924, "person quality", {"good": 461, "bad": 2463}),
    "dstc10": ("dstc10", 263, "person intents", {"knowledge_seeking": 104}),
}
"""format -> (path, dialogues, kind of annotator and task, labels by name)."""


@pytest.mark.parametrize("format", COUNTS)
def test_full_corpus_has_published_counts(format: str):
    path, dialogues, of, labels = COUNTS[format]
    corpus = Path(os.environ.get("LABELGEN_DATA", "no corpora")) / path
    if not corpus.exists():
        pytest.skip(f"there is no {corpus}")
    found = log_stats(Log([corpus], format, max_bad_rate=0.002))
    assert found.dialogues == dialogues
    if of:
        kind, task = of.split()
        assert found.tasks[kind, task].labels == labels
