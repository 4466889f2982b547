"""What the metadata embedding has to do."""

import math

import pytest
import torch

from rsaug.pipelines.metadata import FIELDS, MetadataEmbedding, interleaved_sinusoid


def test_sinusoid_equals_the_definition() -> None:
    """Even places sine, odd places cosine, frequency 10000^(-2i/dim)."""
    value, dim = 123.4, 320
    expected = []
    for i in range(dim // 2):
        angle = value * 10000 ** (-2 * i / dim)
        expected += [math.sin(angle), math.cos(angle)]
    got = interleaved_sinusoid(torch.tensor([value]), dim)[0]
    torch.testing.assert_close(got, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_sum_of_seven_linear_layers() -> None:
    torch.manual_seed(0)
    embedding = MetadataEmbedding(32, 24)
    values = torch.tensor([[2020.0, 6, 1, 0.5, 10, 60.2, 24.9]])
    expected = torch.zeros(24)
    for k, (low, high) in enumerate(embedding.config.ranges):
        scaled = (values[0, k] - low) / (high - low) * 1000
        expected += embedding.projections[k](interleaved_sinusoid(scaled[None], 32))[0]
    torch.testing.assert_close(embedding(values)[0], expected, rtol=1e-4, atol=1e-4)


def test_absent_is_the_minimum_without_a_null() -> None:
    """What the published model does: no metadata is 1980-00-00, GSD 0, 90 S, 180 W."""
    embedding = MetadataEmbedding(32, 24)
    lowest = torch.tensor([[low for low, _ in embedding.config.ranges]])
    torch.testing.assert_close(embedding(torch.full((1, 7), math.nan)), embedding(lowest))


def test_learned_null_is_its_own() -> None:
    embedding = MetadataEmbedding(32, 24, learned_null=True)
    torch.nn.init.normal_(embedding.null)
    absent = torch.full((1, 7), math.nan)
    torch.testing.assert_close(embedding(absent)[0], embedding.null.sum(0))


def test_pack_orders_and_marks_absent() -> None:
    row = MetadataEmbedding(32, 24).pack({"gsd": 0.6, "year": 2018})
    assert row[FIELDS.index("year")] == 2018
    assert row[FIELDS.index("gsd")] == pytest.approx(0.6)
    assert row.isnan().sum() == 5


def test_out_of_range_is_clamped_without_a_null() -> None:
    with pytest.warns(UserWarning, match="nearest end"):
        row = MetadataEmbedding(32, 24).pack({"year": 2026})
    assert row[0] == 2024


def test_out_of_range_is_left_out_with_a_null() -> None:
    ranges = ((2016.0, 2020.0), None, None, (0.5, 1.0), None, None, None)
    embedding = MetadataEmbedding(32, 24, ranges, learned_null=True)
    with pytest.warns(UserWarning, match="left out"):
        row = embedding.pack({"year": 2026})
    assert row.isnan().all()
    with pytest.warns(UserWarning, match="knows nothing"):
        embedding.pack({"month": 6})
    assert embedding.knows("year", 2018)
    assert not embedding.knows("month", 6)


@pytest.mark.parametrize("fields", [{"altitude": 3.0}, {"year": math.inf}])
def test_bad_fields(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="metadata"):
        MetadataEmbedding(32, 24).pack(fields)


def test_what_never_varied_has_no_effect_and_no_warning() -> None:
    embedding = MetadataEmbedding(24, 8, (None, None, None, (0.6, 0.6), *[None] * 3), True)
    torch.nn.init.normal_(embedding.get_parameter("null"))
    row = embedding.pack({"gsd": 0.6})[None]
    assert torch.equal(embedding(row), embedding(torch.full((1, 7), torch.nan)))
    assert embedding(row).isfinite().all()
    with pytest.warns(UserWarning, match="not 2"):
        embedding.pack({"gsd": 2.0})
