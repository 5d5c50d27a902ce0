"""The same question of a small transformer: with a residual stream and without one, from the same parameters."""

from .._setup import Plan, Setup, Training

SHAPES = {"small": ((2, 48), (4, 48)), "paper": ((4, 384), (12, 768))}


def recipe(size: str) -> Plan:
    """With and without residual, shallow and deep. Parameters: `size`, "small" or "paper"."""
    small = size == "small"
    data = {
        "text": "facts",
        "tokenizer": "tiny" if small else "default",
        "length": 64,
        "tokens": 200_000 if small else 20_000_000,
    }
    training = Training(100, 16, lr=3e-3, clip=1.0, watch=50) if small else Training(20_000, 32, lr=3e-4, clip=1.0, watch=1000)
    setups = {}
    for layers, width in SHAPES[size]:
        for label, residual in (("residual", True), ("plain", False)):
            model = {"n_layer": layers, "d_model": width, "n_head": 4 if small else 12, "scaled": True, "residual": residual}
            setups[f"{layers} layers, {label}"] = Setup("text", model, data, training)
    return Plan(
        name="residual-text",
        about="does a transformer learn text better with a residual stream than without one?",
        source="Ferreira 2023, Experimental Verification of the Residual Stream as Shared Bandwidth Hypothesis",
        size=size,
        setups=setups,
        pairs=tuple((f"{layers} layers, residual", f"{layers} layers, plain") for layers, _ in SHAPES[size]),
    )
