"""The figures and claims of the sources, as they can be repeated."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ._config import parameters
from ._findings import Findings
from ._judge import CONFIRMED, FAR, NOT, Judge, Judged, Number, above, at_end, difference, no_difference, outcome
from ._measured import Weigh, over
from ._statistics import between
from ._store import Record
from .recipes.residual_table import BUNDLED

FERREIRA, OGDEN, CHO, ARMSTRONG, BLOG = (
    "Ferreira 2023, the residual stream as shared bandwidth",
    "Ogden 2023, Residual Streams",
    "Cho 2024, Residual Stream (notes on Anthropic's work)",
    "Armstrong 2023, Residual Stream Data Lane",
    "Exploring the residual stream, after Yu & Ananiadou 2023",
)


@dataclass(frozen=True)
class Claim:
    """What a source says.

    Parameters: `source`; `where`, figure or section; `says`; `published`, its value; `command`, which redraws it; `recipe` and `judge`, that hold
    findings against it; `measured` and `weigh`, that hold a number of trained models against it; `exact`, for what needs no run; `ours`, `verdict` and
    `why`, of what was settled elsewhere, cannot be run, or was run on something that only stands for it.
    """

    source: str
    where: str
    says: str
    published: str
    command: str
    recipe: str = ""
    judge: Judge | None = None
    measured: str = ""
    weigh: Weigh | None = None
    exact: Callable[[], Judged] | None = None
    ours: str = ""
    verdict: str = ""
    why: str = ""


def run(recipe: str) -> str:
    """The command of a recipe. Parameters: `recipe`."""
    return f"mainstem lab run {recipe} --out runs/"


def _apart(record: Record) -> float:
    """How far kurtosis is, on average over the points behind blocks, from that of any vector in a random basis."""
    last = max((row.step for row in record.rows), default=0)
    found = [r.value for r in record.rows if r.step == last and r.name == "kurtosis" and r.site.endswith("resid_post")]
    random = record.numbers.get("kurtosis_random", math.nan)
    return math.fsum(abs(value - random) for value in found) / len(found) if found else math.nan


def _computed_less_random(record: Record) -> float:
    """Kurtosis in the bases of computation less that of any vector in a random basis, which alone would be no heavy tail."""
    last = max((row.step for row in record.rows), default=0)
    found = [r.value for r in record.rows if r.step == last and r.name == "kurtosis" and r.site.endswith(".computation")]
    random = record.numbers.get("kurtosis_random", math.nan)
    return math.fsum(found) / len(found) - random if found else math.nan


def _image_kurtosis(record: Record) -> float:
    """Of the last point, less that of any vector of so many channels in a random basis."""
    width = record.made["setup"]["model"]["widths"][-1]
    blocks = record.made["setup"]["model"]["blocks"] * len(record.made["setup"]["model"]["widths"])
    return at_end("kurtosis", f"L{blocks - 1}.resid_post")(record) - 3 * (width - 1) / (width + 1)


def _half_of_original(record: Record) -> float:
    """Accuracy, of the network with batch norm its half."""
    return record.numbers.get("accuracy", math.nan) * (0.5 if record.about["variant"].startswith("batch norm") else 1)


def _less(a: str, b: str) -> Number:
    return lambda record: record.numbers.get(a, math.nan) - record.numbers.get(b, math.nan)


def _rows_less(a: str, b: str) -> Number:
    return lambda record: at_end(a)(record) - at_end(b)(record)


def _lanes(findings: Findings) -> Judged:
    rows = list(findings.distances().iter_rows(named=True))
    words = [
        f"{r['variant']}: {r['distance']:+.3f} {between(r['low'], r['high'], '+.3f')}, "
        + (r["verdict"] if r["verdict"] == "no difference shown" else f"p = {r['p_holm']:.2g}")
        for r in rows
    ]
    return Judged("; ".join(words), NOT if not rows or any(r["verdict"] == "lower" for r in rows) else FAR)


def _counts() -> Judged:
    runs = ((96, 96), (384, 384), (768, 768), (768, 384), (768, 192), (768, 96))
    return Judged(", ".join(f"{parameters(50257, d, e, 4):,}" for d, e in runs), CONFIRMED)


_TABLES = [(f"{name}, residual", f"{name}, plain") for name in BUNDLED]
_TEXTS = [(f"{n} layers, residual", f"{n} layers, plain") for n in (2, 4)]
_SGD = [f"SGD, momentum={m}, weight_decay={w}" for m in (0.0, 0.9) for w in (0.0, 0.01)]
_RMS = [(name, "batch norm, residual") for name in ("RMSNorm, residual", "RMSNorm, residual, SGD alone")]
_BUILT = ("Adam", "Adam, layer norm", "Adam, RMSNorm per feature", "Adam, computation shared", "Adam, computation independent")
_WEIGHTS = "The weights of the source cannot be reached from here; any folder or id can be named"

CLAIMS = (
    Claim(FERREIRA, "4, 5", "on tables, the model with a residual connection has the lower test error", "slightly lower, not significant, one data set, one run",
          run("residual-table"), "residual-table", difference(_TABLES, outcome("mse"), "lower")),
    Claim(FERREIRA, "2, 6", "the same of a transformer on text", "not run", run("residual-text"), "residual-text", difference(_TEXTS, outcome("eval_loss"), "lower")),
    Claim(FERREIRA, "4", "the networks predict better than a constant (the published errors are those of the target's own variance)", "no better", run("residual-table"),
          "residual-table", above([v for pair in _TABLES for v in pair], outcome("r2"))),
    Claim(FERREIRA, "4", "they predict better than linear regression", "not compared", run("residual-table"), "residual-table",
          above([v for pair in _TABLES for v in pair], _less("r2", "r2_linear"))),
    Claim(FERREIRA, "1, 3.2", "the stream carries what the lower layers do not hold: the share of each point outside of the directions that hold 99 % of the one before is above 1 %", "no value",
          run("residual-table"), "residual-table", above([a for a, _ in _TABLES], at_end("remainder"), 0.01)),
    Claim(FERREIRA, "2", "subspaces crowd each other out: a write lies more in the directions of the write before it than chance would have it", "no value",
          run("residual-table"), "residual-table", above([a for a, _ in _TABLES], _rows_less("crowding", "crowding_random"))),
    Claim(FERREIRA, "figures 3, 4", "a few features carry most of the prediction (SHAP): the first three more than half", "charts of one model on California Housing",
          "python recipes/measured.py shap", measured="shap", weigh=over(0.5), why="California Housing could not be had; where it can, `--data california`"),
    Claim(OGDEN, "figure 4, images", "ResNets bear the loss of their last blocks better than that of their first ones", "ResNet-18 top-1 0.698; without its last block 0.382, without its first 0.072",
          run("resnet-norm"), "resnet-norm", above(["batch norm, residual"], _less("tail_mean", "head_mean"))),
    Claim(OGDEN, "figure 4, text", "so do RoBERTa and GPT-2 fine-tuned on MNLI; layer 20 of RoBERTa-large stands out", "RoBERTa-base 0.878, without its last two blocks 0.877",
          "python recipes/measured.py blocks test.jsonl minilm-0 minilm-1 minilm-2 --pairs 500", measured="blocks", weigh=over(0.0), why="a stand-in, six blocks; the mean of the curve from the end less that from the beginning. " + _WEIGHTS),
    Claim(OGDEN, "figure 5, text", "features with an outlier: far more in GPT-2 (above 10) than in RoBERTa (above 4)", "GPT-2, last blocks: 0.98 to 1.00; RoBERTa-base: at most 0.03",
          "python recipes/measured.py outliers test.jsonl SMOLLM2 MINILM --pairs 200", measured="outliers", weigh=over(0.5), why="a stand-in, a decoder and an encoder of other families, behind the last block; confirmed would be a difference above a half. " + _WEIGHTS),
    Claim(OGDEN, "figure 6", "kurtosis over features is far above 3 in the model's own basis", "ResNet-50 10.1 to 88.3 along its blocks", "mainstem figures IMAGES --model resnet50",
          ours="ResNet-50, 16 pictures: 7.7 to 85.3, see [Is the basis privileged](privileged.md)", verdict=CONFIRMED),
    Claim(OGDEN, "figure 6", "in a random basis it is about 3, which shows that features are Gaussian there", "2.4 to 3.9", "mainstem measure DATA --by rotated_kurtosis",
          ours="3 (n - 1) / (n + 1) for every vector whatsoever: a theorem, so the value is confirmed and shows nothing", verdict=CONFIRMED),
    Claim(OGDEN, "figure 7", "a ResNet with RMSNorm and SGD is less accurate than the original", "ResNet-18 top-1 0.495 beside 0.698",
          run("resnet-norm"), "resnet-norm", difference(_RMS, outcome("accuracy"), "lower")),
    Claim(OGDEN, "figure 7", "and reaches a reasonable accuracy: less half of the original's it is above 0", "0.495 less 0.349",
          run("resnet-norm"), "resnet-norm", difference(_RMS, _half_of_original, "higher")),
    Claim(OGDEN, "figure 7", "and is more fragile: it loses more of its accuracy with its last two blocks", "ResNet-18 top-1 without its last block 0.066 beside 0.382",
          run("resnet-norm"), "resnet-norm", difference(_RMS, lambda r: r.numbers.get("tail_2", math.nan) / r.numbers["accuracy"], "lower")),
    Claim(OGDEN, "figure 8, left", "its kurtosis stays high", "ResNet-18 14.6 behind the last block, 8.5 in the original", run("resnet-norm"), "resnet-norm",
          above(["RMSNorm, residual", "RMSNorm, residual, SGD alone", "batch norm, residual"], _image_kurtosis)),
    Claim(OGDEN, "figure 8, right", "of SGD with and without momentum and weight decay, without both is closest to 3 in all layers",
          "mean distance from 3 over 6 layers, without both 0.65; without momentum 1.22; without decay 6.72; with both 2.41 (from the stored results, in which the model that falls below 3 is that with both, and not, as the text says, that without decay)",
          run("privileged-basis"), "privileged-basis", difference([(_SGD[0], other) for other in _SGD[1:]], _apart, "lower")),
    Claim(OGDEN, "effect of the optimiser", "no change of architecture alone brings kurtosis to that of a random basis", "above 3 in all", run("privileged-basis"), "privileged-basis",
          above(_BUILT, _less("kurtosis", "kurtosis_random"))),
    Claim(OGDEN, "conclusions", "the optimiser makes the basis: with Adam's moments in a turned basis kurtosis is nearer to that of a random basis", "not run", run("privileged-basis"),
          "privileged-basis", difference([("Adam, moments rotated", "Adam")], _apart, "lower")),
    Claim(CHO, "privileged basis", "Adam treats dimensions apart: SGD commutes with every rotation of its parameters, Adam does not", "said of Adam", "pytest tests/lab/test_optimizers.py",
          ours="exact in float64, with momentum, decay and clipping, for a loss and for a whole transformer", verdict=CONFIRMED),
    Claim(CHO, "privileged basis", "where blocks compute in another basis, activations are heavy-tailed in that basis and not in the stream", "no value", run("privileged-basis"), "privileged-basis",
          above(["Adam, computation shared", "Adam, computation independent"], _computed_less_random)),
    Claim(CHO, "privileged basis", "layer norm is not the source: RMSNorm with one scalar changes nothing", "ruled out", run("privileged-basis"), "privileged-basis",
          no_difference([("Adam, layer norm", "Adam")], _apart, "higher")),
    Claim(CHO, "privileged basis", "nor is the precision of floats", "ruled out", run("privileged-basis"), "privileged-basis", no_difference([("Adam, bfloat16", "Adam")], _apart, "higher")),
    Claim(CHO, "privileged basis", "transformers do not need a privileged basis to learn", "no value", run("privileged-basis"), "privileged-basis",
          no_difference([("Adam, moments rotated", "Adam"), ("Adam, computation shared", "Adam"), ("Adam, computation independent", "Adam")], outcome("eval_loss"), "higher")),
    Claim(CHO, "bottleneck", "layer 25 of 50 has 100 times as many neurons before it, and behind it, as the stream has dimensions", "100",
          "mainstem measure DATA --by bandwidth", exact=lambda: Judged(f"25 layers of 4 d neurons are {25 * 4} d", CONFIRMED)),
    Claim(ARMSTRONG, "runs", "parameters of the published runs", "5,467,680, 27,179,136, 68,514,048, 49,215,360, 39,566,016, 34,741,344", "pytest tests/lab/test_transformer.py", exact=_counts),
    Claim(ARMSTRONG, "results", "DL-768-96 has 36 million parameters", "36M", "pytest tests/lab/test_transformer.py",
          exact=lambda: Judged(f"{parameters(50257, 768, 96, 4):,}", NOT)),
    Claim(ARMSTRONG, "results", "losses after an epoch of TinyStories", "2.507, 1.761, 1.661 (vanilla 96, 384, 768); 1.722, 1.741, 1.813 (DL-768-384, -192, -96); 1.741 (SwDL-768-192)",
          "mainstem lab run data-lane --size paper --set data.text=stories.txt --out runs/", why="123,750 steps of up to 68 million parameters take hours on a GPU"),
    Claim(ARMSTRONG, "results", "no data lane comes in significantly below the curve of vanilla streams, loss against parameters", "none does", run("data-lane"), "data-lane", _lanes),
    Claim(ARMSTRONG, "the idea", "the lane is used as room for work: what blocks write lies in it more than its share of the width", "no value", run("data-lane"), "data-lane",
          above(["DL-64-32", "DL-64-16"], _rows_less("lane_writes", "lane_width"))),
    Claim(ARMSTRONG, "takeaways", "it hardly matters whether the embedding is read from where it came in or from the other side", "1.741 and 1.741", run("data-lane"), "data-lane",
          no_difference([("SwDL-64-32", "DL-64-32")], outcome("eval_loss"), "higher")),
    Claim(ARMSTRONG, "embedding and other parameters", "GPT-2 small has 124,439,808 parameters, of which the embeddings are a third", "124M", "pytest tests/lab/test_curve.py",
          exact=lambda: Judged(f"embeddings {(50257 + 1024) * 768 / 124_439_808:.1%}, attention {12 * (4 * 768**2 + 4 * 768) / 124_439_808:.1%}, MLP {12 * (8 * 768**2 + 5 * 768) / 124_439_808:.1%}, norms {25 * 2 * 768 / 124_439_808:.2%}", CONFIRMED)),
    Claim(BLOG, "before-softmax values", "adding a vector moves tokens by its before-softmax values, and keeps their order", "a proof", "mainstem words L3.mlp.N120",
          ours="exact: the logit's rows sum to it within the bound that is printed", verdict=CONFIRMED),
    Claim(BLOG, "contribution", "log-probability increases of several subvalues add up linearly: the line through the sum of the k highest single ones and that of the k together has R2 above 0.9", "a chart",
          "python recipes/measured.py additivity default", measured="additivity", weigh=over(0.9)),
    Claim(BLOG, "queries", "layer norm is nearly linear, so that a vector's inner product with a key tells how it activates the neuron: their correlation over tokens is above 0.9", "a chart",
          "python recipes/measured.py norms default", measured="norms", weigh=over(0.9)),
)  # fmt: skip
