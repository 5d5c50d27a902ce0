"""Ogden's question (2023): is it the optimiser that gives the residual stream its privileged basis?"""

from .._setup import Plan, Setup, Training, grid


def recipe(size: str) -> Plan:
    """SGD by momentum and weight decay as in the source; beside Adam, norms, and other bases. Parameters: `size`, "small" or "paper"."""
    base = _small() if size == "small" else _paper()
    sgd = base.with_({"training.optimizer": "sgd", "training.lr": 0.5})
    setups = {
        f"SGD, {name}": one
        for name, one in grid(sgd, {"training.momentum": (0.0, 0.9), "training.weight_decay": (0.0, 0.01)}).items()
    }
    setups = {name: one.with_({"training.lr": 0.5 if one.training.momentum == 0 else 0.05}) for name, one in setups.items()}
    adam = base.with_({"training.optimizer": "adamw", "training.lr": 3e-3})
    setups |= {
        "Adam": adam,
        "Adam, moments rotated": adam.with_({"training.optimizer": "rotated_adam"}),
        "Adam, computation shared": adam.with_({"model.basis": "shared"}),
        "Adam, computation independent": adam.with_({"model.basis": "independent"}),
        "Adam, layer norm": adam.with_({"model.norm": "layer"}),
        "Adam, RMSNorm per feature": adam.with_({"model.norm": "rms"}),
        "Adam, bfloat16": adam.with_({"training.precision": "bfloat16"}),
    }
    return Plan(
        name="privileged-basis",
        about="which optimiser, norm or basis of computation moves the kurtosis of the stream from that of any vector in a random basis?",
        source="Ogden 2023, Residual Streams; Elhage et al. 2023",
        size=size,
        setups=setups,
        pairs=tuple((name, "Adam") for name in setups if name != "Adam"),
        outcome="kurtosis",
    )


def _small() -> Setup:
    model = {"n_layer": 3, "d_model": 32, "n_head": 4, "norm": "rms_scalar", "scaled": True, "activation": "gelu_new"}
    data = {"text": "facts", "tokenizer": "tiny", "length": 64, "tokens": 200_000, "kept": 10_000}
    return Setup("text", model, data, Training(steps=80, batch=16, clip=1.0, watch=40))


def _paper() -> Setup:
    """gptr2-nano: six layers and four heads, an epoch of Wikipedia; name the text, data.text=FILE."""
    model = {"n_layer": 6, "d_model": 128, "n_head": 4, "n_positions": 256, "norm": "rms_scalar", "scaled": True}
    data = {"text": "facts", "tokenizer": "gpt2", "length": 256, "tokens": 100_000_000}
    return Setup("text", model, data, Training(steps=50_000, batch=32, clip=1.0, watch=1000, checkpoint=1000))
