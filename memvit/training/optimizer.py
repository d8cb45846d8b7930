"""The optimizer and the learning rate."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from memvit.training.recipe import OptimizerConfig, ScheduleConfig

POSITIONS = ("cls_token", "rel_pos")


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """AdamW, or SGD with Nesterov momentum. Norms have no weight decay, and biases and positions as the config says."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    of_norms = _names_of_norms(model)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_position = any(part in name for part in POSITIONS)
            has_decay = parameter.ndim > 1 or (config.decay_biases and name not in of_norms)
            is_free = not has_decay or (is_position and not config.decay_positions)
            (free if is_free else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if config.kind == "sgd":
        return SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)
    return AdamW(groups, lr=config.learning_rate, betas=config.betas)


def _names_of_norms(model: nn.Module) -> set[str]:
    """The parameters of norms."""
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.LayerNorm | nn.BatchNorm2d)}
    return {name for name, _ in model.named_parameters() if name.rpartition(".")[0] in norms}


def learning_rate(epochs_done: float, peak: float, config: ScheduleConfig) -> float:
    """The learning rate after `epochs_done` epochs (a float): linear warm-up to `peak`, then half a cosine or steps."""
    if epochs_done < config.warmup_epochs:
        return config.warmup_start + (peak - config.warmup_start) * epochs_done / config.warmup_epochs
    if config.kind == "steps":
        return peak * 0.1 ** sum(epochs_done >= part * config.epochs for part in config.steps)
    part = (epochs_done - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1e-9)
    return config.end + (peak - config.end) * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))
