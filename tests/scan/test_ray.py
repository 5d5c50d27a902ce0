"""A scan on a real Ray cluster of several nodes, one of which is killed in mid-run: the same bits as in one process."""

import os
import threading
import time
from pathlib import Path

import pytest

from house._source import ROOT
from mainstem.core import InputError
from mainstem.scan import Ray, source, survey
from mainstem.scan._reader import Reader
from scan import toy

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'mainstem[scan]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A head without processors and two nodes with one each, beside processes that find what the tests import."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}"
    small = {"object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    for _ in range(2):
        made.add_node(num_cpus=1, **small)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture
def local(tmp_path):
    toy.scanned(tmp_path / "local", toy.texts(200))
    return toy.result(tmp_path / "local")


def patiently(is_so):
    """Waits until something is so; fails where it is not within a minute."""
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until, "a minute has gone by"
        time.sleep(0.05)


def dying(mark: Path, times: int) -> toy.Job:
    """A run whose process ends at one example, as often as told."""

    def run(batch):
        if 77 in batch.examples and len(list(mark.iterdir())) < times:
            (mark / str(time.time_ns())).touch()
            os._exit(1)
        yield from toy.run(batch)

    return toy.job(load=lambda: run)


def test_the_same_bits_as_in_one_process_from_a_model_an_actor_and_no_more_read_than_they_can_hold(
    cluster, tmp_path, monkeypatch, local
):
    loads, ahead, done = tmp_path / "loads", [], [0]
    loads.mkdir()

    def load():
        (loads / f"{os.getpid()}.{time.time_ns()}").touch()
        patiently(lambda: len(list(loads.iterdir())) > 1)  # else the first actor may have done all before the second is there
        return toy.run

    real, read = Reader.examples, [0]

    def counting(self, piece):
        read[0] += 1
        ahead.append(read[0] - done[0])
        return real(self, piece)

    def engine(*given):
        for event in Ray()(*given):
            done[0] += hasattr(event, "states")
            yield event

    monkeypatch.setattr(Reader, "examples", counting)
    summary = toy.scanned(tmp_path / "run", toy.texts(200), toy.job(load=load), engine=engine)
    assert summary.tokens == local.counts["tokens"]
    assert toy.same(toy.result(tmp_path / "run"), local)
    assert done[0] == local.counts["pieces"] > 10
    assert len(list(loads.iterdir())) == 2
    assert max(ahead) <= 2


def test_a_failed_actors_work_is_redone(cluster, tmp_path, local):
    (tmp_path / "mark").mkdir()
    toy.scanned(tmp_path / "run", toy.texts(200), dying(tmp_path / "mark", 2), engine=Ray())
    assert len(list((tmp_path / "mark").iterdir())) == 2
    assert toy.same(toy.result(tmp_path / "run"), local)


def test_a_piece_that_kills_every_actor_stops_the_run_and_the_rest_goes_on_later(cluster, tmp_path, local):
    (tmp_path / "mark").mkdir()
    with pytest.raises(InputError, match=r"piece \d+ lost its actor 2 times"):
        toy.scanned(tmp_path / "run", toy.texts(200), dying(tmp_path / "mark", 99), engine=Ray(workers=1, tries=2))
    assert 0 < len(list((tmp_path / "run").glob("pieces/*/*"))) < local.counts["pieces"]
    toy.scanned(tmp_path / "run", toy.texts(200))
    assert toy.same(toy.result(tmp_path / "run"), local)


def test_errors_of_the_work_are_the_errors_of_the_scan(cluster, tmp_path):
    def load():
        raise InputError("no such model")

    with pytest.raises(InputError, match="^no such model$"):
        toy.scanned(tmp_path / "a", ["the sea"], toy.job(load=load), engine=Ray())
    with pytest.raises(InputError, match="row 1: cannot be tokenised"):
        toy.scanned(tmp_path / "b", ["the sea", "the ocean"], engine=Ray())
    lock = threading.Lock()
    with pytest.raises(InputError, match="cannot be sent to other processes"):
        toy.scanned(tmp_path / "c", ["the sea"], toy.job(load=lambda: lock), engine=Ray())


def test_a_node_that_is_killed_in_mid_run_changes_nothing(cluster, tmp_path, local):
    """Last, since the cluster is smaller afterwards. The node has begun a piece, and waits for its end."""
    victim, busy = next(iter(cluster.worker_nodes)), tmp_path / "busy"
    name, killed = victim.node_id, []

    def run(batch):
        import ray

        if ray.get_runtime_context().get_node_id() == name:
            busy.write_text(" ".join(map(str, batch.examples)))
            time.sleep(600)
        toy.until(busy)
        yield from toy.run(batch)

    def engine(*given):
        for event in Ray(workers=2)(*given):
            if busy.exists() and not killed:
                killed.append(busy.read_text())
                cluster.remove_node(victim, allow_graceful=False)
            yield event

    toy.scan(toy.job(load=lambda: run), survey(source(toy.texts(200)), 300), tmp_path / "run", engine)
    assert killed
    patiently(lambda: name not in {node["NodeID"] for node in ray.nodes() if node["Alive"]})
    assert toy.same(toy.result(tmp_path / "run"), local)
