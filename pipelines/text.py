"""A small text encoder over the words of our captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

_WORD = re.compile(r"[a-z]+")


def split_words(text: str) -> list[str]:
    """Lower-case words of ``text``; digits and punctuation fall away.

    >>> split_words("A wide, tree-lined street")
    ['a', 'wide', 'tree', 'lined', 'street']
    """
    return _WORD.findall(text.lower())


def learn_vocabulary(captions: Iterable[str], min_count: int = 2) -> list[str]:
    """Words that occur at least ``min_count`` times, the most frequent first."""
    counts = Counter(word for caption in captions for word in split_words(caption))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, count in ranked if count >= min_count]


class CaptionEncoder(ModelMixin, ConfigMixin):
    """Words of a closed vocabulary to context tokens.

    Args:
        vocabulary: the words it knows; token 0 is padding, token k + 1 is ``vocabulary[k]``.
        dim: width of a token.
        max_length: tokens a prompt; further words are cut.
        layers: transformer layers.
        heads: attention heads.
    """

    @register_to_config
    def __init__(
        self,
        vocabulary: Sequence[str] = (),
        dim: int = 192,
        max_length: int = 32,
        layers: int = 1,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self._ids = {word: k + 1 for k, word in enumerate(vocabulary)}
        self.words = nn.Embedding(len(self._ids) + 1, dim)
        self.positions = nn.Parameter(torch.randn(max_length, dim) * 0.02)
        layer = nn.TransformerEncoderLayer(
            dim, heads, 4 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Token ids (n, max_length), int64; unknown words are left out."""
        length = self.config.max_length
        ids = torch.zeros(len(prompts), length, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            known = [self._ids[w] for w in split_words(prompt) if w in self._ids][:length]
            ids[row, : len(known)] = torch.tensor(known, dtype=torch.long)
        return ids

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of ``prompt`` that the encoder does not know, in order, each once."""
        return list(dict.fromkeys(w for w in split_words(prompt) if w not in self._ids))

    @torch.no_grad()
    def add_words(self, words: Iterable[str]) -> list[str]:
        """Learn to read further words, which mean nothing yet; those that were new, in order.

        Args:
            words: in lower case; their tokens follow those of the vocabulary.
        """
        new = [word for word in dict.fromkeys(words) if word not in self._ids]
        old = self.words
        self.words = nn.Embedding(len(self._ids) + 1 + len(new), self.config.dim).to(old.weight)
        self.words.weight[: len(old.weight)] = old.weight
        self._ids |= {word: len(self._ids) + 1 + k for k, word in enumerate(new)}
        self.register_to_config(vocabulary=list(self._ids))
        return new

    def forward(self, ids: Tensor) -> Tensor:
        """Tokens (n, max_length, dim) of token ``ids`` (n, max_length)."""
        tokens: Tensor = self.norm(self.encoder(self.words(ids) + self.positions))
        return tokens
