"""A CPU that crashes on instructions it announces is used without them."""

import json
import os
import signal
from pathlib import Path

import pytest
from announced_amx import LEVELS, MAX, PROBED, announce_amx, crash, crashes_above
from some_logs import record, write_lines

from labelgen.cli.main import main
from labelgen.kernels import processor as module
from labelgen.kernels.processor import choose_instruction_set, has_bf16, instruction_set, is_lowered
from labelgen.model.annotator import Annotator
from labelgen.model.folder import load_model


@pytest.fixture
def amx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return announce_amx(tmp_path, monkeypatch)


@pytest.mark.parametrize("works", LEVELS[:-1])
def test_choose_instruction_set_crash_above_level_sets_that_level_once(amx: Path, capfd, works: str):
    choose_instruction_set(crashes_above(works))
    assert os.environ[MAX] == instruction_set() == works
    assert is_lowered()
    assert has_bf16("cpu") == (works in LEVELS[-3:])
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "crash (Illegal instruction) with this CPU's AVX512_CORE_AMX instructions" in told
    assert f"using {MAX}={works}; hint:" in told
    choose_instruction_set(crash)
    assert capfd.readouterr().err == ""


def test_choose_instruction_set_hang_counts_as_crash(amx: Path, capfd):
    choose_instruction_set(crashes_above("AVX2", signal.pause), limit_s=0.1)
    assert instruction_set() == "AVX2"
    assert "hang for 0.1 s" in capfd.readouterr().err


def test_choose_instruction_set_hang_below_crash_is_skipped(amx: Path):
    def products() -> None:
        level = os.environ.get(MAX)
        if level == "AVX512_CORE_FP16":
            signal.pause()
        if level is None:
            crash()

    choose_instruction_set(products, limit_s=0.1)
    assert instruction_set() == "AVX512_CORE_BF16"


def test_choose_instruction_set_working_default_sets_nothing(amx: Path, capfd):
    choose_instruction_set(lambda: None)
    assert MAX not in os.environ
    assert (instruction_set(), is_lowered()) == ("AVX512_CORE_AMX", False)
    assert capfd.readouterr().err == ""


def test_choose_instruction_set_exception_and_output_are_ignored(amx: Path, capfd):
    def products() -> None:
        os.write(2, b"output")
        raise RuntimeError("this CPU has no such product")

    choose_instruction_set(products)
    assert MAX not in os.environ
    assert capfd.readouterr() == ("", "")


def test_probe_products_on_this_machine_run(monkeypatch: pytest.MonkeyPatch):
    before = os.environ.get(MAX)
    monkeypatch.setenv(PROBED, "")
    choose_instruction_set()
    assert os.environ.get(MAX) == before


@pytest.mark.parametrize("name", [MAX, "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize(
    ("level", "found"),
    [
        ("AVX512_CORE", "AVX512_CORE"),
        ("avx2", "AVX2"),
        ("AVX10_1_512", "AVX512_CORE_FP16"),
        ("AVX512_CORE_AMX_FP16", "AVX512_CORE_AMX"),
    ],
)
def test_choose_instruction_set_level_of_user_is_kept(amx: Path, monkeypatch, capfd, name: str, level: str, found: str):
    monkeypatch.setenv(name, level)
    choose_instruction_set(crash)
    assert os.environ[name] == level
    assert (instruction_set(), is_lowered()) == (found, False)
    assert capfd.readouterr().err == ""


def test_choose_instruction_set_changed_level_is_kept(amx: Path, monkeypatch):
    choose_instruction_set(crashes_above("AVX2"))
    monkeypatch.setenv(MAX, "AVX512_CORE")
    choose_instruction_set(crash)
    assert (instruction_set(), is_lowered()) == ("AVX512_CORE", False)


def test_choose_instruction_set_other_machine_probes_again(amx: Path):
    choose_instruction_set(crashes_above("AVX2"))
    amx.write_text("elsewhere\n")
    choose_instruction_set(crashes_above("AVX512_CORE_FP16"))
    assert instruction_set() == "AVX512_CORE_FP16"


def test_choose_instruction_set_no_working_level_sets_nothing(amx: Path, capfd):
    choose_instruction_set(crash)
    assert MAX not in os.environ
    assert "no lower level works" in capfd.readouterr().err


def test_instruction_set_other_architecture_is_none(amx: Path, monkeypatch, tmp_path: Path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    choose_instruction_set(crash)
    assert instruction_set() is None
    assert MAX not in os.environ


@pytest.fixture
def broken_amx(amx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing above AVX2 works."""
    monkeypatch.setattr(module, "_products", crashes_above("AVX2"))


def test_load_model_broken_amx_uses_working_level(broken_amx, tiny_model: Path):
    load_model(tiny_model)
    assert (instruction_set(), is_lowered()) == ("AVX2", True)


def test_annotator_broken_amx_records_level_in_provenance(broken_amx, tiny_model: Path, capfd):
    assert Annotator(tiny_model).provenance.isa == "AVX2"
    assert "using ONEDNN_MAX_CPU_ISA=AVX2" in capfd.readouterr().err


def test_label_resumed_at_other_level_is_refused(broken_amx, tiny_model: Path, tmp_path: Path, monkeypatch, capfd):
    write_lines(tmp_path / "in" / "a.jsonl", [record("a")])
    words = ["label", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(tiny_model), "--workers", "1"]
    assert main(words) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"]["model"]["isa"] == "AVX2"
    labeled = json.loads((tmp_path / "out" / "a.jsonl").read_text())
    assert labeled["annotations"][-1]["provenance"]["isa"] == "AVX2"
    assert main(words) == 0
    monkeypatch.setenv(MAX, "AVX512_CORE")
    assert main(words) == 4
    assert "model.isa: AVX2, now AVX512_CORE" in capfd.readouterr().err


def test_doctor_broken_amx_prints_level(broken_amx, capsys):
    main(["doctor"])
    told = capsys.readouterr()
    assert "ok     cpu level   AVX2, lowered" in told.out
    assert "no bf16: compute in 32 bits" in told.out
    assert told.err.count("using ONEDNN_MAX_CPU_ISA=AVX2") == 1
