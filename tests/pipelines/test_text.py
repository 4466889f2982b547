"""What the caption encoder has to do."""

from pathlib import Path

import torch

from rsaug.pipelines.text import CaptionEncoder, learn_vocabulary


def test_vocabulary_by_frequency() -> None:
    captions = ["a road, a house", "A road!", "lonely word"]
    assert learn_vocabulary(captions) == ["a", "road"]


def test_unknown_words_are_reported_and_left_out() -> None:
    encoder = CaptionEncoder(["road", "trees"], dim=8, max_length=4, heads=2)
    assert encoder.unknown_words("Trees, palm trees & a ROAD; palm") == ["palm", "a"]
    ids = encoder.tokenize(["palm trees road", ""])
    assert ids.tolist() == [[2, 1, 0, 0], [0, 0, 0, 0]]


def test_long_prompts_are_cut() -> None:
    encoder = CaptionEncoder(["road"], dim=8, max_length=4, heads=2)
    assert encoder.tokenize(["road " * 9]).tolist() == [[1, 1, 1, 1]]


def test_order_of_words_counts() -> None:
    torch.manual_seed(0)
    encoder = CaptionEncoder(["road", "trees"], dim=8, max_length=4, heads=2).eval()
    a, b = encoder(encoder.tokenize(["road trees", "trees road"]))
    assert not torch.allclose(a, b)


def test_round_trip(tmp_path: Path) -> None:
    encoder = CaptionEncoder(["road", "trees"], dim=8, max_length=4, heads=2).eval()
    encoder.save_pretrained(tmp_path)
    again = CaptionEncoder.from_pretrained(tmp_path).eval()
    ids = encoder.tokenize(["road trees"])
    torch.testing.assert_close(again(again.tokenize(["road trees"])), encoder(ids))


def test_new_words_leave_the_old_as_they_were(tmp_path: Path) -> None:
    encoder = CaptionEncoder(["road", "trees"], dim=8, max_length=4, heads=2).eval()
    before = encoder(encoder.tokenize(["trees road"]))
    assert encoder.add_words(["palm", "road", "palm", "sea"]) == ["palm", "sea"]
    torch.testing.assert_close(encoder(encoder.tokenize(["trees road"])), before)
    assert encoder.tokenize(["palm sea trees"]).tolist() == [[3, 4, 2, 0]]
    assert encoder.unknown_words("palm dunes") == ["dunes"]
    encoder.save_pretrained(tmp_path)
    again = CaptionEncoder.from_pretrained(tmp_path).eval()
    assert list(again.config.vocabulary) == ["road", "trees", "palm", "sea"]
    torch.testing.assert_close(again(again.tokenize(["palm"])), encoder(encoder.tokenize(["palm"])))
