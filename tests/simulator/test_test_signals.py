"""The test signal that stands in for speech: where the log says, and as loud as the user is annoyed."""

import numpy as np
import soundfile

from labelgen.simulator.log import scene
from labelgen.simulator.sound import write_sound
from labelgen.simulator.world import WorldOptions

ALL = WorldOptions(sound=1.0, result_errors=0.3, entity_errors=0.3)


def test_sound_share_changes_only_audio():
    silent = [scene(1, k) for k in range(100)]
    some = [scene(1, k, WorldOptions(sound=0.4)) for k in range(100)]
    assert all(s.voice is None for s in silent)
    assert 25 <= sum(s.voice is not None for s in some) <= 55
    for a, b in zip(silent, some, strict=True):
        assert [t.request for t in a.dialogue.turns] == [t.request for t in b.dialogue.turns]
        assert all((t.audio is not None) == (b.voice is not None) for t in b.dialogue.turns)


def test_sound_segments_reflect_mood(tmp_path):
    calm: list[float] = []
    angry: list[float] = []
    for index in range(40):
        one = scene(2, index, ALL)
        assert one.voice is not None
        for turn, mood in zip(one.dialogue.turns, one.voice.annoyance, strict=True):
            assert turn.audio is not None
            assert turn.audio.start_s is not None
            assert turn.audio.end_s is not None
            path = tmp_path / turn.audio.path
            if not path.exists():
                write_sound(path, one.voice)
            samples, rate = soundfile.read(path)
            start, end = round(turn.audio.start_s * rate), round(turn.audio.end_s * rate)
            assert 0 <= start < end <= len(samples)
            loudness = float(np.sqrt(np.mean(samples[start:end] ** 2)))
            (angry if mood > 0.3 else calm).append(loudness)
    assert min(len(calm), len(angry)) > 10
    assert min(angry) > np.mean(calm)


def test_sound_is_deterministic(tmp_path):
    for name in ("a.wav", "b.wav"):
        voice = scene(3, 4, ALL).voice
        assert voice is not None
        write_sound(tmp_path / name, voice)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
