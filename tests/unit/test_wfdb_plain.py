"""Plain WFDB records are read as wfdb reads them, and without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wfdb
from typer.testing import CliRunner

from ecg_edge.cli.app import make_app
from ecg_edge.errors import SignalError
from ecg_edge.signal.record import read_record
from ecg_edge.signal.wfdbplain import read_plain

RANGES = {"16": (-32767, 32767), "212": (-2047, 2047)}


def write(folder: Path, fmt: str, *, samples: int = 501, leads: int = 3) -> Path:
    """A record of noise over the format's whole range; its path without suffix."""
    low, high = RANGES[fmt]
    values = np.random.default_rng(samples).integers(low, high, (samples, leads), endpoint=True)
    values[:2] = [[low], [high]]
    names = [f"lead {k}" for k in range(leads)]
    wfdb.wrsamp(
        "noise",
        fs=360,
        units=["mV", "uV", "mV"][:leads],
        sig_name=names,
        d_signal=values,
        fmt=[fmt] * leads,
        adc_gain=[200.0, 1.5, 1000.0][:leads],
        baseline=[0, -7, 1024][:leads],
        write_dir=str(folder),
    )
    return folder / "noise"


@pytest.mark.parametrize("fmt", RANGES)
@pytest.mark.parametrize("samples", [500, 501])
@pytest.mark.parametrize("leads", [1, 3])
def test_every_lead_is_what_wfdb_reads(tmp_path: Path, fmt: str, samples: int, leads: int) -> None:
    base = write(tmp_path, fmt, samples=samples, leads=leads)
    for index in range(leads):
        raw = read_plain(base, lambda names, index=index: names.index(f"lead {index}"))  # type: ignore[misc]
        assert raw is not None
        known = wfdb.rdrecord(str(base), channels=[index], physical=False)
        assert raw.digital.tolist() == known.d_signal[:, 0].tolist()
        assert (raw.lead, raw.fs_hz, raw.format) == (known.sig_name[0], known.fs, known.fmt[0])
        assert (raw.gain, raw.baseline, raw.unit) == (known.adc_gain[0], known.baseline[0], known.units[0])
        assert (raw.bits, raw.zero) == (known.adc_res[0] or 0, known.adc_zero[0] or 0)


@pytest.mark.parametrize(
    ("was", "is_"),
    [
        ("noise 3 360 501", "noise/2 3 360 501"),  # segments
        ("noise 3 360 501", "noise 3 360"),
        ("noise 3 360 501", "noise 3 360 99999"),  # more than is there
        ("noise 3 360 501", "noise 2 360 501"),
        ("noise 3 360 501", "other 3 360 501"),
        (" 212 ", " 310 "),
        (" 212 ", " 212x2 "),
        (" 212 ", " 212:3 "),
        (" 212 ", " 212+24 "),
        ("200.0", "0"),
        ("noise.dat 212 1.5", "other.dat 212 1.5"),
    ],
)
def test_what_is_not_plain_is_left_to_wfdb(tmp_path: Path, was: str, is_: str) -> None:
    header = write(tmp_path, "212").with_suffix(".hea")
    text = header.read_text()
    assert was in text
    header.write_text(text.replace(was, is_))
    assert read_plain(tmp_path / "noise", lambda names: 0) is None


def test_a_run_on_a_record_needs_neither_wfdb_nor_tensorflow(tmp_path: Path) -> None:
    base = write(tmp_path, "212", samples=4000, leads=1)
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('wfdb', 'pandas', 'matplotlib', 'tensorflow', 'keras')));"
        "from ecg_edge.cli.app import main; main()"
    )
    words = ["run", "--record", str(base), "--speed", "max", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"kind":"verdict"' in done.stdout


def test_without_wfdb_a_record_of_another_kind_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write(tmp_path, "16")
    header = base.with_suffix(".hea")
    header.write_text(header.read_text().replace(" 16 ", " 16+24 "))
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(
        SignalError, match=r"noise: no plain record of format 16 or 212.*pip install 'ecg-edge\[data\]'$"
    ):
        read_record(base)
    result = CliRunner().invoke(make_app(), ["run", "--record", str(base)])
    assert result.exit_code == 2
