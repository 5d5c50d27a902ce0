"""Ogden's ResNets (2023): RMSNorm in place of batch norm, trained with SGD, and how much their last blocks matter."""

from .._setup import Plan, Setup, Training

CIFAR = "cifar10.npz"
SIZES = ("small", "medium", "paper")


def recipe(size: str) -> Plan:
    """Batch norm and RMSNorm, with and without residual, and RMSNorm with neither momentum nor weight decay.

    Parameters: `size`: "small", on scikit-learn's digits; "medium", a thin network and a part of an epoch of CIFAR-10; "paper", ResNet-18's widths.
    """
    base = _small() if size == "small" else _medium() if size == "medium" else _paper()
    base = base.with_({"training.optimizer": "sgd", "training.lr": 0.05, "training.momentum": 0.9, "training.clip": 1.0})
    setups = {
        f"{label}, {skip}": base.with_({"model.norm": norm, "model.residual": residual})
        for label, norm in (("batch norm", "batch"), ("RMSNorm", "rms"))
        for skip, residual in (("residual", True), ("plain", False))
    }
    alone = {"training.lr": 0.5, "training.momentum": 0.0, "training.weight_decay": 0.0}
    setups["RMSNorm, residual, SGD alone"] = setups["RMSNorm, residual"].with_(alone)
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
            ("RMSNorm, residual, SGD alone", "RMSNorm, residual"),
        ),
        outcome="accuracy",
        better="higher",
    )


def _small() -> Setup:
    return Setup("images", {"widths": [8, 16, 32], "blocks": 2}, {"images": "digits"}, Training(steps=100, batch=64, watch=50))


def _medium() -> Setup:
    """600 steps of 32 images of CIFAR-10, and the first 1,000 of its test images; name them, data.images=FILE."""
    data = {"images": CIFAR, "kept": 1000, "mirrored": True}
    return Setup("images", {"widths": [8, 16, 32], "blocks": 2}, data, Training(600, 32, weight_decay=5e-4, watch=300))


def _paper() -> Setup:
    """Twenty epochs, and all test images; name them, data.images=FILE."""
    model = {"widths": [64, 128, 256, 512], "blocks": 2}
    return Setup("images", model, {"images": CIFAR, "mirrored": True}, Training(8000, 128, weight_decay=5e-4, watch=400))
