"""How the new parts of a detector begin. Source: the release in detectron2."""

from __future__ import annotations

from torch import nn

from ..heads import BoxHead, ConvRelu
from ..network import DetectionNetwork

SMALL, SMALLER = 0.01, 0.001


def initialise_heads(network: DetectionNetwork) -> None:
    """Give new weights to everything but the backbone; biases begin at zero."""
    for module in (*network.fpn.modules(), *network.box_heads.modules(), *network.mask_head.modules()):
        if isinstance(module, ConvRelu | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=1)
    for module in network.rpn.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=SMALL)
    for head in network.box_heads:
        assert isinstance(head, BoxHead)
        nn.init.normal_(head.classes.weight, std=SMALL)
        nn.init.normal_(head.deltas.weight, std=SMALLER)
    nn.init.normal_(network.mask_head.predictor.weight, std=SMALLER)
    for name, parameter in network.named_parameters():
        if name.endswith(".bias") and not name.startswith("backbone.") and ".norm." not in name:
            nn.init.zeros_(parameter)
