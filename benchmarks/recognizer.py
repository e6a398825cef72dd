"""Requests of SNIPS, spoken by espeak-ng among babble and recognized by Whisper base: real n-best lists, confidences and sound.

The voice, its speed and its pitch change with the request. Babble is six other requests, spoken at the same time, at a given ratio to the
request. The log has the first hypothesis as its request, five hypotheses with their log-probabilities per token, and what was spoken as the
annotation of `speaker`."""

import io
import subprocess
from collections.abc import Sequence
from math import exp, gcd
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from labelgen.data.dialogue import Audio, Dialogue, Recognition
from labelgen.data.labels import REQUEST, TRANSCRIPTION, Annotation, AtTurn, Label, plain_words
from labelgen.data.log import Log, write_log

RATE, LOUD = 16_000, 0.05
_VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
_BABBLERS, _HYPOTHESES, _TOKENS = 6, 5, 32
_ENGLISH = (50258, 50259, 50359, 50363)
"""Whisper's tokens of English speech to be written down without times."""


def heard(log: Sequence[Path], whisper: Sequence[Path], decibels: str, out: Sequence[Path]) -> None:
    """Write the log and, in the same folder, the sound of each request. decibels: of the request over the babble."""
    import soundfile
    import torch
    from transformers import AutoTokenizer, GenerationMixin, WhisperFeatureExtractor, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(whisper[0]).eval()
    extract, tokenizer = WhisperFeatureExtractor.from_pretrained(whisper[0]), AutoTokenizer.from_pretrained(whisper[0])
    dialogues = [d for d in Log(list(log)) if d.turns[0].request.strip()]
    spoken = [_speech(dialogue.turns[0].request, dialogue.id) for dialogue in dialogues]
    folder, made = out[0].parent, []
    for k, dialogue in enumerate(dialogues):
        rng = Random(f"babble {dialogue.id}")
        others = rng.sample([sound for j, sound in enumerate(spoken) if j != k], _BABBLERS)
        sound = spoken[k] + _babble(others, len(spoken[k]), rng) * 10 ** (-float(decibels) / 20)
        soundfile.write(folder / f"{k}.wav", sound, RATE)
        read = extract(sound, sampling_rate=RATE, return_tensors="pt").input_features
        with torch.inference_mode():
            # That of Whisper itself returns one hypothesis.
            found: Any = GenerationMixin.generate(
                model,
                read,
                decoder_input_ids=torch.tensor([_ENGLISH]),
                num_beams=_HYPOTHESES,
                num_return_sequences=_HYPOTHESES,
                max_new_tokens=_TOKENS,
                return_dict_in_generate=True,
                output_scores=True,
                use_cache=True,
            )
        texts = [plain_words(text) for text in tokenizer.batch_decode(found.sequences, skip_special_tokens=True)]
        made.append(_recognized(dialogue, texts, found.sequences_scores.tolist(), f"{k}.wav"))
    write_log(out[0], made)


def _recognized(dialogue: Dialogue, texts: Sequence[str], scores: Sequence[float], sound: str) -> Dialogue:
    words = plain_words(dialogue.turns[0].request)
    turn = structs.replace(
        dialogue.turns[0],
        request=texts[0],
        nbest=tuple(Recognition(text=text, score=score) for text, score in zip(texts, scores, strict=True)),
        asr_confidence=min(1.0, exp(scores[0])),
        audio=Audio(path=sound),
    )
    best = words if words in texts else texts[0]
    said = (("speaker", "person", words), ("first hypothesis", "rule", texts[0]), ("in the list", "rule", best))
    notes = [Annotation(who, kind, (Label(TRANSCRIPTION, AtTurn(0), REQUEST, value=text),)) for who, kind, text in said]
    # Spans of slots are of the words that were spoken.
    kept = tuple(label for label in dialogue.annotations[0].labels if isinstance(label.at, AtTurn))
    notes.append(structs.replace(dialogue.annotations[0], labels=kept))
    return structs.replace(dialogue, turns=(turn,), annotations=tuple(notes))


def _speech(text: str, key: str) -> NDArray[np.float64]:
    """[samples] at RATE, of the same loudness."""
    import soundfile
    from scipy.signal import resample_poly

    rng = Random(key)
    words = ["-v", rng.choice(_VOICES), "-s", str(rng.randint(140, 200)), "-p", str(rng.randint(25, 75))]
    done = subprocess.run(["espeak-ng", *words, "--stdout", text], capture_output=True, check=True)
    sound, rate = soundfile.read(io.BytesIO(done.stdout))
    shared = gcd(RATE, rate)
    return _as_loud(resample_poly(sound, RATE // shared, rate // shared))


def _babble(others: Sequence[NDArray[np.float64]], length: int, rng: Random) -> NDArray[np.float64]:
    """[length], of the loudness of one request."""
    return _as_loud(np.sum([np.roll(np.resize(sound, length), rng.randrange(length)) for sound in others], axis=0))


def _as_loud(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = sound * LOUD / np.sqrt(np.mean(sound**2))
    return scaled
