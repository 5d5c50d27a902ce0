"""Ogden's ResNets (2023): RMSNorm in place of batch norm, trained with SGD, and how much their last blocks matter."""

from .._setup import Plan, Setup, Training


def recipe(size: str) -> Plan:
    """Batch norm and RMSNorm, with and without residual. Parameters: `size`, "small", on scikit-learn's digits, or "paper"."""
    small = size == "small"
    model = {"widths": [8, 16, 32], "blocks": 2} if small else {"widths": [64, 128, 256, 512], "blocks": 2}
    training = Training(steps=100, batch=64, watch=50) if small else Training(steps=8000, batch=128, weight_decay=5e-4, watch=400)
    base = Setup("images", model, {"images": "digits"}, training)
    base = base.with_({"training.optimizer": "sgd", "training.lr": 0.05, "training.momentum": 0.9, "training.clip": 1.0})
    setups = {
        f"{label}, {skip}": base.with_({"model.norm": norm, "model.residual": residual})
        for label, norm in (("batch norm", "batch"), ("RMSNorm", "rms"))
        for skip, residual in (("residual", True), ("plain", False))
    }
    return Plan(
        name="resnet-norm",
        about="is a ResNet with RMSNorm in place of batch norm as accurate, and does it bear the loss of its last blocks as well?",
        source="Ogden 2023, Residual Streams",
        size=size,
        setups=setups,
        pairs=(
            ("RMSNorm, residual", "batch norm, residual"),
            ("batch norm, residual", "batch norm, plain"),
            ("RMSNorm, residual", "RMSNorm, plain"),
        ),
        outcome="accuracy",
        better="higher",
    )
