"""Trains the embedded image classifier from nothing on CIFAR-10: weights, scores and card.

    python recipes/default_image.py [--out DIR] [--epochs N] [--seed 0]

One thread throughout. Every epoch ends with a checkpoint in the user's cache, from which an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from cifar10 import CLASSES, Augmented, Images, Normal, cifar10
from image_card import write_card
from muon import Muon, orthogonal
from packages import cache_folder
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from mainstem.models._resnet import RESNET, ResNet, ResNetConfig  # noqa: E402

CONFIG = ResNetConfig(3, 32, hidden_sizes=(48, 96, 192), depths=(2, 2, 1), id2label=dict(enumerate(CLASSES)))
BATCH, SMOOTHING = 250, 0.1
FILTERS, OTHERS = 0.04, 3e-3  # the highest learning rates


def change(weight: Tensor, momentum: Tensor, rate: float) -> None:
    """An orthogonal update of filters, which are kept at length one: behind them stands a batch norm."""
    weight.mul_(len(weight) ** 0.5 / weight.norm()).sub_(orthogonal(momentum.flatten(1)).view_as(weight), alpha=rate)


def make_optimizers(model: ResNet) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions; Adam for norms and head."""
    filters = [parameter for parameter in model.parameters() if parameter.ndim == 4]
    others = [parameter for parameter in model.parameters() if parameter.ndim != 4]
    return [Muon(filters, change, FILTERS), torch.optim.Adam(others, OTHERS, betas=(0.9, 0.99))]


@dataclass
class Run:
    """How far a training run is: the curve is (epoch, training loss, test accuracy)."""

    model: ResNet
    optimizers: list[torch.optim.Optimizer]
    epochs: int
    seed: int
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def checkpoint(self) -> Path:
        return cache_folder() / f"default-image-{self.epochs}-{self.seed}.pt"

    def save(self) -> None:
        state = {"model": self.model.state_dict(), "seconds": self.seconds, "curve": self.curve}
        half = self.checkpoint.with_suffix(".half")
        torch.save(state | {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}, half)
        half.rename(self.checkpoint)

    def resume(self) -> None:
        if self.checkpoint.is_file():
            state = torch.load(self.checkpoint, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.seconds, self.curve = state["seconds"], state["curve"]
            for optimizer, held in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(held)


def learning_rate(done: float) -> float:
    """Of the highest, with `done` of training behind: a warm-up over the first tenth, then straight down to nothing."""
    return min(done / 0.1, (1 - done) / 0.9)


def train_epoch(run: Run, data: Augmented) -> float:
    """One more epoch in place; returns its mean loss."""
    run.model.train()
    batches, total = data.epoch(len(run.curve), BATCH), 0.0
    peaks = [FILTERS, OTHERS]
    for number, chosen in enumerate(batches):
        rate = learning_rate((len(run.curve) + (number + 0.5) / len(batches)) / run.epochs)
        images, labels = data.batch(chosen)
        with torch.autocast("cpu", torch.bfloat16):
            logits = run.model(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=SMOOTHING)
        run.model.zero_grad()
        loss.backward()
        for optimizer, peak in zip(run.optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate
            optimizer.step()
        total += loss.item() * len(chosen)
    return total / len(data.images)


@torch.no_grad()
def accuracy(model: ResNet, images: Images, normal: Normal) -> float:
    """The share of images whose likeliest class is the right one."""
    model.eval()
    guesses = torch.cat([model(normal(pixels)).argmax(-1) for pixels in images.pixels.split(500)])
    return (guesses == images.labels).double().mean().item()


def train(run: Run, data: Augmented, test: Images) -> None:
    """Trains to the end, from the last checkpoint if there is one."""
    run.resume()
    while len(run.curve) < run.epochs:
        began = time.monotonic()
        loss = train_epoch(run, data)
        run.seconds += time.monotonic() - began
        run.curve.append((len(run.curve) + 1, loss, accuracy(run.model, test, data.normal)))
        run.save()
        print(f"epoch {len(run.curve)} loss {loss:.4f} test {run.curve[-1][2]:.4f} {run.seconds:.0f} s", flush=True)


def save_model(model: ResNet, normal: Normal, out: Path) -> None:
    """Weights as float16, configuration, and how images are prepared."""
    out.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file({k: v.contiguous() for k, v in state.items()}, out / "model.safetensors", metadata={"format": "pt"})
    config = {"model_type": RESNET, **asdict(model.config), "dtype": "float16"}
    size = {"height": model.config.image_size, "width": model.config.image_size}
    processor = {"size": size, "image_mean": normal.mean, "image_std": normal.std}
    for name, content in {"config.json": config, "preprocessor_config.json": processor}.items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def machine() -> str:
    """The processor and torch's version: both decide in which order sums are made."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        name = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown processor")
    return f"{name}, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "src/mainstem/models/default-image")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the weights, would depend on it
    torch.manual_seed(args.seed)
    images, test = cifar10()
    normal = Normal.of(images)
    model = ResNet(CONFIG).to(memory_format=torch.channels_last)
    run = Run(model, make_optimizers(model), args.epochs, args.seed)
    train(run, Augmented(images, normal, args.seed), test)
    save_model(model, normal, args.out)
    facts = {"epochs": run.epochs, "seed": run.seed, "batch": BATCH, "seconds": round(run.seconds), "curve": run.curve}
    write_card(args.out, facts | {"machine": machine()}, {})
    run.checkpoint.unlink()  # the next run starts from nothing


if __name__ == "__main__":
    main()
