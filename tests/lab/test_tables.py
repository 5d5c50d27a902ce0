"""Tables and the network for them: baselines, order, streams, and what residual changes."""

import numpy as np
import pytest
import torch

import mainstem as ms
from mainstem.core import InputError, NoStreamError
from mainstem.lab import Setup, Training
from mainstem.lab._loop import batches
from mainstem.lab._mlp import TableNet
from mainstem.lab._stream_use import lane_use, stream_use
from mainstem.lab._tables import _raw, table, tables
from mainstem.lab._train_table import train_table

sklearn = pytest.importorskip("sklearn", reason="the extra lab is not installed")
HERE = [name for name in tables() if name != "california"]


@pytest.mark.parametrize("name", HERE)
def test_a_table_is_cut_and_standardised_by_its_training_rows(name):
    found = table(name)
    assert found.x.shape[1] == found.test_x.shape[1] == len(found.names)
    assert torch.allclose(found.x.mean(0), torch.zeros(found.x.shape[1]), atol=1e-5)
    assert torch.allclose(found.y.std(correction=0), torch.tensor(1.0), atol=1e-5)
    assert float(found.test_y.mean().abs()) > 1e-4
    assert found.linear < found.constant


def test_the_baselines_are_those_of_scikit_learn():
    from sklearn.dummy import DummyRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import mean_squared_error

    found = table("diabetes", 3)
    for model, ours in ((DummyRegressor(), found.constant), (LinearRegression(), found.linear)):
        said = model.fit(found.x.double().numpy(), found.y.double().numpy()).predict(found.test_x.double().numpy())
        assert ours == pytest.approx(mean_squared_error(found.test_y.numpy(), said), rel=1e-5)


def test_another_split_is_another_cut():
    assert not torch.equal(table("diabetes", 0).test_y, table("diabetes", 1).test_y)
    assert torch.equal(table("diabetes", 1).test_y, table("diabetes", 1).test_y)


@pytest.fixture
def houses(tmp_path, monkeypatch):
    """Scikit-learn's folder of data, empty, and no network."""
    import sklearn.datasets._california_housing as source

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr(source, "_fetch_remote", offline)
    _raw.cache_clear()
    yield tmp_path / "cal_housing_py3.pkz"
    _raw.cache_clear()


def plant(path, rows: int = 120) -> np.ndarray:
    """The file that scikit-learn keeps: target, then features as they were counted. Returns what it gives: the features."""
    import joblib

    counted = np.random.default_rng(0).uniform(1, 10, (rows, 9))
    joblib.dump(counted, path, compress=6)
    features = counted[:, 1:].copy()
    features[:, [2, 3]] /= counted[:, [6]]
    features[:, 5] = counted[:, 5] / counted[:, 6]
    return features


def test_california_comes_out_of_the_folder_that_scikit_learn_keeps(houses):
    features = plant(houses)
    found = table("california")
    assert found.names[:2] == ("MedInc", "HouseAge") and len(found.x) + len(found.test_x) == 120
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    tested, trained = (torch.tensor(features)[part] for part in (order[:30], order[30:]))
    expected = (tested - trained.mean(0)) / trained.std(0, correction=0)
    assert torch.allclose(found.test_x.double(), expected, atol=1e-4)


def test_california_is_explained_and_run_like_any_other(houses):
    plant(houses)
    quick = {"data.name": "california", "training.steps": 3, "training.watch": 0}
    setup = Setup("table", {"width": 4, "blocks": 1}, {"name": "california"}, Training(steps=3))
    found = ms.lab.explained("california", rows=3, background=2, method="exact", setup=setup)
    assert "MedInc" in found.names and found.error < 1e-9
    ran = ms.lab.run("residual-table", seeds=1, choices=quick, only=("wine, residual",))
    assert not ran.failed and ran.numbers()["wine, residual"]


def test_california_that_cannot_be_had_says_how(houses):
    with pytest.raises(InputError, match=r"California Housing cannot be had here \(OSError: no network\): run `python -c"):
        table("california")
    plant(houses)
    houses.write_bytes(houses.read_bytes()[:100])
    with pytest.raises(InputError, match="California Housing cannot be had here"):
        table("california")
    ran = ms.lab.run("residual-table", "paper", seeds=1, choices={"training.steps": 1}, only=("california, residual",))
    assert "copy cal_housing_py3.pkz" in ran.failed[0].about["fault"]


def test_an_unknown_table_is_refused():
    with pytest.raises(InputError, match="no table 'boston'; there are diabetes"):
        table("boston")


def test_the_stream_of_the_network_is_found_and_without_residual_there_is_none():
    found = ms.find(TableNet(10, width=8, blocks=3).eval(), torch.randn(5, 10))
    assert found.proof.closed and len(found.main.points) == 4
    with pytest.raises(NoStreamError):
        ms.find(TableNet(10, width=8, blocks=3, residual=False).eval(), torch.randn(5, 10))


@pytest.mark.parametrize("residual", [True, False])
def test_it_beats_the_constant_and_says_so(residual):
    found = train_table(Setup("table", {"residual": residual}, {"name": "friedman1"}, Training(steps=150, batch=32, lr=3e-3)), 0)
    numbers = found.numbers
    assert numbers["mse"] < numbers["mse_linear"] < numbers["mse_constant"]
    assert numbers["r2"] == pytest.approx(1 - numbers["mse"] / numbers["mse_constant"])
    assert ("crowding" in {row.name for row in found.rows}) is residual


def test_each_row_comes_once_an_epoch():
    drawn = torch.cat(list(batches(10, Training(steps=6, batch=5), 0)))
    assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in drawn.view(3, 10))
    assert not torch.equal(drawn[:10], drawn[10:20])
    assert torch.equal(drawn, torch.cat(list(batches(10, Training(steps=6, batch=5), 0))))


def planted() -> dict[str, torch.Tensor]:
    """An entry in two directions, a write in a third, a write in the same third."""
    x = torch.zeros(500, 6)
    x[:, :2] = torch.randn(500, 2)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    first[:, 2], second[:, 2] = torch.randn(500), torch.randn(500)
    return {"entry": x, "L0.resid_post": x + first, "L1.resid_post": x + first + second}


def test_a_planted_stream_is_used_as_it_was_planted():
    found = {(row.name, row.site): row.value for row in stream_use(0, planted(), True)}
    assert found["effective_rank", "entry"] == pytest.approx(2, abs=0.05)
    assert found["variance", "L0.resid_post"] == pytest.approx(3, abs=0.4)
    share = 1 / found["variance", "L0.resid_post"]
    assert found["remainder", "L0.resid_post"] == pytest.approx(share, abs=0.05)
    assert found["remainder", "L1.resid_post"] == pytest.approx(0, abs=1e-6)
    assert found["crowding", "L1.resid_post"] == pytest.approx(1, abs=1e-6)
    assert found["crowding_random", "L1.resid_post"] == pytest.approx(1 / 6)


def test_a_planted_lane_is_used_as_it_was_planted():
    found = {(row.name, row.site): row.value for row in lane_use(0, planted(), 2)}
    assert found["lane_variance", "entry"] == 0
    assert found["lane_writes", "L0.resid_post"] == pytest.approx(1)
    assert found["lane_width", "entry"] == pytest.approx(4 / 6)
    assert found["lane_kurtosis", "L0.resid_post"] == pytest.approx(4 - 2 + 1 / 3)  # one of four dimensions alone
