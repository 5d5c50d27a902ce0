"""Armstrong's data lane (2023): a stream that is wider than the embedding."""

from .._setup import Plan, Setup, Training

LANES: dict[str, dict[str, str]] = {"same": {}, "copies": {"lane": "copies"}, "switched": {"readout": "switched"}}


def recipe(size: str) -> Plan:
    """Vanilla streams of several widths, and wide ones with a narrow embedding. Parameters: `size`, "small" or "paper"."""
    small = size == "small"
    widths, narrow = ((32, 48, 64), (32, 16)) if small else ((96, 384, 768), (384, 192, 96))
    base = _small() if small else _paper()
    wide = widths[-1]
    setups = {f"NoDL-{d}-{d}": base.with_({"model.d_model": d, "model.d_embedding": d}) for d in widths}
    shapes: list[tuple[str, int, dict[str, str]]] = [("DL", e, {}) for e in narrow] + [
        ("SwDL", narrow[0 if small else 1], LANES["switched"])
    ]
    shapes += [("CopyDL", narrow[0 if small else 1], LANES["copies"])]
    for label, e, choices in shapes:
        changes = {"model.d_model": wide, "model.d_embedding": e} | {f"model.{k}": v for k, v in choices.items()}
        setups[f"{label}-{wide}-{e}"] = base.with_(changes)
    lanes = [name for name in setups if not name.startswith("NoDL")]
    return Plan(
        name="data-lane",
        about="does a stream that is wider than its embedding learn better than a vanilla one of as many parameters?",
        source="Armstrong 2023, Residual Stream Data Lane",
        size=size,
        setups=setups,
        pairs=(*((name, f"NoDL-{wide}-{wide}") for name in lanes), *_beside(lanes)),
        curve=tuple(name for name in setups if name.startswith("NoDL")),
    )


def _beside(lanes: list[str]) -> list[tuple[str, str]]:
    """Other lanes beside the plain one of the same widths."""
    return [(name, f"DL-{name.partition('-')[2]}") for name in lanes if not name.startswith("DL-")]


def _small() -> Setup:
    model = {"n_layer": 2, "n_head": 4, "n_positions": 64, "attention": ["global", "local"], "window": 16}
    training = Training(steps=100, batch=8, lr=3e-3, watch=50)
    return Setup("text", model, {"text": "facts", "tokenizer": "default", "length": 64, "kept": 10_000}, training)


def _paper() -> Setup:
    """As published: an epoch of 247,500 stories in batches of 2; name the stories, data.text=FILE."""
    model = {
        "vocab_size": 50257,
        "n_layer": 4,
        "n_head": 16,
        "n_positions": 2048,
        "attention": ["global", "local"],
        "window": 256,
    }
    data = {"text": "facts", "tokenizer": "gpt2", "length": 512, "tokens": 50_000_000}
    return Setup("text", model, data, Training(steps=123_750, batch=2, lr=5e-5, watch=5000, checkpoint=5000))
