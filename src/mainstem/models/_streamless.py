"""Architectures that add nothing to what they carry along, and therefore have no residual stream."""

STREAMLESS = {
    "MobileNetV1ForImageClassification": "a plain chain of convolutions",
    "PPLCNetForImageClassification": "a plain chain of convolutions",
}
