"""A study that the warm interpreter has loaded: its jobs see what a fresh reading would show."""

from pathlib import Path

import pytest

from minified.foundations.errors import StudyError
from minified.run import tasks
from minified.study import studies
from minified.study.paths import Paths

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "KEPT", {})


def test_a_kept_study_is_read_again_when_its_text_changes(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text((ROOT / "config" / "digits.yaml").read_text())
    kept = studies.load(file, keep=True)
    assert studies.load(file) is kept
    file.write_text(file.read_text().replace("replicates: 20", "replicates: 7"))
    assert kept.replicates == 20
    assert studies.load(file).replicates == 7
    file.write_text("replicates: many")
    with pytest.raises(StudyError):
        studies.load(file)


def test_a_study_with_its_own_criteria_is_never_kept(tmp_path: Path) -> None:
    (tmp_path / "criteria.py").write_text(
        "def mine(level, network, inputs, targets, generator):\n    return {}\n"
    )
    file = tmp_path / "own.yaml"
    own = "\ncriteria:\n  mine: {file: criteria.py, title: Mine, levels: [parameter]}\n"
    file.write_text((ROOT / "config" / "digits.yaml").read_text() + own)
    kept = studies.load(file, keep=True)
    assert studies.load(file) is not kept


def test_sharing_found_out_before_is_what_each_job_finds_out_itself() -> None:
    file = ROOT / "config" / "fashion_specifications.yaml"
    fresh, known = studies.load(file), studies.load(file)
    for specification in known.specified:
        tasks.share(known, specification)
    assert "owners" in known.memory
    names = list(known.specified)
    for specification in (names[1], names[len(names) // 2], names[-1]):
        for job in list(known.under(specification).jobs())[::17]:
            if job.method == "quantization":
                continue
            options = {"method": job.method, "sparsity": job.place, "regime": job.regime}
            found = [
                tasks.task(one, Paths(one.name), "retrain", specification=specification, **options)
                for one in (fresh, known)
            ]
            assert found[0] == found[1]
