"""scripts/public.sh with commands that only pretend: what fails or is interrupted leaves nothing running."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "public.sh"
PATIENCE_S = 60
PRETRAINS = """if [ "${1:-}" = pretrain ]; then
  while [ "$1" != --out ]; do shift; done
  mkdir -p "$2/model"
  touch "$2/model/digests.json"
fi"""


@pytest.fixture
def start(tmp_path: Path):
    """Start the script over a `labelgen` that does what is given, in bash. The script and all that it starts hold the
    pipes of its output, so that these end when nothing of it runs any more, and not before."""

    def start(labelgen: str) -> subprocess.Popen[str]:
        (tmp_path / "bin").mkdir()
        for name, does in (("labelgen", labelgen), ("python", "")):
            command = tmp_path / "bin" / name
            command.write_text(f"#!/usr/bin/env bash\nbegun={tmp_path}/begun\n{PRETRAINS}\n{does}\n")
            command.chmod(0o755)
        os.mkfifo(tmp_path / "begun")
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", SCRIPT, tmp_path / "corpora", tmp_path / "out"],
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


# What this test should fail to stop ends with the tests.
ENDLESS = f'echo begun >"$begun"; tail --pid={os.getpid()} -f /dev/null'


def test_every_stage_and_the_whole_say_how_long_they_took(start, tmp_path: Path):
    script = start("")
    out, err = script.communicate(timeout=PATIENCE_S)
    assert (script.returncode, err) == (0, "")
    took = re.findall(r"^== took \d+:\d\d:\d\d: (.*)$", out, re.M)
    assert took[-1] == "all of it"
    for stage in ("encoder/origin.json", "sgd-alone/model/digests.json", "evaluation-sgd/evaluation.json"):
        assert took.count(str(tmp_path / "out" / stage)) == 1


@pytest.mark.parametrize(("fails", "goes_on"), [("sgd-context", "sgd-alone"), ("sgd-alone", "sgd-context")])
def test_where_one_lane_fails_the_other_is_stopped(start, fails: str, goes_on: str):
    script = start(f"""case "$*" in
      *out/{fails}*) read -r _ <"$begun"; echo the disk is full; exit 5 ;;
      *out/{goes_on}*) {ENDLESS} ;;
    esac""")
    out, err = script.communicate(timeout=PATIENCE_S)
    assert script.returncode == 5
    assert "the disk is full" in err
    assert "all of it" not in out


def test_an_interrupted_script_stops_its_lanes(start, tmp_path: Path):
    script = start(f'case "$*" in *out/sgd-alone*) {ENDLESS} ;; esac')
    with open(tmp_path / "begun") as begun:
        assert begun.readline() == "begun\n"
    script.send_signal(signal.SIGTERM)
    script.communicate(timeout=PATIENCE_S)
    assert script.returncode == 128 + signal.SIGTERM
