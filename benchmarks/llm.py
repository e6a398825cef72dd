"""An LLM as one more annotator beside a person and labelgen, with simulated answers.

No LLM is called and nobody writes answers: they are drawn from confusion matrices, and go the way of real ones, as the file that
`labelgen review import --from llm` reads. Errors are not independent of people's: an answer is wrong more often where people disagree, and
its wrong name is one that they chose. `rows` takes the predictions of `labelgen evaluate --escalate-to`, so it measures a file of real
answers just as well.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import structs
from msgspec.structs import replace
from numpy.typing import NDArray

from labelgen.agreement.consensus import CONSENSUS
from labelgen.base.files import write_text
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import QUALITY_NAMES, At, AtDialogue, AtTurn, answers, to_scale
from labelgen.data.log import Log, write_log
from labelgen.data.split import position
from labelgen.model.annotator import Annotator
from labelgen.review.label_studio import Questions
from labelgen.review.llm import prompt_of

from .results import Result
from .rows import PERSON, from_predictions

Array = NDArray[np.float64]

TASK = "quality"
LLM, MODEL = "LLM", "labelgen"
BOTH = f"{MODEL} + {LLM}"
SYSTEMS = (PERSON, LLM, MODEL, BOTH)
PAIRS = ((LLM, PERSON), (MODEL, PERSON), (BOTH, PERSON), (BOTH, MODEL), (BOTH, LLM))
_NUMBER: Mapping[str, int] = {name: k for k, name in enumerate(QUALITY_NAMES)}
_EASIEST = 0.05
"""Added to the share of people who disagree, so that no item is free of errors."""
_LEAST = 0.1
"""Added to the share of people who chose a wrong name, so that every name can be given."""
_TIMED = 100


def draw(
    log: Sequence[Path],
    confusions: Mapping[str, Sequence[Sequence[float]]],
    llm: str,
    bias: float,
    completion: float,
    assumed: Mapping[str, float],
    seed: str,
    out: Sequence[Path],
) -> None:
    """Write answers of a simulated LLM to a log with people's annotations and their consensus.

    Args:
        confusions: LLM -> [true name, given name] bad, fair, good; rows sum to 1. The true name is the consensus.
        llm: which of them.
        bias: standard deviation of how strict the LLM is as a whole; odds of each step upwards are multiplied by exp(strictness).
        completion: share of dialogues with an answer.
        assumed: price of a token read (`read`) and written (`written`), `characters` of a token, tokens of an `answer` to one field.
    """
    rng = np.random.default_rng([int(seed), 31])
    dialogues = list(Log(list(log)))
    places = [_votes(dialogue) for dialogue in dialogues]
    votes = np.array([row for of_dialogue in places for row in of_dialogue.values()])
    truth = np.array(
        [
            _truth(d, at, row, rng)
            for d, of_dialogue in zip(dialogues, places, strict=True)
            for at, row in of_dialogue.items()
        ]
    )
    given = drawn(votes, truth, biased(np.asarray(confusions[llm], dtype=np.float64), rng.normal(0.0, bias)), rng)
    lines, start = [], 0
    for dialogue, of_dialogue in zip(dialogues, places, strict=True):
        names = [QUALITY_NAMES[k] for k in given[start : start + len(of_dialogue)]]
        start += len(of_dialogue)
        if names and rng.random() < completion:
            prompt = prompt_of(dialogue, Questions(frozenset({TASK}), (), (), 0))["prompt"]
            read, written = len(prompt) / assumed["characters"], assumed["answer"] * len(names)
            line = {"id": dialogue.id, "answer": _answer(dict(zip(of_dialogue, names, strict=True)))}
            lines.append({**line, "price": round(read * assumed["read"] + written * assumed["written"], 8)})
    write_text(out[0], "".join(f"{json.dumps(line)}\n" for line in lines))


def biased(confusion: Array, strictness: float) -> Array:
    """The confusion matrix [K, K] of an annotator who is lenient (above 0) or strict (below 0)."""
    k = np.arange(len(confusion))
    odds = confusion * np.exp(strictness * (k[None, :] - k[:, None]))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def drawn(votes: Array, truth: NDArray[np.int64], confusion: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """A name of each item, [N]. votes: [N, K], shares of people. Of each true name as many are wrong as the matrix says, the probability of
    an error in proportion to the share of people who disagree with it."""
    disagreement = 1.0 - votes[np.arange(len(truth)), truth] + _EASIEST
    given = truth.copy()
    for name in range(len(confusion)):
        items = np.flatnonzero(truth == name)
        if not len(items):
            continue
        wrong = items[rng.random(len(items)) < _rates(disagreement[items], 1.0 - confusion[name, name])]
        odds = confusion[name] * (votes[wrong] + _LEAST)
        odds[:, name] = 0.0
        ends = odds.cumsum(axis=1)
        given[wrong] = (rng.random(len(wrong))[:, None] * ends[:, -1:] >= ends).sum(axis=1)
    return given


def _rates(difficulty: Array, mean: float) -> Array:
    """Rates in proportion to difficulty, at most 1, of this mean; the factor is found by bisection."""
    low, high = 0.0, 1.0 / _EASIEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle * difficulty, 1.0).mean() < mean else (low, middle)
    return np.minimum(high * difficulty, 1.0)


def _votes(dialogue: Dialogue) -> dict[At, list[float]]:
    """Shares of the names among the people who judged each turn and the dialogue."""
    counts: dict[At, list[int]] = {}
    for annotation in dialogue.annotations:
        if annotation.kind == "person":
            for at, labels in answers(annotation, TASK).items():
                for label in labels:
                    counts.setdefault(at, [0] * len(QUALITY_NAMES))[_NUMBER[label.name]] += 1
    return {at: [n / sum(row) for n in row] for at, row in counts.items()}


def _truth(dialogue: Dialogue, at: At, votes: Sequence[float], rng: np.random.Generator) -> int:
    """The consensus; of a tie one of the names with most votes."""
    agreed = dialogue.annotation(CONSENSUS)
    labels = () if agreed is None else answers(agreed, TASK).get(at, ())
    if labels:
        return _NUMBER[labels[0].name]
    return int(rng.choice(np.flatnonzero(np.asarray(votes) == max(votes))))


def _answer(names: Mapping[At, str]) -> dict[str, object]:
    turns = [{"turn": at.turn, TASK: to_scale(name)} for at, name in names.items() if isinstance(at, AtTurn)]
    whole = {TASK: to_scale(names[AtDialogue()])} if AtDialogue() in names else {}
    return {**whole, "turns": sorted(turns, key=lambda turn: turn["turn"])}


def rows(
    predictions: Sequence[Path],
    corpus: str,
    setting: str,
    model: Sequence[Path],
    assumed: Mapping[str, float],
    metrics: Sequence[str],
) -> list[Result]:
    """Agreement of a person, the LLM, labelgen and both with the consensus of the others, and what 1,000 dialogues cost in money and time.

    Args:
        predictions: of each draw.
        model: its folder; the time that it takes is measured.
        assumed: `minutes` and `hourly` price of a person; `seconds` of an answer of the LLM, of which `at_once` are asked together; price of
            a CPU `core` for an hour.
    """
    cells = {"corpus": corpus, "split": "test part", "setting": setting, "reference": "other annotators"}
    made = from_predictions(
        predictions, corpus, "", metrics, others=[None], pool_units=True, pairs=PAIRS, systems=SYSTEMS
    )
    kept = [
        row for row in made if row.interval != "range" and (" " in row.seed or not row.seed or len(predictions) == 1)
    ]
    logs = [list(Log([path])) for path in predictions]
    prices = {name: [_price(log, name) for log in logs] for name in (LLM, BOTH)}
    asked = float(np.mean([share for _, share in prices[BOTH]]))
    answer = float(np.mean([price for price, _ in prices[LLM]]))
    computed_s = _cpu_seconds(model[0], logs[0][:_TIMED])
    llm_hours, own_hours, person_hours = (
        assumed["seconds"] / assumed["at_once"] / 3600,
        computed_s / 3600,
        assumed["minutes"] / 60,
    )
    own_price = own_hours * assumed["core"]
    of_system = {
        PERSON: (person_hours * assumed["hourly"], person_hours),
        LLM: (answer, llm_hours),
        MODEL: (own_price, own_hours),
        BOTH: (own_price + asked * answer, own_hours + asked * llm_hours),
    }
    for system, (price, hours) in of_system.items():
        for metric, value in (("price_per_thousand", 1000 * price), ("hours_per_thousand", 1000 * hours)):
            kept.append(Result(task="cost", system=system, metric=metric, value=float(f"{value:.3g}"), n=len(logs[0])))
    share = Result(task="cost", system=BOTH, metric="asked_share", value=round(asked, 4), n=len(logs[0]))
    return [structs.replace(row, **cells) for row in [*kept, share]]


def _price(log: Sequence[Dialogue], annotator: str) -> tuple[float, float]:
    """Mean price of the answers that have one, and their share of the dialogues."""
    found = [a.price for d in log if (a := d.annotation(annotator)) is not None and a.price is not None]
    return float(np.mean(found)) if found else 0.0, len(found) / len(log)


def _cpu_seconds(model: Path, dialogues: Sequence[Dialogue]) -> float:
    """CPU seconds that a model takes for one dialogue."""
    annotator = Annotator(model)
    began = time.process_time()
    annotator.annotate(dialogues)
    return (time.process_time() - began) / len(dialogues)


def few_people(log: Sequence[Path], share: float, people: int, out: Sequence[Path]) -> None:
    """The log with at most so many people in a share of the dialogues, named `person 1` onwards, and none in the others. The LLM's answers
    stay, a consensus does not."""
    made = []
    for dialogue in Log(list(log)):
        several = [a for a in dialogue.annotations if a.kind == "person"] if position(0, dialogue.id) < share else []
        drawn = sorted(several, key=lambda a: position(0, f"{dialogue.id} {a.annotator}"))[:people]
        named = [replace(a, annotator=f"person {k}") for k, a in enumerate(drawn, start=1)]
        machine = [a for a in dialogue.annotations if a.kind == "llm"]
        made.append(replace(dialogue, annotations=(*named, *machine)))
    write_log(out[0], made, force=True)
