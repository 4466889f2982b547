"""How controls are to be used, read from text."""

import pytest

from rsaug.control_uses import Use, check_guidance, check_uses, read_uses
from rsaug.errors import InputError


def test_what_is_written_is_read() -> None:
    uses = read_uses("road=0.8, seg=1.5", "hed=0-0.5,seg=0.25-1", ["road=town.gpkg|layername=x=y"])
    assert uses == {
        "hed": Use(interval=(0.0, 0.5)),
        "road": Use(0.8, region="town.gpkg|layername=x=y"),
        "seg": Use(1.5, (0.25, 1.0)),
    }
    assert read_uses(None, None, []) == {}


@pytest.mark.parametrize(
    ("strength", "interval", "regions", "message"),
    [
        ("road", None, [], "NAME=VALUE"),
        ("road=", None, [], "NAME=VALUE"),
        ("river=1", None, [], "No control is called 'river'"),
        ("road=1,road=2", None, [], "twice for road"),
        ("road=-1", None, [], "strength is a number"),
        ("road=nan", None, [], "strength is a number"),
        ("road=11", None, [], "from 0 to 10"),
        ("road=much", None, [], "'much'"),
        (None, "road=0.5", [], "interval is a part"),
        (None, "road=0.6-0.2", [], "interval is a part"),
        (None, "road=0-1.5", [], "interval is a part"),
        (None, None, ["seg"], "--control-region 'seg'"),
    ],
)
def test_text_that_is_no_use(
    strength: str | None, interval: str | None, regions: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_uses(strength, interval, regions)


def test_a_use_needs_its_control() -> None:
    with pytest.raises(InputError, match="'hed' is to be used in some way"):
        check_uses({"hed": Use(0.5)}, ("road", "seg"))


@pytest.mark.parametrize("use", [Use(0.0), Use(interval=(0.3, 0.3))])
def test_something_has_to_draw_roads(use: Use) -> None:
    with pytest.raises(InputError, match="nothing draws roads"):
        check_uses({"road": use}, ("road", "hed"))
    assert check_uses({"road": use}, ("road", "seg"))


@pytest.mark.parametrize("use", [Use(0.9), Use(interval=(0.1, 1.0)), Use(region="a.tif")])
def test_a_road_control_that_is_not_used_in_full_makes_no_sure_label(use: Use) -> None:
    (note,) = check_uses({"road": use}, ("road", "seg"))
    assert "need not have every road" in note
    assert check_uses({"road": Use(1.5), "seg": use}, ("road", "seg")) == []
    # Where no road map is given, the land cover draws the roads.
    (note,) = check_uses({"seg": use}, ("hed", "seg"))
    assert note.startswith("The seg control")


def test_controls_that_guidance_does_not_follow_make_no_label() -> None:
    for scale, interval in ((1.0, (0.0, 1.0)), (3.0, (0.0, 1.0)), (0.0, (0.4, 0.4))):
        assert check_guidance(scale, interval) == []
    for scale, interval in ((0.5, (0.0, 1.0)), (0.0, (0.0, 0.5))):
        (note,) = check_guidance(scale, interval)
        assert "need not have every road" in note
    with pytest.raises(InputError, match="guidance scale of 0 the controls are not followed"):
        check_guidance(0.0, (0.0, 1.0))
