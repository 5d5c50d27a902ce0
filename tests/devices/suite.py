"""Everything on another device, and spread over two, gives the numbers of the processor. Run by `test_devices.py`, in a process of its own."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from accelerate import dispatch_model
from polars.testing import assert_frame_equal

import mainstem as ms
from devices.elsewhere import moved
from mainstem.stream import LEVELS
from zoo import ZOO

pytestmark = pytest.mark.filterwarnings("ignore:ELSEWHERE reports that you have 2 available devices")
PROMPTS = ["The capital of France is", "One two"]
TARGET = " Paris"
FIRST, SECOND = "elsewhere:0", "elsewhere:1"
HERE = ms.load("tiny", dtype=torch.float64)
Ask = Callable[[Any], Any]


def edits(model: Any, trace: Any) -> Any:
    steered = ms.steer(0.1 * trace["L0.mlp"][0, -1], at="L0.resid_post", positions=-1)
    means = ms.mean("L0.mlp", over=model.means(PROMPTS, "L0.mlp"))
    return ms.zero("L1.attn.H1") + ms.scale("L1.mlp", by=0.5) + ms.without_skip("L1") + steered + means


def scored(by: str, level: str, **how: Any) -> Ask:
    return lambda model: model.trace(PROMPTS[0]).scores(TARGET, by=by, level=level, **how).frame()


ASKED: dict[str, Ask] = {
    **{f"{by} of a {level}": scored(by, level) for by in ("dla", "path") for level in LEVELS},
    **{f"logprob_increase of a {level}": scored("logprob_increase", level, within=0.0) for level in LEVELS},
    **{by: scored(by, "head") for by in ("prob_increase", "ablation", "rank", "projection", "norm", "coefficient_norm")},
    "the best, proved": scored("logprob_increase", "neuron", top=20),
    "the final norm": scored("logprob_increase", "head", norm="final"),
    "every position": lambda m: m.trace(PROMPTS, positions="all").scores(3).frame(),
    "a contrast": lambda m: m.trace(PROMPTS[0]).scores(ms.contrast(TARGET, " London"), level="edge").frame(),
    "a sequence": lambda m: m.trace(PROMPTS[0]).scores(ms.sequence(" Paris and"), level="head").frame(),
    "a point": lambda m: m.trace(PROMPTS)["resid_post", 1],
    "an edge": lambda m: m.trace(PROMPTS[0])["L1.attn.H1<-2"],
    "a pattern": lambda m: m.trace(PROMPTS[0]).pattern(1),
    "the lens": lambda m: m.trace(PROMPTS).lens().frame(),
    "words": lambda m: m.trace(PROMPTS[0]).words("L1.mlp.N17").frame(),
    "queries": lambda m: m.trace(PROMPTS[0]).queries(TARGET).frame(),
    "caveats": lambda m: m.trace(PROMPTS[0]).caveats(TARGET),
    "persistence": lambda m: m.trace(PROMPTS[0]).persistence("L0.mlp"),
    "erased": lambda m: m.trace(PROMPTS[0]).erased("L0.mlp"),
    "gradients": lambda m: m.trace(PROMPTS[0]).gradients(TARGET),
    "a change grows": lambda m: m.trace(PROMPTS[0]).perturbed("L0.resid_post", "L0.mlp", size=0.01, norms=("live", "frozen")),
    "erasers": lambda m: m.trace(PROMPTS[0]).erasers().frame().sort("component"),
    "composition": lambda m: m.composition().sort("later", "earlier", "via"),
    "measures": lambda m: ms.measure(m, PROMPTS, ["kurtosis", "outliers", "rms", "variance", "cosine"]).frame(),
    "a rotation": lambda m: ms.measure(m, PROMPTS, ["rotated_kurtosis"]).frame(),
    "edits": lambda m: m.trace(PROMPTS[0], edits=edits(m, m.trace(PROMPTS[0]))).scores(TARGET).frame(),
    "generation": lambda m: str(m.generate(PROMPTS[0], tokens=3)),
    "drawn generation": lambda m: str(m.generate(PROMPTS[0], tokens=3, temperature=1.0, seed=1)),
    "edited generation": lambda m: str(
        m.generate(PROMPTS[0], tokens=2, edits=ms.patch("L0.resid_post", source=m.trace("The capital of Italy is")))
    ),
    "patching": lambda m: ms.activation_patching(m, PROMPTS[0], "The capital of Italy is", TARGET).frame(),
    "patching by gradients": lambda m: ms.attribution_patching(m, PROMPTS[0], "The capital of Italy is", TARGET).frame(),
    **{
        f"the curve of {side}": lambda m, side=side: ms.ablation_curve(m, PROMPTS, side=side, places="last", resamples=20).frame()
        for side in ("tail", "head", "single", "skip")
    },
}


def spread(module: Any) -> None:
    """The tiny model's first half on one device and its second on another, as accelerate does it. Parameters: `module`."""
    early = {name: FIRST for name in ("transformer.wte", "transformer.wpe", "transformer.h.0", "lm_head")}
    dispatch_model(module, early | {"transformer.h.1": SECOND, "transformer.ln_f": SECOND}, main_device=FIRST)


@pytest.fixture(scope="module", params=["one device", "two devices"])
def there(request: pytest.FixtureRequest) -> Any:
    found = ms.load("tiny", dtype=torch.float64, device=FIRST)
    if request.param == "two devices":
        spread(found.module)
    assert len({p.device for p in found.module.parameters()}) == 1 + (request.param == "two devices")
    return found


def assert_same(found: Any, wanted: Any) -> None:
    """The same numbers, wherever they lie. Parameters: `found`; `wanted`, of the processor."""
    if isinstance(wanted, pl.DataFrame):
        assert_frame_equal(found, wanted, rel_tol=1e-6, abs_tol=1e-6)
    elif isinstance(wanted, torch.Tensor):
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-9, atol=1e-9)
    else:
        assert found == wanted


@cache
def wanted(name: str) -> Any:
    """What is asked, of the processor. Parameters: `name`, of what is asked."""
    return ASKED[name](HERE)


@pytest.mark.parametrize("name", ASKED)
def test_the_numbers_of_other_devices(name: str, there: Any) -> None:
    assert_same(ASKED[name](there), wanted(name))


def test_calls_across_devices_are_refused_as_on_a_gpu() -> None:
    x, w = torch.ones(2, 3, device=FIRST), torch.ones(3, 2)
    for other in (w, w.to(SECOND)):
        with pytest.raises(RuntimeError, match="same device"):
            x @ other
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(3)
    assert float((x @ w.to(FIRST)).sum()) == 12
    assert float((x + torch.tensor(1.0)).sum()) == 12


def test_a_page_of_another_device(there: Any, tmp_path: Path) -> None:
    said = [m.trace(PROMPTS[0]).summary(TARGET) for m in (there, HERE)]
    assert said[0].keys() == said[1].keys() and said[0]["tokens"] == said[1]["tokens"]
    assert there.trace(PROMPTS[0]).html(tmp_path / "page.html").stat().st_size > 10_000


@pytest.mark.parametrize("name", ZOO)
def test_streams_are_found_and_scored_there(name: str) -> None:
    module, args, kwargs = ZOO[name]()
    plain, gone = copy.deepcopy(module), module.to(FIRST)
    wanted, found = ms.find(plain, *args, **kwargs), ms.find(gone, *moved(args, FIRST), **moved(kwargs, FIRST))
    assert [w.label for w in found.main.writes] == [w.label for w in wanted.main.writes]
    assert str(found).splitlines()[0] == str(wanted).splitlines()[0]


@pytest.mark.parametrize(("name", "label"), [("mixtral", "L1.mlp.E2.N5"), ("mixtral", "L1.attn.H1<-2"), ("gpt2", "L1.mlp.N3")])
def test_edits_there(name: str, label: str) -> None:
    module, (ids,), _ = ZOO[name]()
    plain, gone = ms.load(copy.deepcopy(module)), ms.load(module.to(FIRST))
    wanted, found = (model.trace(x, edits=ms.zero(label)).scores(3).frame() for model, x in ((plain, ids), (gone, ids.to(FIRST))))
    assert_same(found, wanted)
