"""Activation patching against an edit for every patch, attribution patching against linear models and finite differences."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
from mainstem.score import attributed, patched, ranked
from mainstem.score import exact as exactly
from mainstem.stream import Exchange, Source, Swap, Swaps, Target, Tokens, exchanges, siblings
from stream.test_edits import CLOSE, model

LEVELS = ["write", "point", "head", "neuron"]
LACKING = {"resnet": "head", "mamba": "head"}
NAMES = ["gpt2", "llama", "falcon", "bert", "mixtral", "resnet", "mamba"]
EDITED = [
    (name, level) for name in NAMES for level in LEVELS if (name, level) != ("mixtral", "neuron")
]  # these by steering, below


class Linear(nn.Module):
    """x + W x, block after block, no norm and nothing that bends: what is to first order is all."""

    def __init__(self, depth: int = 3, width: int = 8, mixed: bool = False) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, width), nn.Linear(width, 7)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.mix = nn.Parameter(torch.randn(5, 5).tril()) if mixed else None

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            y = layer(x)
            x = x + (y if self.mix is None else self.mix @ y)
        return self.head(x)


@cache
def linear(depth: int, mixed: bool) -> ms.Model:
    torch.manual_seed(depth)
    made = ms.load(Linear(depth, mixed=mixed))
    made.trace(torch.tensor([[1, 2, 3, 4, 5]]))
    made.module.double()
    return made


ONE, TWO = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[9, 8, 3, 7, 6]])


def effects(found: ms.PatchingResult) -> dict[tuple[str, int | None], float]:
    """The effect of the first pair by component and position."""
    rows = found.frame().filter(prompt=0).select("component", "position", "effect")
    return {(name, at): value for name, at, value in rows.iter_rows()}


def by_edit(made: ms.Model, data: Tensor, other: ms.Trace, label: str, at: int | None) -> float:
    """log p of token 1 of the first prompt, in a run with an edit of one component."""
    edited = made.trace(data, edits=ms.patch(label, source=other, positions=at))
    row = edited.logits[0, -1] if edited.logits.ndim == 3 else edited.logits[0]
    return float(row.double().log_softmax(-1)[1])


@pytest.mark.parametrize(("name", "level"), EDITED)
def test_every_patch_is_the_edit_that_patches(name, level):
    made, data = model(name)
    if LACKING.get(name) == level:
        with pytest.raises(ms.InputError, match=f"no write of this model is made of {level}s"):
            ms.activation_patching(made, data, data.flip(-1), 1, level)
        return
    clean = data.flip(-1)
    found = ms.activation_patching(made, clean, data, 1, level)
    source, tokens = made.trace(clean), data.ndim == 2
    base = made.trace(data)
    row = base.logits[0, -1] if base.logits.ndim == 3 else base.logits[0]
    before = float(row.double().log_softmax(-1)[1])
    got = effects(found)
    assert len(got) == len(found) * (data.shape[1] if tokens else 1)
    chosen = sorted(got, key=lambda key: (-abs(got[key]), str(key)))[:4] + sorted(got, key=str)[:: max(1, len(got) // 4)]
    for label, at in chosen:
        assert got[label, at] == pytest.approx(by_edit(made, data, source, label, at) - before, rel=1e-8, abs=1e-10), label
    assert max(map(abs, got.values())) > 1e-6


@pytest.mark.parametrize("side", ["denoise", "noise"])
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_whole_points_bring_the_other_run(name, side):
    made, data = model(name)
    found = ms.activation_patching(made, data.flip(-1), data, 1, "point", "all", side=side)
    frame = found.frame().filter(prompt=0)
    assert frame["position"].null_count() == len(frame)
    assert frame["recovery"].to_list() == pytest.approx([1.0 if side == "denoise" else 0.0] * len(frame), abs=1e-8)
    assert abs(float(found.clean[0] - found.corrupt[0])) > 1e-6


def test_recovery_is_a_share_of_the_difference():
    made, data = model("gpt2")
    for side in ("denoise", "noise"):
        found = ms.activation_patching(made, data.flip(-1), data, 1, side=side)
        frame, clean, corrupt = found.frame(), float(found.clean[0]), float(found.corrupt[0])
        row = frame.filter(prompt=0).sort("effect").row(0, named=True)
        base = corrupt if side == "denoise" else clean
        assert row["value"] == pytest.approx(base + row["effect"], rel=1e-12)
        assert row["recovery"] == pytest.approx((row["value"] - corrupt) / (clean - corrupt), rel=1e-9)


def ready(made: ms.Model, one: Tensor, two: Tensor, level: str) -> tuple[ms.Trace, Tokens, object, list[Exchange]]:
    """A run with what can be put into it."""
    mine, theirs = made.trace(one), made.trace(two)
    tokens = Tokens(torch.ones_like(one, dtype=torch.bool))
    changes = list(exchanges(mine.run, theirs.run, siblings(mine.run, level), (tokens, tokens), "each", Source()))
    return mine, tokens, mine._aimed(1, None)[1], changes


@pytest.mark.parametrize("level", LEVELS)
def test_patching_a_run_with_itself_changes_nothing(level):
    made, data = model("gpt2")
    mine, tokens, goal, changes = ready(made, data, data, level)
    for how in (patched, attributed):
        found = how(mine.run, tokens, goal, "logprob", changes)
        assert max(float(part.effects.abs().max()) for part in found) == 0.0
    swaps = [Swap(changes[0], 0), Swap(changes[-1], 0)]  # run, not left out for being the same
    assert max(float(v.abs().max()) for v in exactly(mine.run, tokens, goal, "logprob", swaps)) < 1e-10


@pytest.mark.parametrize("level", LEVELS)
def test_one_by_one_as_many_at_once(level):
    made, data = model("llama")
    mine, tokens, _, changes = ready(made, data, data.flip(-1), level)
    some = [Swap(x, i) for x in changes for i in range(min(2, len(x.siblings.names)))][:20]
    together, alone = Swaps(mine.run, tokens), Swaps(mine.run, tokens)
    many, _ = together.outputs(some)
    alone.room = 1
    few, _ = alone.outputs(some)
    assert together.room > 1
    torch.testing.assert_close(many, few, **CLOSE)


def test_a_module_that_mixes_rows_is_run_one_by_one():
    class Mixing(Linear):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids) + len(ids) * torch.arange(7.0)

    made = ms.load(Mixing())
    mine, tokens, _, changes = ready(made, ONE, TWO, "write")
    swaps = Swaps(mine.run, tokens)
    found, own = swaps.outputs([Swap(changes[0], 0), Swap(changes[1], 0)])
    assert swaps.room == 1 and torch.equal(own, mine.logits) and not torch.allclose(found[0], own)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("level", ["write", "point"])
@pytest.mark.parametrize("side", ["denoise", "noise"])
def test_of_a_linear_model_attribution_is_patching(depth, level, mixed, side):
    made = linear(depth, mixed)
    how = {"level": level, "metric": "logit", "side": side}
    exact = ms.activation_patching(made, ONE, TWO, 3, **how)
    found = ms.attribution_patching(made, ONE, TWO, 3, **how, recheck=6)
    assert effects(found) == pytest.approx(effects(exact), rel=1e-9, abs=1e-11)
    assert max(map(abs, effects(exact).values())) > 1e-3
    rows = found.frame().filter(found.frame()["exact"].is_not_null())
    assert len(rows) == 6 and rows["exact"].to_list() == pytest.approx(rows["effect"].to_list(), rel=1e-9)
    if level == "write":  # what points bring is all the same at the last token
        assert found.agreement is not None and found.agreement > 0.9  # ties are broken by rounding


def test_of_a_linear_model_the_entry_and_all_writes_sum_to_the_other_run():
    made = linear(3, False)
    found = ms.attribution_patching(made, ONE, TWO, ms.contrast(3, 4), "point", "all")
    assert effects(found)["entry", None] == pytest.approx(float(found.clean[0] - found.corrupt[0]), rel=1e-10)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon", "bert"])
def test_attribution_is_the_slope_of_patching(name, level):
    made, data = model(name)
    mine, tokens, goal, changes = ready(made, data, data.flip(-1), level)
    slopes = attributed(mine.run, tokens, goal, "logprob", changes)
    parts = dict(zip(dict.fromkeys(x.siblings for x in changes), slopes, strict=True))
    step = 1e-4
    few = [replace(x, after=x.before + step * (x.after - x.before)) for x in changes[:: max(1, len(changes) // 5)]]
    back = [replace(x, after=x.before - (x.after - x.before)) for x in few]
    for x, y in zip(few, back, strict=True):
        ups, downs = (exactly(mine.run, tokens, goal, "logprob", [Swap(side, 0)])[0] for side in (x, y))
        want = (ups - downs) / (2 * step)
        torch.testing.assert_close(parts[x.siblings].effects[0, x.turn], want, rtol=1e-5, atol=1e-7)
    assert max(float(part.effects.abs().max()) for part in slopes) > 1e-6


def test_pairs_together_are_pairs_alone():
    made = ms.load("tiny")
    clean = ["The capital of France is", "The capital of Italy is a city"]
    corrupt = ["The capital of Spain is", "The capital of Spain is a city"]
    lengths = [len(made.ids(text)) for text in clean]
    assert lengths == [len(made.ids(text)) for text in corrupt] and lengths[0] != lengths[1]
    for how in (ms.activation_patching, ms.attribution_patching):
        both = how(made, clean, corrupt, " Paris")
        for i in range(2):
            alone = how(made, clean[i], corrupt[i], " Paris").frame()
            mine = both.frame().filter(prompt=i)
            for name in ("component", "position", "token"):
                assert mine[name].to_list() == alone[name].to_list()
            assert mine["effect"].to_list() == pytest.approx(alone["effect"].to_list(), abs=2e-4)


def test_prompts_of_different_lengths_by_tokens_counted_from_the_end():
    made = ms.load("tiny")
    clean, corrupt = "The capital of France is", "I think that the capital of Italy is"
    with pytest.raises(ms.InputError, match="positions=-1"):
        ms.activation_patching(made, clean, corrupt, " Paris")
    found = ms.activation_patching(made, clean, corrupt, " Paris", positions=(-1, -2))
    source, base = made.trace(clean), made.trace(corrupt)
    aim = made.trace(clean).index(" Paris")
    last = len(base.tokens[0]) - 1
    got = effects(found)
    for label, at in (("L0.mlp", -1), ("L1.attn", -1), ("L0.mlp", -2)):
        edited = made.trace(corrupt, edits=ms.patch(label, source=source, positions=at))
        want = [float(t.logits[0, -1].double().log_softmax(-1)[aim]) for t in (edited, base)]
        assert got[label, last + 1 + at] == pytest.approx(want[0] - want[1], abs=2e-4)


@pytest.mark.parametrize("level", ["write", "head"])
def test_other_things_can_be_put_in(level):
    made, label = ms.load("tiny"), {"write": "L0.mlp", "head": "L0.attn.H1"}[level]
    clean, corrupt = "The capital of France is", "The capital of Italy is"
    means = made.means(["The capital of Spain is Madrid.", "A river."], label)
    edits = {"zero": ms.zero(label, positions=3), "mean": ms.mean(label, over=means, positions=3)}
    aim = made.trace(clean).index(" Paris")
    row = made.trace(corrupt).logits[0, -1].double().log_softmax(-1)[aim]
    for mode, edit in edits.items():
        given = {"means": means} if mode == "mean" else {}
        found = ms.activation_patching(made, clean, corrupt, " Paris", level, 3, label, mode=mode, **given)
        want = made.trace(corrupt, edits=edit).logits[0, -1].double().log_softmax(-1)[aim] - row
        assert effects(found) == pytest.approx({(label, 3): float(want)}, abs=2e-5)
        assert abs(float(want)) > 1e-4
    drawn = [effects(ms.activation_patching(made, clean, corrupt, " Paris", level, mode="resample", seed=s)) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_some_components_alone():
    made, data = model("gpt2")
    every = effects(ms.activation_patching(made, data.flip(-1), data, 1, "head"))
    for asked in ("L1.attn", "L1.attn.H2", ("L0", "L1.attn.H0")):
        got = effects(ms.activation_patching(made, data.flip(-1), data, 1, "head", components=asked))
        assert got and got == pytest.approx({key: every[key] for key in got}, rel=1e-9, abs=1e-12)
    assert {name for name, _ in got} == {"L0.attn.H0", "L0.attn.H1", "L0.attn.H2", "L0.attn.H3", "L1.attn.H0"}
    with pytest.raises(ms.InputError, match=r"L1.mlp is nothing at level 'head'"):
        ms.activation_patching(made, data.flip(-1), data, 1, "head", components="L1.mlp")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"level": "edge"}, "no level 'edge'"),
        ({"side": "left"}, "side is 'denoise'"),
        ({"mode": "mean"}, "needs them: means="),
        ({"metric": "prob"}, "no metric 'prob'"),
        ({"positions": "some"}, "positions is 'each', 'all'"),
        ({"positions": 99}, "there is no position 99"),
        ({"components": "L9.mlp"}, "no write 'L9.mlp'"),
        ({"target": ms.sequence([1, 2])}, "patching scores one place"),
    ],
)
def test_what_cannot_be_patched(more, said):
    made, data = model("gpt2")
    with pytest.raises(ms.InputError, match=said):
        ms.activation_patching(made, data.flip(-1), data, **({"target": 1} | more))


def test_prompts_that_are_the_same_and_prompts_that_are_no_pairs():
    made, data = model("gpt2")
    with pytest.raises(ms.InputError, match="both prompts are the same"):
        ms.activation_patching(made, data, data.clone(), 1)
    with pytest.raises(ms.InputError, match="give pairs"):
        ms.activation_patching(made, data[:1], torch.cat([data, data]), 1)


def test_a_tensor_whose_rows_are_not_those_of_prompts_is_refused():
    made, data = model("mixtral")
    mine, theirs = made.trace(data), made.trace(data.flip(-1))
    write = next(w for w in mine.stream.writes if w.label == "L0.mlp")
    site = write.writer.sources[0].site
    rows = mine.run.again({site.key}).at(site).shape[0]
    assert rows not in (1, len(data))
    one = replace(
        siblings(mine.run, "write")[0], target=Target("L0.mlp.N0", "neuron", site, write.writer.sources[0].axis, width=1)
    )
    with pytest.raises(ms.InputError, match="cannot be told whose each is"):
        list(exchanges(mine.run, theirs.run, [one], (Tokens(), Tokens()), "all", Source()))


def test_ranks_are_spearmans():
    assert ranked(torch.tensor([1.0, 2, 3, 4]), torch.tensor([10.0, 20, 30, 31])) == pytest.approx(1)
    assert ranked(torch.tensor([1.0, 2, 3, 4]), torch.tensor([4.0, 3, 2, 1])) == pytest.approx(-1)
    assert ranked(torch.tensor([1.0, 2, 2, 4]), torch.tensor([1.0, 3, 2, 4])) == pytest.approx(0.9486832980505138)
