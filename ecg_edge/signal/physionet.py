"""Sets of recordings on PhysioNet: which, whose, how large, and where they lie on this machine. Layer: signal.

Any other set of PhysioNet goes by its name there too; these are the ones with ECG that a beat classifier is judged on.
Source of licences and citations: each set's page, https://physionet.org/content/NAME/VERSION/.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CITE_PHYSIONET = "Goldberger AL et al. PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220 (2000)"
_ODC_BY, _CC_BY = "ODC-By 1.0", "CC BY 4.0"


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set as PhysioNet publishes it; a version never changes once it is out."""

    name: str
    version: str
    title: str
    records: int
    megabytes: int  # about: what records, leads, rate and format come to
    licence: str
    cite: str


SETS = {
    one.name: one
    for one in (
        PublicSet(
            "mitdb",
            "1.0.0",
            "MIT-BIH Arrhythmia Database",
            48,
            100,
            _ODC_BY,
            "Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol 20(3):45-50 (2001)",
        ),
        PublicSet(
            "nstdb",
            "1.0.0",
            "MIT-BIH Noise Stress Test Database",
            15,
            35,
            _ODC_BY,
            "Moody GB, Muldrow WE, Mark RG. A noise stress test for arrhythmia detectors. "
            "Computers in Cardiology 11:381-384 (1984)",
        ),
        PublicSet(
            "svdb",
            "1.0.0",
            "MIT-BIH Supraventricular Arrhythmia Database",
            78,
            55,
            _ODC_BY,
            "Greenwald SD. Improved detection and classification of arrhythmias in noise-corrupted electrocardiograms "
            "using contextual information. PhD thesis, Harvard-MIT Division of Health Sciences and Technology (1990)",
        ),
        PublicSet(
            "incartdb",
            "1.0.0",
            "St Petersburg INCART 12-lead Arrhythmia Database",
            75,
            830,
            _ODC_BY,
            "Tihonenko V et al. St Petersburg INCART 12-lead Arrhythmia Database. PhysioNet (2008), "
            "doi:10.13026/C2V88N",
        ),
        PublicSet(
            "ludb",
            "1.0.1",
            "Lobachevsky University Electrocardiography Database",
            200,
            30,
            _ODC_BY,
            "Kalyakulina AI et al. LUDB: a new open-access validation tool for electrocardiogram delineation "
            "algorithms. IEEE Access 8:186181-186190 (2020)",
        ),
        PublicSet(
            "ptb-xl",
            "1.0.3",
            "PTB-XL, a large publicly available electrocardiography dataset",
            43_598,
            3_100,
            _CC_BY,
            "Wagner P et al. PTB-XL, a large publicly available electrocardiography dataset. "
            "Scientific Data 7:154 (2020)",
        ),
        PublicSet(
            "qtdb",
            "1.0.0",
            "QT Database",
            105,
            75,
            _ODC_BY,
            "Laguna P et al. A database for evaluation of algorithms for measurement of QT and other waveform "
            "intervals in the ECG. Computers in Cardiology 24:673-676 (1997)",
        ),
        PublicSet(
            "edb",
            "1.0.0",
            "European ST-T Database",
            90,
            490,
            _ODC_BY,
            "Taddei A et al. The European ST-T Database: standard for evaluating systems for the analysis of ST-T "
            "changes in ambulatory electrocardiography. European Heart Journal 13:1164-1172 (1992)",
        ),
        PublicSet(
            "afdb",
            "1.0.0",
            "MIT-BIH Atrial Fibrillation Database",
            25,
            620,
            _ODC_BY,
            "Moody GB, Mark RG. A new method for detecting atrial fibrillation using R-R intervals. "
            "Computers in Cardiology 10:227-230 (1983)",
        ),
    )
}


def cache_root() -> Path:
    """Where downloaded sets lie, each in NAME/VERSION, unless the user wants them elsewhere."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-edge" / "physionet"


def records_folder(given: Path) -> Path:
    """The folder that a verb's argument names: a path, or a known set that lies in the cache."""
    known = SETS.get(str(given))
    if known is not None and not given.exists():
        there = cache_root() / known.name / known.version
        return there if there.is_dir() else given
    return given
