"""Begin a model of the current sizes with the weights of an older one.

What has kept its name and shape is taken over. New attention begins silent, its last layer zero, so
that the new model makes what the old one made without what was dropped; all else that is new begins
at random. To be trained on: rsaug train generator --from OUT
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

from rsaug.cli.group import Commands
from rsaug.pipelines.models import load_pipeline, model_folder
from rsaug.pipelines.presets import DEFAULT, make_networks
from rsaug.pipelines.train.models import save_half

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)


@app.command()
def main(
    old: Annotated[str, typer.Option("--from", help="Folder of the older model.")],
    out: Annotated[Path, typer.Option(help="Folder of the new one.")],
    seed: Annotated[int, typer.Option(help="Of what begins at random.")] = 0,
) -> None:
    """Write the new model, and say what is new in it and what was dropped."""
    pipe = load_pipeline(model_folder(old), torch.device("cpu"))
    torch.manual_seed(seed)
    ranges = pipe.metadata_embedding.config.ranges
    preset = DEFAULT.fitted(pipe.unet.config.in_channels, ranges)
    names = ("unet", "local_adapter", "metadata_embedding", "content_adapter")
    for name, network in zip(names, make_networks(preset), strict=True):
        carry_over(getattr(pipe, name), network.eval(), name)
        pipe.register_modules(**{name: network})
    save_half(pipe, out)


def carry_over(old: nn.Module, new: nn.Module, name: str) -> None:
    """Give ``new`` the weights of ``old`` that fit."""
    before, after = old.float().state_dict(), new.state_dict()
    kept = {k: v for k, v in before.items() if k in after and v.shape == after[k].shape}
    new.load_state_dict(kept, strict=False)
    added, dropped = sorted(after.keys() - kept.keys()), sorted(before.keys() - kept.keys())
    for key in added:
        if ".attentions." in key and ".proj_out." in key:
            nn.init.zeros_(new.get_parameter(key))
    typer.echo(f"{name}: {len(kept)} tensors kept, {len(added)} new, {len(dropped)} dropped")


if __name__ == "__main__":
    app()
