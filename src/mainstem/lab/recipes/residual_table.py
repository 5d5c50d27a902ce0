"""Ferreira's hackathon report (2023) with a skip that is there in one model and not in the other, on several tables."""

from .._setup import Plan, Setup, Training

BUNDLED = ("diabetes", "wine", "breast-cancer", "friedman1", "friedman2", "friedman3")


def recipe(size: str) -> Plan:
    """With and without residual on each table. Parameters: `size`, "small" or "paper", which adds California Housing."""
    small = size == "small"
    names = BUNDLED if small else (*BUNDLED, "california")
    training = Training(steps=400 if small else 5000, batch=32, lr=1e-3, watch=100 if small else 500)
    base = Setup("table", {"width": 32, "hidden": 64, "blocks": 4}, {}, training)
    setups = {
        f"{name}, {label}": base.with_({"data.name": name, "model.residual": residual})
        for name in names
        for label, residual in (("residual", True), ("plain", False))
    }
    return Plan(
        name="residual-table",
        about="does a network on tables predict better with a residual stream than without one?",
        source="Ferreira 2023, Experimental Verification of the Residual Stream as Shared Bandwidth Hypothesis",
        size=size,
        setups=setups,
        seeds=5 if small else 20,
        pairs=tuple((f"{name}, residual", f"{name}, plain") for name in names),
        outcome="mse",
    )
