"""The task: what it is made of, what it learns from and what it measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rsaug.downstream.losses import RoadLoss
from rsaug.downstream.tasks import RoadSegmentationTask
from rsaug.downstream.tasks.base import BaseTask
from rsaug.errors import InputError

TOY: dict[str, Any] = {
    "backbone": "tu-resnet10t",
    "options": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]},
}


def batch() -> dict[str, torch.Tensor]:
    """Two images with a road, a strip of which nobody knows."""
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 32, 32, dtype=torch.int64)
    mask[:, 10:16] = 1
    mask[:, :, 28:] = 255
    return {"image": image, "mask": mask}


def test_it_is_a_task_of_torchgeo() -> None:
    task = RoadSegmentationTask(**TOY)
    assert isinstance(task, BaseTask)
    assert task.hparams["lr"] == 1e-3
    assert task(batch()["image"]).shape == (2, 1, 32, 32)


def test_prediction_is_of_probabilities() -> None:
    task = RoadSegmentationTask(**TOY).eval()
    plain = task.predict_step(batch(), 0)
    assert plain.shape == (2, 32, 32)
    torch.testing.assert_close(plain, torch.sigmoid(task(batch()["image"])[:, 0]))
    turned = RoadSegmentationTask(**TOY, test_turns=True).eval()
    turned.load_state_dict(task.state_dict())
    assert not torch.allclose(turned.predict_step(batch(), 0), plain, atol=1e-3)


def test_the_auxiliary_loss_teaches_further_maps() -> None:
    pytest.importorskip("skimage", reason="needs the extra `graph`")
    task = RoadSegmentationTask(**TOY, auxiliary=0.5)
    maps = task.model(batch()["image"])
    assert maps.shape == (2, 4, 32, 32)
    loss = task._loss(maps, batch()["mask"])
    alone = RoadLoss("bce+dice", 255)(maps[:, 0], batch()["mask"])
    assert loss > alone
    grads = torch.autograd.grad(loss, maps)[0]
    assert grads[:, 1:, :, :28].abs().sum() > 0
    assert not grads[..., 28:].any()


def test_a_frozen_encoder_stays_as_it_is() -> None:
    task = RoadSegmentationTask(**TOY, freeze_backbone=True).train()
    encoder = task.model.network.encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.1)
    torch.autograd.backward(task._loss(task.model(batch()["image"]), batch()["mask"]))
    optimizer.step()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])
    frozen = RoadSegmentationTask(**TOY, freeze_decoder=True).model.network
    assert not any(p.requires_grad for p in frozen.decoder.parameters())
    assert all(p.requires_grad for p in frozen.encoder.parameters())


def test_weights_of_an_encoder_are_taken_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = RoadSegmentationTask(**TOY).model.network.encoder
    state = {name: value.contiguous() for name, value in other.state_dict().items()}
    save_file(state, tmp_path / "encoder.safetensors")
    torch.save({"state_dict": state}, tmp_path / "encoder.pt")
    for name in ("encoder.safetensors", "encoder.pt"):
        task = RoadSegmentationTask(**TOY, weights=str(tmp_path / name))
        for key, value in task.model.network.encoder.state_dict().items():
            assert torch.equal(value, state[key])


def test_what_would_run_as_code_is_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="is no file of weights"):
        RoadSegmentationTask(**TOY, weights=str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "yolo"}, "No architecture is called 'yolo'"),
        ({"loss": "lovasz"}, "No loss is called 'lovasz'"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"warmup": 1.0}, "warmup=1.0"),
        ({"mean": [0.5]}, "1 numbers in 'mean' for 3 bands"),
        ({"weights": "none"}, "none holds no weights of this encoder"),
    ],
)
def test_what_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RoadSegmentationTask(**{**TOY, **options})


def test_a_threshold_counts_in_all_metrics() -> None:
    task = RoadSegmentationTask(**TOY)
    seen = torch.full((1, 8, 8), 0.3)
    road = torch.ones(1, 8, 8, dtype=torch.int64)
    for threshold, expected in ((0.5, 0.0), (0.25, 1.0)):
        task.use_threshold(threshold)
        assert task.model.config.threshold == threshold
        for split, metrics in (("val", task.val_metrics), ("test", task.test_metrics)):
            metrics.reset()
            metrics.update(seen, road)
            scores = metrics.compute()
            assert float(scores[f"{split}/iou"]) == expected
            assert ("val/threshold" in scores) == (split == "val")
