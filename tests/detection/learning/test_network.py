"""A detector that learns: what its losses are made of, and that they lead to the objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from memvit.detection import DETECTORS, Selection
from memvit.detection.images import ImageBatch, batch_of
from memvit.detection.learning import LearningNetwork, LearningRule, Targets, initialise_heads
from memvit.detection.learning.batch_norm import SharedBatchNorm, share_batch_norms
from memvit.detection.network import DetectionNetwork
from memvit.models.mvit import initialise

TINY = DETECTORS["mask_rcnn_mvitv2_tiny"].config
RULE = LearningRule(Selection(proposals_per_level=50, proposals=20), boxes=16)


def network_of(*, cascade: bool) -> LearningNetwork:
    torch.manual_seed(0)
    network = LearningNetwork(replace(TINY, cascade=cascade, num_classes=2), RULE)
    initialise(network.backbone, TINY.backbone.init_std)
    initialise_heads(network)
    return network


def batch() -> tuple[ImageBatch, list[Targets]]:
    """Two pictures: a bright square on dark ground with a polygon as its mask, and pixels as the mask of another."""
    pictures, targets = [], []
    for label, (x, y) in enumerate(((8, 8), (24, 16))):
        picture = torch.full((3, 64, 64), 40, dtype=torch.uint8)
        picture[:, y : y + 24, x : x + 24] = 220
        pixels = picture[0] > 100
        corners = np.array([x, y, x + 24, y, x + 24, y + 24, x, y + 24], dtype=np.float64)
        masks = ((corners,), pixels)
        box = torch.tensor([[x, y, x + 24, y + 24]], dtype=torch.float32)
        pictures.append(picture)
        targets.append(Targets(box, torch.tensor([label]), (masks[label],), seed=label))
    return batch_of(pictures, torch.device("cpu")), targets


@pytest.mark.parametrize("cascade", [False, True])
def test_every_part_learns(cascade: bool) -> None:
    network = network_of(cascade=cascade).train()
    losses = network(*batch())
    heads = range(3 if cascade else 1)
    assert list(losses) == [
        "objectness",
        "proposals",
        *(f"{kind}{head}" for head in heads for kind in ("classes", "boxes")),
        "masks",
    ]
    torch.stack(list(losses.values())).sum().backward()
    without = {name for name, each in network.named_parameters() if each.grad is None or not each.grad.isfinite().all()}
    assert without == set()
    # Before anything is learned, two classes and the background are alike, and so are both values of masks.
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    assert values["classes0"] == pytest.approx(2 * np.log(3), rel=0.2)
    assert values["masks"] == pytest.approx(2 * np.log(2), rel=0.1)


def test_losses_are_sums_over_pictures_and_do_not_depend_on_their_company() -> None:
    network = network_of(cascade=False)
    (pixels, sizes), targets = (lambda each: (each.pixels, each.sizes))(batch()[0]), batch()[1]
    with torch.no_grad():
        together = network(ImageBatch(pixels, sizes), targets)
        alone = [network(ImageBatch(pixels[[index]], sizes[index : index + 1]), [targets[index]]) for index in range(2)]
    for name, loss in together.items():
        assert float(loss) == pytest.approx(sum(float(each[name]) for each in alone), rel=1e-4, abs=1e-6), name


def test_pictures_without_objects_or_masks() -> None:
    network = network_of(cascade=True).train()
    images, targets = batch()
    nothing = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), ())
    assert all(loss.isfinite() for loss in network(images, [nothing, nothing]).values())
    without_masks = [Targets(each.boxes, each.labels, None) for each in targets]
    assert "masks" not in network(images, without_masks)


def test_a_few_steps_make_the_loss_small() -> None:
    network = network_of(cascade=False).train()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    images, targets = batch()
    first = last = 0.0
    for step in range(6):
        optimizer.zero_grad()
        loss = torch.stack(list(network(images, targets).values())).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        first, last = (float(loss.detach()), last) if step == 0 else (first, float(loss.detach()))
    assert last < 0.8 * first


def test_its_weights_are_those_of_the_detector() -> None:
    learning, plain = network_of(cascade=True), DetectionNetwork(replace(TINY, cascade=True, num_classes=2))
    share_batch_norms(learning, None)
    plain.load_state_dict(learning.state_dict())


@pytest.mark.parametrize("is_training", [True, False])
def test_a_shared_batch_norm_of_one_process_is_an_ordinary_one(is_training: bool) -> None:
    plain, shared = torch.nn.BatchNorm2d(3), SharedBatchNorm(3)
    torch.manual_seed(0)
    results = []
    values = torch.randn(5, 3, 4, 4) * 2 + 1
    for norm in (plain, shared):
        x = values.clone().requires_grad_()
        norm.train(is_training)
        y = norm(x)
        (y * torch.arange(y.numel()).view_as(y).sin()).sum().backward()
        results.append((y, x.grad, *(parameter.grad for parameter in norm.parameters()), *norm.buffers()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_shared_batch_norm_takes_no_boxes() -> None:
    norm = SharedBatchNorm(3).train()
    assert norm(torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)
    assert norm.running_var is not None and norm.running_var.tolist() == [1, 1, 1]
