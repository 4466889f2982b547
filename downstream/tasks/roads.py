"""Road segmentation as a task for Lightning, in the manner of torchgeo's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MetricCollection

from rsaug.downstream.auxiliary import auxiliary_loss
from rsaug.downstream.detector import DetectorConfig, RoadDetector, normalisation
from rsaug.downstream.losses import DEFAULT_LOSS, RoadLoss
from rsaug.downstream.metrics.modules import ClDice, RelaxedOverlap, RoadMetric, RoadOverlap
from rsaug.downstream.tasks.base import BaseTask
from rsaug.downstream.tasks.thresholds import BestThreshold
from rsaug.errors import InputError
from rsaug.pipelines.train.loop import warmup_cosine

Batch = dict[str, Any]


class RoadSegmentationTask(BaseTask):
    """Trains a road detector and measures it by the road class alone.

    Batches hold ``image`` (n, bands, rows, cols) in [0, 1] and ``mask`` (n, rows, cols): 1 on road,
    0 elsewhere and ``ignore_index`` where nothing is known. Every argument can be set in a YAML
    file; see ``docs/detectors.md``.

    Logged an epoch, of all its tiles together: ``train/loss`` and ``train/iou``; of validation and
    test ``val/loss``, ``val/iou``, ``val/precision``, ``val/recall``, ``val/f1``,
    ``val/relaxed_f1`` and ``val/cldice`` with their parts, and likewise ``test/iou`` and so on; of
    validation alone ``val/top_iou``, at the best threshold, ``val/threshold``.

    Args:
        model: Architecture: ``unet``, ``unetplusplus``, ``linknet``, ``dlinknet``,
            ``deeplabv3plus``, ``segformer``, ``upernet``, ``fpn`` or another one of
            segmentation_models_pytorch.
        backbone: Encoder, by its name there, of timm with ``tu-`` before it.
        weights: What it begins with: None or False for random weights, True for those from
            ImageNet, the name of weights of torchgeo (both are downloaded), or a file of weights
            of the encoder, ``.safetensors`` or what torch saves.
        in_channels: Bands of the images.
        loss: Names of losses with weights, see `rsaug.downstream.losses.RoadLoss`.
        ignore_index: Value of masks where nothing is known; None where there is none.
        auxiliary: Weight of the loss of centreline and direction; 0 for neither.
        lr: Highest rate of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
        warmup: Share of the steps over which the rate rises, before half a cosine.
        freeze_backbone: Whether the encoder stays as it begins, with its batch statistics.
        freeze_decoder: Whether the decoder does.
        test_turns: Whether validation, test and prediction take the mean of all eight turned and
            mirrored images.
        threshold: From which probability on a pixel counts as road.
        slack_px: Pixels that a road may lie beside its label in the relaxed scores.
        mean: Subtracted from each band; by default ImageNet's of three bands, else 0.5.
        std: Divided by, after that; by default ImageNet's of three bands, else 0.25.
        options: What else the architecture takes, by name.

    Raises:
        InputError: if a name or a number is of no use.
        MissingExtra: if a library of the extra ``eval`` is not installed.
    """

    monitor = "val/top_iou"
    mode = "max"
    model: RoadDetector

    def __init__(
        self,
        model: str = "unet",
        backbone: str = "resnet34",
        weights: str | bool | None = None,
        in_channels: int = 3,
        loss: str | dict[str, float] = DEFAULT_LOSS,
        ignore_index: int | None = 255,
        auxiliary: float = 0.0,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup: float = 0.05,
        freeze_backbone: bool = False,
        freeze_decoder: bool = False,
        test_turns: bool = False,
        threshold: float = 0.5,
        slack_px: float = 3.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.weights = weights
        if not (lr > 0 and weight_decay >= 0 and 0 <= warmup < 1 and auxiliary >= 0):
            raise InputError(
                "A rate must be above 0, a weight at least 0 and the warm-up a share below 1; got "
                f"lr={lr}, weight_decay={weight_decay}, auxiliary={auxiliary}, warmup={warmup}."
            )
        super().__init__()

    def configure_models(self) -> None:
        """Make the detector, with the weights that it begins with."""
        own = self.hparams
        mean, std = normalisation(own["in_channels"])
        config = DetectorConfig(
            architecture=own["model"],
            encoder=own["backbone"],
            in_channels=own["in_channels"],
            auxiliary=own["auxiliary"] > 0,
            options=own["options"] or {},
            mean=tuple(own["mean"] or mean),
            std=tuple(own["std"] or std),
            threshold=own["threshold"],
        )
        self.model = RoadDetector(config, imagenet=self.weights is True)
        network = self.model.network
        if self.weights and self.weights is not True:
            _load_encoder(network.encoder, str(self.weights))
        if own["freeze_backbone"]:
            network.encoder.requires_grad_(False)
        if own["freeze_decoder"]:
            network.decoder.requires_grad_(False)

    def configure_losses(self) -> None:
        """Make the loss of the mask."""
        self.criterion = RoadLoss(self.hparams["loss"], self.hparams["ignore_index"])

    def configure_metrics(self) -> None:
        """Make the metrics; those with skeletons are for validation and test alone."""
        own = self.hparams
        same = {"threshold": own["threshold"], "ignore_index": own["ignore_index"]}
        self.train_metrics = MetricCollection([RoadOverlap(**same)], prefix="train/")
        measured = [RoadOverlap(**same), RelaxedOverlap(own["slack_px"], **same), ClDice(**same)]
        self.test_metrics = MetricCollection(measured, prefix="test/")
        # No threshold is chosen on the test split.
        chosen = [metric.clone() for metric in measured] + [BestThreshold(own["ignore_index"])]
        self.val_metrics = MetricCollection(chosen, prefix="val/")

    def configure_optimizers(self) -> Any:
        """AdamW over what is trained, its rate set at every step."""
        trained = [p for p in self.parameters() if p.requires_grad]
        own = self.hparams
        optimizer = AdamW(trained, lr=own["lr"], weight_decay=own["weight_decay"])
        estimated = self.trainer.estimated_stepping_batches
        if estimated == float("inf"):
            raise InputError("The rate falls until the end; set max_epochs or max_steps.")
        steps = max(int(estimated), 1)
        warm = round(own["warmup"] * steps)
        schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, warm))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def train(self, mode: bool = True) -> Self:
        """Be trained, but for a frozen encoder: its batch statistics stay as they are, too."""
        super().train(mode)
        if self.hparams["freeze_backbone"]:
            self.model.network.encoder.eval()
        return self

    def use_threshold(self, threshold: float) -> None:
        """Count as road from another probability on, in the detector and all metrics."""
        self.model.config = replace(self.model.config, threshold=threshold)
        for metrics in (self.train_metrics, self.val_metrics, self.test_metrics):
            for metric in metrics.values():
                if isinstance(metric, RoadMetric):
                    metric.threshold = threshold

    def training_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The loss of a batch, a scalar."""
        maps = self.model(batch["image"])
        loss = self._loss(maps, batch["mask"])
        self.train_metrics.update(torch.sigmoid(maps[:, 0].detach().float()), batch["mask"])
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(maps))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch of validation."""
        self._measure("val", self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a batch of the test split."""
        self._measure("test", self.test_metrics, batch)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Probability of road, float32 (n, rows, cols)."""
        return self.model.probabilities(batch["image"], turns=self.hparams["test_turns"])

    def on_train_epoch_end(self) -> None:
        """Log the scores of the epoch."""
        self._log(self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the epoch."""
        self._log(self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Log the scores of the split."""
        self._log(self.test_metrics)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of road, (n, 1, rows, cols), of images (n, bands, rows, cols) in [0, 1]."""
        maps: Tensor = self.model(images)
        return maps[:, :1]

    def _loss(self, maps: Tensor, masks: Tensor) -> Tensor:
        loss: Tensor = self.criterion(maps[:, 0].float(), masks)
        weight, unknown = self.hparams["auxiliary"], self.hparams["ignore_index"]
        if weight:
            loss = loss + weight * auxiliary_loss(maps[:, 1:].float(), masks, unknown)
        return loss

    def _measure(self, split: str, metrics: MetricCollection, batch: Batch) -> None:
        # In float32, in which detectors are saved and used, whatever they are trained in.
        with torch.autocast(self.device.type, enabled=False):
            maps = self.model(batch["image"])
            loss = self._loss(maps, batch["mask"])
            seen = torch.sigmoid(maps[:, 0].float())
            if self.hparams["test_turns"]:
                seen = self.model.probabilities(batch["image"], turns=True)
        metrics.update(seen, batch["mask"])
        self.log(f"{split}/loss", loss, batch_size=len(maps))

    def _log(self, metrics: MetricCollection) -> None:
        scores = {name: value.float() for name, value in metrics.compute().items()}
        self.log_dict(scores)
        metrics.reset()


def _load_encoder(encoder: Any, weights: str) -> None:
    """Have an encoder begin with weights of a file or of torchgeo.

    Raises:
        InputError: if there are none, or they are of another encoder.
    """
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(weights)
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        elif path.is_file():
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            from torchgeo.models import get_weight

            state = get_weight(weights).get_state_dict(progress=False, weights_only=True)
        encoder.load_state_dict(state.get("state_dict", state))
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise InputError(f"{weights} holds no weights of this encoder ({error}).") from error
    except (SafetensorError, pickle.UnpicklingError) as error:
        raise InputError(f"{weights} is no file of weights ({error}).") from error
