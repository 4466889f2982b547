"""What ``rsaug restyle``, ``inpaint`` and ``upscale`` share: options, running, the summary."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.cli import messages
from rsaug.cli.layer_options import CONTROLS, device_option, option, read_date
from rsaug.cli.stopping import exit_code
from rsaug.errors import InputError, OutputError

if TYPE_CHECKING:
    from rsaug.edit_plan import EditPlan
    from rsaug.edits import Edit, EditOptions
    from rsaug.pipelines.editing import CRSDiffEditor
    from rsaug.progress import Progress

IMAGES, LAYERS, MODEL, RESULTS = "Images", "Layers", "Model", "Results"

Images = Annotated[
    list[Path], typer.Argument(help="Images of three bands of uint8.", metavar="IMAGE...")
]
Out = Annotated[
    Path, typer.Option(help="Folder of the results.", metavar="DIR", rich_help_panel=RESULTS)
]
Gsd = Annotated[
    float | None, option("--gsd", IMAGES, "Metres a pixel, where an image does not say.", "M")
]
Prompt = Annotated[str | None, option("--prompt", IMAGES, "What it should look like.", "TEXT")]
NegativePrompt = Annotated[
    str | None, option("--negative-prompt", IMAGES, "What it should not look like.", "TEXT")
]
Style = Annotated[str | None, option("--style", IMAGES, "Image to take the look of.", "IMAGE")]
StyleStrength = Annotated[
    float, typer.Option(help="How much of the style to take.", metavar="X", rich_help_panel=IMAGES)
]
Date = Annotated[
    str | None, option("--date", IMAGES, "Date to imitate.", "2024-06-01", "that of the image")
]
Seed = Annotated[
    int, typer.Option(help="Same seed, same images.", metavar="N", rich_help_panel=IMAGES)
]
Roads = Annotated[
    str | None, option("--roads", LAYERS, "Roads: lines with OpenStreetMap tags.", "LAYER")
]
Landcover = Annotated[
    str | None,
    option("--landcover", LAYERS, "Land cover: areas with OSM tags or a class.", "LAYER"),
]
Buildings = Annotated[
    str | None, option("--buildings", LAYERS, "Buildings: areas, whatever their tags.", "LAYER")
]
Dem = Annotated[Path | None, option("--dem", LAYERS, "Raster of the ground's heights.", "FILE")]
Dsm = Annotated[
    Path | None, option("--dsm", LAYERS, "Raster of heights with all that stands there.", "FILE")
]
HeightRange = Annotated[
    str | None,
    option(
        "--height-range",
        LAYERS,
        "Heights that are darkest and lightest.",
        "LOW,HIGH",
        "of the images together",
    ),
]
Controls = Annotated[
    str | None,
    option(
        "--controls",
        LAYERS,
        "Control maps for the model: mlsd,hed,sketch,road,depth,seg.",
        "NAMES",
        "those of the layers",
        known=CONTROLS,
    ),
]
Extractors = Annotated[
    list[str] | None,
    option(
        "--extractor",
        LAYERS,
        "What reads a map off the image, as in hed=offline; may be given for each.",
        "SLOT=NAME",
    ),
]
Labels = Annotated[
    Path | None,
    option("--labels", LAYERS, "Label files to carry over: a folder, or the one.", "DIR|FILE"),
]
Model = Annotated[
    str, typer.Option(help="A model's folder or hub id.", metavar="MODEL", rich_help_panel=MODEL)
]
Steps = Annotated[int | None, option("--steps", MODEL, "Denoising steps.", "N", "the model's own")]
Guidance = Annotated[
    float | None,
    option("--guidance", MODEL, "Guidance scale of text and style; 1 is none.", "X", "the model's"),
]
ControlGuidance = Annotated[
    float | None,
    option(
        "--control-guidance", MODEL, "Guidance scale of the maps; 1 is none.", "X", "the model's"
    ),
]
Grain = Annotated[
    float,
    typer.Option(
        help="How much of the model's grain what is made is given.",
        metavar="X",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[str | None, device_option(MODEL)]

_OF_MODEL = (
    "model",
    "steps",
    "guidance",
    "control_guidance",
    "grain",
    "device",
    "prompt",
    "negative_prompt",
    "style",
    "style_strength",
)


def run_edit(edit: Edit, given: dict[str, Any]) -> None:
    """Edit images with a display of progress, and say what came of it.

    Args:
        edit: What is done.
        given: The command's options by name, but for those of the edit.

    Raises:
        InputError: if an input or an option cannot be used.
        OutputError: if something cannot be written.
        typer.Exit: when stopped by Ctrl-C.
    """
    from rsaug.cli.display import Display
    from rsaug.edit_plan import plan_edits
    from rsaug.editing import run_edits
    from rsaug.pipelines.extractors.networks import networks

    given.pop("config")
    as_json = given.pop("as_json")
    of_model = {name: given.pop(name) for name in _OF_MODEL}
    options = _options(edit, given)
    began = time.monotonic()
    with Display() as display, warnings.catch_warnings():
        # What diffusers will rename one day is no news to who wants images.
        warnings.filterwarnings("ignore", module=r"diffusers\.")
        try:
            display.status("Reading the images")
            from rsaug.decoupling import offline_operators

            plan = plan_edits(options, (*networks(), *offline_operators()))
            display.status("Loading the model")
            editor = _load_editor(edit, options, of_model)
            if of_model["style"] is None and of_model["style_strength"] != 1:
                display.note("Without effect here, since no style is given: --style-strength.")
            progress = run_edits(plan, editor, display.progress, display.note)
        except OutputError as error:
            raise OutputError(f"{error} {display.where_it_stands}") from error
        except KeyboardInterrupt as stop:
            display.note(f"Stopped. {display.where_it_stands}")
            raise typer.Exit(exit_code(stop)) from stop
    _summary(plan, progress, time.monotonic() - began, as_json=as_json)


def _options(edit: Edit, given: dict[str, Any]) -> EditOptions:
    from rsaug.conditions.depth import read_height_range
    from rsaug.edits import EditOptions

    values = dict(given)
    values["images"] = tuple(values["images"])
    values["extractors"] = named_extractors(values.pop("extractor", None) or ())
    if values.get("date") is not None:
        values["date"] = read_date(values["date"])
    if values.get("height_range") is not None:
        values["height_range"] = read_height_range(values["height_range"])
    return EditOptions(edit=edit, **values)


def named_extractors(asked: Sequence[str]) -> dict[str, str]:
    """What is to read each map off an image, of texts as in ``hed=offline``.

    Raises:
        InputError: for a text of another form, or a map that is named twice.
    """
    names: dict[str, str] = {}
    for text in asked:
        slot, equals, name = text.partition("=")
        if not (slot and equals and name):
            raise InputError(f"--extractor {text!r} is not SLOT=NAME, as in hed=offline.")
        if slot in names:
            raise InputError(f"--extractor is given twice for {slot}; give it once.")
        names[slot] = name
    return names


def _load_editor(edit: Edit, options: EditOptions, of_model: dict[str, Any]) -> CRSDiffEditor:
    from rsaug.cli.libraries import hush_diffusers
    from rsaug.pipelines.canvas import WINDOW_PX
    from rsaug.pipelines.editing import CRSDiffEditor
    from rsaug.pipelines.generate import load_generator
    from rsaug.pipelines.settings import Settings

    # The display has a bar of its own.
    hush_diffusers()
    settings = Settings(
        prompt=of_model["prompt"] or "",
        negative_prompt=of_model["negative_prompt"] or "",
        style_strength=of_model["style_strength"],
        date=options.date,
        steps=of_model["steps"],
        guidance=of_model["guidance"],
        control_guidance=of_model["control_guidance"],
        grain=of_model["grain"],
    )
    style = of_model["style"]
    generator = load_generator(
        of_model["model"],
        settings,
        style=Path(style) if style else None,
        device=of_model["device"],
        tile_size=WINDOW_PX,
    )
    return CRSDiffEditor(generator, edit)


def _summary(plan: EditPlan, progress: Progress, seconds: float, *, as_json: bool) -> None:
    from rsaug.cli.tables import show_facts
    from rsaug.progress import in_words

    read = {slot: plan.extractors.get(slot) for slot in plan.controls}
    made_by = {slot: "layers" if by is None else by.made_by for slot, by in read.items()}
    if as_json:
        messages.write_json(
            {
                "folder": str(plan.options.out),
                "total": progress.total,
                "made": progress.made,
                "kept": progress.kept,
                "seconds": round(seconds, 3),
                "controls": made_by,
            }
        )
        return
    kept = f", {progress.kept} were there" if progress.kept else ""
    show_facts(
        [
            ("folder", str(plan.options.out)),
            ("images", f"{progress.total} ({progress.made} made now{kept})"),
            ("time", in_words(seconds)),
            *made_by.items(),
        ]
    )
