"""Runs on Ray: the same numbers as in this process, and a worker that dies is a run that failed."""

import os

import pytest

import mainstem as ms
from house._source import ROOT
from mainstem.lab import _run as running
from mainstem.lab._ray import on_ray
from mainstem.lab._run import Job

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'mainstem[scan]'")
pytest.importorskip("sklearn", reason="the extra lab is not installed")
pytestmark = pytest.mark.slow
CHOICES = {"training.steps": 3}
ONLY = ("wine, residual", "wine, plain")


@pytest.fixture(scope="module")
def cluster():
    """Two processors on this machine, whose processes find what the tests import."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT / "src")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error", object_store_memory=80 * 2**20)
    yield
    ray.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def test_the_numbers_are_those_of_one_process(cluster, tmp_path):
    here = ms.lab.run("residual-table", seeds=2, choices=CHOICES, only=ONLY)
    there = ms.lab.run("residual-table", seeds=2, choices=CHOICES, only=ONLY, engine="ray", out=tmp_path)
    assert not there.failed
    assert there.numbers("mse") == here.numbers("mse")
    assert [record.about for record in there.records] == [record.about for record in here.records]
    again = ms.lab.run("residual-table", seeds=2, choices=CHOICES, only=ONLY, out=tmp_path)
    assert again.records == there.records


def test_a_worker_that_dies_is_a_run_that_failed(cluster, monkeypatch):
    setup = ms.lab.recipe("residual-table").setups["wine, plain"]
    job = Job("toy", "small", "wine, plain", setup, 0)
    monkeypatch.setattr("mainstem.lab._ray._do", lambda job: os._exit(1))
    (found,) = on_ray([job])
    assert found.about["status"] == "failed" and "its worker was lost" in found.about["fault"]
    assert list(on_ray([])) == []
    assert running.failed(job, "x").key == found.key
