"""What was asked and what made it: options, inputs, command, model, marks, licences, versions."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from rsaug.htmlpage import Child, Html, facts, table, tag
from rsaug.options import ConditionsOptions, SynthOptions
from rsaug.reporting.facts import Facts
from rsaug.reporting.header import counted
from rsaug.reporting.run import EDITS, Run, mapping
from rsaug.reporting.views import section


def asked(found: Facts) -> Html:
    """The options and the inputs."""
    run = found.run
    given = _given(run)
    parts: list[Child] = []
    if given:
        parts.append(facts((name.replace("_", " "), _shown(v)) for name, v in given.items()))
    if rows := found.inputs:
        cells = [
            (
                row["option"],
                row["name"],
                "" if row["used"] is None else f"{row['used']:,}",
                "" if row["left_out"] is None else f"{row['left_out']:,}",
                tag("code", row["sha256"] or "no digest: not a file"),
            )
            for row in rows
        ]
        heads = ("input", "name", "features used", "left out", "SHA-256")
        parts += [tag("h3", "Inputs"), table(heads, cells, numbers=[2, 3])]
    parts += _again(run)
    everything = json.dumps(dict(run.options), indent=2, ensure_ascii=False)
    parts.append(
        tag("details", tag("summary", "Every option, as it was resolved"), tag("pre", everything))
    )
    return section("asked", "What was asked", "Options that are not as by default.", *parts)


def made_by(found: Facts) -> Html:
    """The model, the marks, the licences, the versions."""
    parts: list[Child] = []
    if found.run.generator:
        parts += [tag("h3", "Model"), facts(_model(found.run))]
    if found.marks:
        of = counted(found.marked_of, "image")
        cells = [(name, f"{n:,} of {of}") for name, n in found.marks.items()]
        parts += [
            tag("h3", "Marks"),
            tag(
                "p",
                f"Looked for in {of}; rsaug verify checks every file and whether signatures hold.",
                class_="small soft",
            ),
            table(("mark", "found in"), cells),
        ]
    parts += [tag("h3", "Licences"), *(tag("p", line) for line in _licences(found))]
    if found.versions:
        parts += [tag("h3", "Versions"), facts(found.versions.items())]
    return section("origin", "Model and provenance", "", *parts)


def _given(run: Run) -> dict[str, Any]:
    """Options that are not as by default; of an edit all that say something."""
    if run.kind in EDITS:
        said = {**run.options, **mapping(run.record, "edit")}
        return {str(name): value for name, value in said.items() if value not in (None, {}, [], "")}
    kind = SynthOptions if run.kind == "synth" else ConditionsOptions
    defaults = {name: field.default for name, field in kind.__dataclass_fields__.items()}
    return {
        str(name): value
        for name, value in run.options.items()
        if name != "out" and value not in (defaults.get(str(name)), None, [])
    }


def _again(run: Run) -> list[Child]:
    """The commands that make it again."""
    if run.kind in EDITS:
        listed = run.record.get("images")
        count = len(listed) if isinstance(listed, list) else run.asked
        text = f"rsaug {run.kind} IMAGE... {_spelled(_given(run))} --out again"
        says = (
            f"IMAGE stands for the {counted(count, 'image')} that were edited; run.json has their "
            "digests. Options of the model are in it as well."
        )
        return [
            tag("h3", "To make it again"),
            tag("pre", text),
            tag("p", says, class_="soft small"),
        ]
    spelled = f"rsaug {run.kind} {_spelled(_given(run))} --out again"
    return [
        tag("h3", "To make it again"),
        tag("pre", f"rsaug {run.kind} --config {shlex.quote(run.name)}/run.json --out again"),
        tag("p", "or, in the folder of the run, spelled out:", class_="soft small"),
        tag("pre", spelled),
    ]


def _spelled(given: Mapping[str, Any]) -> str:
    """Options as a command line has them."""
    words = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is False:
            continue
        elif isinstance(value, list) and name == "control_region":
            words += [f"{option} {shlex.quote(str(entry))}" for entry in value]
        elif isinstance(value, Mapping):
            singular = option.removesuffix("s")
            words += [f"{singular} {shlex.quote(f'{key}={v}')}" for key, v in value.items()]
        else:
            plain = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(f"{option} {shlex.quote(plain)}")
    return " ".join(words)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _model(run: Run) -> list[tuple[str, Child]]:
    said = run.generator
    network = mapping(said, "network")
    rows: list[tuple[str, Child]] = [
        ("model", str(said.get("model", "unknown"))),
        ("weights, SHA-256", tag("code", str(said.get("weights_sha256", "")))),
    ]
    if "architecture" in network:
        rows.append(("architecture", str(network["architecture"])))
    parameters = network.get("parameters")
    if isinstance(parameters, int):
        rows.append(("parameters", f"{parameters:,}"))
    names = ("steps", "scheduler", "guidance", "control_guidance", "grain", "reuse", "device")
    rows += [
        (name.replace("_", " "), str(said[name])) for name in (*names, "dtype") if name in said
    ]
    if controls := run.record.get("controls"):
        shown = [str(name) for name in controls] if isinstance(controls, list | dict) else []
        rows.append(("controls", ", ".join(shown)))
    return rows


def _licences(found: Facts) -> list[str]:
    said = [f"The map data ask for a credit: {name}." for name in found.attribution]
    if not said:
        said = [
            "Of the inputs no licence is recorded. Files do not say theirs; look where they are "
            "from, and give the credit that is asked for there with the images."
        ]
    if found.run.options.get("model") == "default" and found.run.kind == "synth":
        said.append(
            "The default model is part of rsaug and under its licence, Apache-2.0; it was trained "
            "on imagery of the USDA National Agriculture Imagery Program, see NOTICE."
        )
    return said
