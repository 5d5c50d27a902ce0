"""Measures the stored image classifier, and writes its figures (card.json) and its card (CARD.md).

    python recipes/image_card.py [DIR] [--beside CARD.json ...]

Everything is measured from the stored weights, through the stored way of preparing images. `--beside` names figures of runs with
other seeds, for the spread. What only training knows (its curve and time) is kept from the figures in DIR.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from cifar10 import CLASSES, PACKAGE, Images, cifar10
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import mainstem as ms  # noqa: E402
from mainstem.models._embedded import sums  # noqa: E402
from mainstem.models._pixels import Pixels  # noqa: E402
from mainstem.models._resnet import load_resnet  # noqa: E402

DEFAULT = ROOT / "src/mainstem/models/default-image"
TEMPLATE = Path(__file__).with_suffix(".md")
TRACED, BATCH, BINS = 1000, 250, 15


def prepared(folder: Path, images: Images) -> list[Tensor]:
    """Batches of what the model reads, made of the images as a user's would be."""
    read = Pixels.read(folder / "preprocessor_config.json")
    batches = images.pixels.permute(0, 2, 3, 1).numpy()
    return [read(images=batches[i : i + BATCH])["pixel_values"] for i in range(0, len(images), BATCH)]


def scores(folder: Path, images: Images) -> dict[str, Any]:
    """Accuracy of each class and of all, loss, and calibration, on all of the images."""
    model = load_resnet(folder)
    with torch.no_grad():
        logprobs = torch.cat([model(batch).log_softmax(-1) for batch in prepared(folder, images)]).double()
    confidence, guesses = logprobs.exp().max(-1)
    right = guesses == images.labels
    wrong = [(int(a), int(b)) for a, b in zip(images.labels[~right], guesses[~right], strict=True)]
    truth, said = max(sorted(set(wrong)), key=wrong.count)
    return {
        "images": len(images),
        "accuracy": right.double().mean().item(),
        "classes": {name: right[images.labels == i].double().mean().item() for i, name in enumerate(CLASSES)},
        "confusion": {"is": CLASSES[truth], "said": CLASSES[said], "times": wrong.count((truth, said))},
        "loss": -logprobs.gather(1, images.labels[:, None]).mean().item(),
        "confidence": confidence.mean().item(),
        "calibration_error": calibration_error(confidence, right),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": (folder / "model.safetensors").stat().st_size,
    }


def calibration_error(confidence: Tensor, right: Tensor) -> float:
    """The gap between confidence and accuracy, averaged over images: sum_bins n_bin / n |accuracy - confidence| (Guo et al., 2017)."""
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    gaps = [(right[bins == i].double() - confidence[bins == i]).sum().abs() for i in range(BINS)]
    return (torch.stack(gaps).sum() / len(right)).item()


def stream(folder: Path, images: Images) -> dict[str, Any]:
    """Of mainstem: accuracy of the lens at every point, and of the model without each block's write."""
    model = ms.load(load_resnet(folder))
    batches = list(zip(prepared(folder, images), images.labels.split(BATCH), strict=True))
    writes = [write.label for point in model.map.main.points[1:] for write in point.writes]

    def right(guesses: list[Tensor]) -> float:
        return torch.cat([a == labels for a, (_, labels) in zip(guesses, batches, strict=True)]).double().mean().item()

    traces = [model.trace(batch) for batch, _ in batches]
    lenses = [trace.lens() for trace in traces]
    without = {label: [model.trace(batch, edits=ms.zero(label)).logits.argmax(-1) for batch, _ in batches] for label in writes}
    return {
        "images": len(images),
        "accuracy": right([trace.logits.argmax(-1) for trace in traces]),
        "lens": {name: right([lens.values.tokens[i] for lens in lenses]) for i, name in enumerate(lenses[0].points)},
        "zeroed": {label: right(guesses) for label, guesses in without.items()},
    }


def leaning(confidence: float, accuracy: float) -> str:
    """What the mean confidence says, in words."""
    if abs(confidence - accuracy) < 0.01:
        return "It is about as sure as it is right."
    return f"It is {'less' if confidence < accuracy else 'more'} sure than it is right, on average."


def spread(seeds: dict[str, float]) -> str:
    """The accuracies of all seeds that were run."""
    each = ", ".join(f"{accuracy:.2%} with seed {seed}" for seed, accuracy in sorted(seeds.items(), key=lambda x: int(x[0])))
    apart = max(seeds.values()) - min(seeds.values())
    return f"{each}; they are {100 * apart:.2f} points apart." if len(seeds) > 1 else f"{each}; no other was run."


def margin(figures: dict[str, Any]) -> float:
    """Twice the deviation that the choice of 10,000 test images alone gives, or the seeds' spread if that is wider."""
    p, seeds = figures["accuracy"], figures["seeds"].values()
    return max(2 * (p * (1 - p) / figures["images"]) ** 0.5, max(seeds) - min(seeds))


def card(figures: dict[str, Any], config: dict[str, Any]) -> str:
    """The card in words. Parameters: `figures`, as in card.json; `config`, as in config.json."""
    training, shown = figures["training"], figures["stream"]
    writes = ["", *shown["zeroed"]]
    rows = [
        f"| {point} | {right:.1%} | {write} | {format(shown['zeroed'][write], '.1%') if write else ''} |"
        for (point, right), write in zip(shown["lens"].items(), writes, strict=True)
    ]
    return TEMPLATE.read_text(encoding="utf-8").format(
        **{
            k: v
            for k, v in figures.items()
            if k not in ("classes", "training", "stream", "seeds", "figures", "sha256", "summary", "licence")
        },
        **{k: training[k] for k in ("epochs", "batch", "seed", "machine")},
        minutes=training["seconds"] / 60,
        package=PACKAGE,
        blocks=sum(config["depths"]),
        widths=", ".join(f"{w} ({n})" for w, n in zip(config["hidden_sizes"], config["depths"], strict=True)),
        channels=config["num_channels"],
        size=config["image_size"],
        curve="\n".join(f"| {epoch} | {loss:.3f} | {right:.2%} |" for epoch, loss, right in training["curve"]),
        classes="\n".join(f"| {name} | {right:.1%} |" for name, right in figures["classes"].items()),
        leaning=leaning(figures["confidence"], figures["accuracy"]),
        spread=spread(figures["seeds"]),
        margin=100 * margin(figures),
        traced=shown["images"],
        traced_accuracy=shown["accuracy"],
        points="\n".join(rows),
    )


def about(folder: Path) -> dict[str, Any]:
    """What every embedded model's card.json begins with."""
    summary = "A small ResNet, trained by this project on CIFAR-10: ten classes of pictures of 32 x 32 pixels"
    return {"summary": summary, "licence": "Apache-2.0", "sha256": sums(folder)}


def write_card(folder: Path, training: dict[str, Any], others: dict[str, float]) -> None:
    """Measures, and writes both files. Parameters: `folder`; `training`, what it was; `others`, accuracies of other seeds."""
    _, test = cifar10()
    figures = about(folder) | scores(folder, test) | {"stream": stream(folder, test.first(TRACED)), "training": training}
    figures["figures"] = {"right of the test images": f"{figures['accuracy']:.2%}", "nats an image": round(figures["loss"], 3)}
    figures["seeds"] = others | {str(training["seed"]): figures["accuracy"]}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    (folder / "CARD.md").write_text(card(figures, config), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads((args.folder / "card.json").read_text(encoding="utf-8"))
    beside = [json.loads(path.read_text(encoding="utf-8")) for path in args.beside]
    others = {str(one["training"]["seed"]): one["accuracy"] for one in beside}
    write_card(args.folder, known["training"], known["seeds"] | others)


if __name__ == "__main__":
    main()
