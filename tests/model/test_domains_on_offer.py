"""Where a record says which domains were on offer, only their labels are given."""

import json

import pytest
from labeled import labeled_dialogue
from msgspec.structs import replace
from random_models import assert_alike, random_model

from labelgen.base.errors import UsageError
from labelgen.cli.command import LogOptions, open_log
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import LabelName
from labelgen.data.log import write_log
from labelgen.model.annotator import Annotator
from labelgen.model.build import with_labels
from labelgen.model.calibration import Calibration, read_calibration, write_calibration
from labelgen.model.folder import model_digest, save_model

NAMES = tuple(LabelName(name) for name in ("a.x", "a.y.z", "b.x", "plain"))


def offering(dialogue: Dialogue, domains: object) -> Dialogue:
    return replace(dialogue, extra=json.dumps({"skills": domains}))


def test_a_record_whose_list_is_none_is_set_aside_before_it_is_judged(tmp_path):
    log = tmp_path / "log.jsonl"
    offered = (["a"], "a", None, [1])
    write_log(log, [offering(replace(labeled_dialogue(k), id=f"d{k}"), said) for k, said in enumerate(offered)])
    bad = tmp_path / "bad.jsonl"
    read = open_log(LogOptions(log=(str(log),), quarantine=bad, max_bad_rate=1.0), [str(log)], "skills")
    assert [dialogue.id for dialogue in read] == ["d0", "d2"]
    assert read.reasons == {"bad_domains": 2}
    assert {json.loads(line)["field"] for line in bad.read_text(encoding="utf-8").splitlines()} == {"skills"}


def test_only_labels_of_the_domains_on_offer_are_given(tiny_encoder, tmp_path):
    model = random_model(tiny_encoder, 1, band=6)
    labels = {"toy": dict.fromkeys(("intents", "slots"), NAMES)}
    save_model(with_labels(model, labels), tmp_path / "m", {})
    plain = [replace(labeled_dialogue(k, turns=8), source="toy") for k in range(6)]
    asked = Annotator(tmp_path / "m", domains_from="skills")
    everything = named(Annotator(tmp_path / "m").annotate(plain))
    assert {name.partition(".")[0] for name in everything} >= {"a", "b"}
    assert named(asked.annotate(plain)) == everything
    (said,) = asked.annotate([offering(plain[0], ["b"])])
    assert said.provenance is not None
    assert said.provenance.domains_from == "skills"
    mixed = [offering(dialogue, ["b"] if k % 2 else ["a", "c"]) for k, dialogue in enumerate(plain)]
    for k, own in enumerate(asked.annotate(mixed)):
        given_ = {name.partition(".")[0] for name in named([own])}
        assert given_ <= ({"b", "plain"} if k % 2 else {"a", "plain"})
        # Who else is labeled with it does not show.
        assert_alike(asked.annotate([mixed[k]])[0].answers, own.answers)


def named(annotations) -> set[str]:
    return {x.name for own in annotations for x in own.labels if x.task in ("intents", "slots")}


def test_a_calibrated_model_is_asked_as_it_was_calibrated(tiny_encoder, tmp_path):
    folder = tmp_path / "m"
    save_model(random_model(tiny_encoder, 1, band=6), folder, {})
    made = Calibration(
        version="0",
        model_digest=model_digest(folder),
        data_digest="",
        against="consensus",
        max_error=0.1,
        confidence=0.9,
        command="",
        tasks=(),
        domains_from="skills",
    )
    write_calibration(folder, made)
    assert read_calibration(folder) == made
    assert Annotator(folder, domains_from="skills")._calibrated is not None
    for field in ("others", None):
        with pytest.raises(UsageError, match="calibrated with --domains-from skills"):
            Annotator(folder, domains_from=field)
        assert Annotator(folder, domains_from=field, calibrated=False)._calibrated is None
