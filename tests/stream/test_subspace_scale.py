"""The loss against the scale of a subspace: the model at 1, weights scaled by hand, and a planted direction that swamps a norm."""

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms


class Swamped(nn.Module):
    """Feature 0 is large and says nothing; feature 1 says which class; an RMS norm divides both by what is mostly the first."""

    def __init__(self, large: float) -> None:
        super().__init__()
        self.embed, self.up, self.head = nn.Embedding(4, 6), nn.Linear(6, 6, bias=False), nn.Linear(6, 2, bias=False)
        with torch.no_grad():
            self.embed.weight.zero_()
            self.embed.weight[:, 0] = large
            self.embed.weight[:, 1] = torch.tensor([1.0, -1.0, 2.0, -2.0])
            self.up.weight.zero_()
            self.up.weight[3, 1] = 0.5
            self.head.weight.zero_()
            self.head.weight[:, 1] = torch.tensor([1.0, -1.0])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + torch.tanh(self.up(x))
        return self.head(x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt())


def swamped(large: float) -> ms.Model:
    """Mapped in float32, run in float64."""
    made = ms.load(Swamped(large))
    made.trace(torch.tensor([[1, 2, 0]]))
    made.module.double()
    return made


IDS, AIM = torch.tensor([[1, 2, 0], [0, 0, 1], [3, 1, 2]]), [0, 1, 0]


def loss_by_hand(large: float) -> float:
    """The loss of the model whose large feature was made by hand."""
    logits = Swamped(large).double()(IDS)[:, -1].log_softmax(-1)
    return float(-logits[torch.arange(3), torch.tensor(AIM)].mean().detach())


@pytest.mark.parametrize("large", [0.5, 5.0, 50.0])
def test_scaling_is_the_model_with_weights_scaled_by_hand(large):
    found = ms.subspace_scale(swamped(large), IDS, "entry", torch.eye(6)[:1], by=(0, 0.5, 1, 2), target=AIM)
    for row in found.rows:
        assert row["loss"] == pytest.approx(loss_by_hand(large * row["by"]), rel=1e-9)
    one = next(row for row in found.rows if row["by"] == 1)
    assert one["increase"] == pytest.approx(0, abs=1e-12) and one["divergence"] == pytest.approx(0, abs=1e-12)


def test_a_dominant_direction_crowds_the_others_out():
    found = ms.subspace_scale(swamped(50.0), IDS, "entry", 1, target=AIM)
    mean, square = 2 / 9, 2.0  # of feature 1 over the nine tokens; the products with feature 0 have a largest eigenvalue of
    largest = (2500 + square + ((2500 - square) ** 2 + 4 * (50 * mean) ** 2) ** 0.5) / 2
    assert found.share == pytest.approx(largest / (2500 + square), rel=1e-9)
    assert abs(float(found.directions[0, 0])) > 0.999
    losses = [row["loss"] for row in found.rows]
    assert losses == sorted(losses) and losses[0] < 0.5 * losses[-1]
    assert found.best == 0.0
    quiet = ms.subspace_scale(swamped(50.0), IDS, "entry", torch.eye(6)[4:5], target=AIM)  # where there is nothing
    assert {round(row["loss"], 12) for row in quiet.rows} == {round(losses[4], 12)}


def test_over_texts_it_is_the_loss_of_edits():
    made = ms.load("tiny")
    texts = ["The capital of France is Paris.", "A river runs to the sea."]
    found = ms.subspace_scale(made, texts, "L0.resid_post", 2, by=(0.5, 1))
    edit = ms.scale("L0.resid_post", by=0.5, along=found.directions)
    want = ms.edit_loss(made, texts, edit)
    assert found.rows[0]["loss"] == pytest.approx(want["loss"][1], rel=1e-6)
    assert found.rows[1]["loss"] == pytest.approx(want["loss"][0], rel=1e-5) and want["increase"][0] == 0
    assert 0 < found.share < 1 and len(found.frame()) == 2


def test_the_curve_is_drawn_and_stored(tmp_path):
    pytest.importorskip("altair")
    found = ms.subspace_scale(swamped(5.0), IDS, "entry", 1, by=(0, 1, 2), target=AIM)
    spec = found.chart().to_dict()
    values = [row["by"] for part in (spec, *spec["layer"]) for row in part.get("data", {}).get("values", [])]
    assert set(values) == {0, 1, 2} and len(spec["layer"]) == 4
    assert found.save(tmp_path / "curve.csv").read_text().count("\n") == 4
    assert found.save(tmp_path / "curve.parquet").exists()


@pytest.mark.parametrize(
    ("more", "said"), [({"by": (1, 1)}, "each once"), ({"directions": 9}, "take 1 to 6"), ({"at": "L7.mlp"}, "no write")]
)
def test_what_cannot_be_scaled(more, said):
    with pytest.raises(ms.InputError, match=said):
        ms.subspace_scale(swamped(5.0), IDS, **({"at": "entry", "target": AIM} | more))
