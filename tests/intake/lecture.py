"""A lecture's script: data, parameters, a forward pass cut into steps, its gradients, the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

NAMES = "emma\nolivia\nava\nisabella\nsophia\nmia\nzoe\n"

DATA = """\
import torch
import torch.nn.functional as F
import matplotlib.pyplot as plt

words = open('names.txt', 'r').read().splitlines()
chars = sorted(list(set(''.join(words))))
stoi = {s: i+1 for i, s in enumerate(chars)}
stoi['.'] = 0
vocab_size = len(stoi)
print('letters:', vocab_size)
block_size = 3

def build_dataset(words):
  X, Y = [], []
  for w in words:
    context = [0] * block_size
    for ch in w + '.':
      X.append(context)
      Y.append(stoi[ch])
      context = context[1:] + [stoi[ch]]
  return torch.tensor(X), torch.tensor(Y)

import random
random.seed(42)
random.shuffle(words)
Xtr, Ytr = build_dataset(words)

def cmp(s, dt, t):
  ex = torch.all(dt == t.grad).item()
  print(f'{s:15s} | exact: {ex}')
"""

PARAMETERS = """\
g = torch.Generator().manual_seed(2147483647)
C  = torch.randn((vocab_size, 2), generator=g)
W1 = torch.randn((2 * block_size, 5), generator=g) * 0.6
b1 = torch.randn(5, generator=g) * 0.1
parameters = [C, W1, b1]
print(sum(p.nelement() for p in parameters))
for p in parameters:
  p.requires_grad = True
batch_size = 7
n = batch_size
ix = torch.randint(0, Xtr.shape[0], (batch_size,), generator=g)
Xb, Yb = Xtr[ix], Ytr[ix]
"""

EMBEDDING = """\
emb = C[Xb] # embed the characters
embcat = emb.view(emb.shape[0], -1)
"""

NETWORK = """\
hpreact = embcat @ W1 + b1
h = torch.tanh(hpreact)
loss = (h * h).sum() / n
"""

AUTOGRAD = """\
for p in parameters:
  p.grad = None
for t in [h, hpreact, embcat, emb]:
  t.retain_grad()
loss.backward()
loss
"""

GRADIENTS = """\
dloss = 1.0
dh = 2 * h / n
# dh = h / n
dhpreact = (1 - h**2) * dh
dembcat = dhpreact @ W1.T
dW1 = embcat.T @ dhpreact
db1 = dhpreact.sum(0)
demb = dembcat.view(emb.shape)
dC = torch.zeros_like(C)
for k in range(Xb.shape[0]):
  for j in range(Xb.shape[1]):
    ix = Xb[k, j]
    dC[ix] += demb[k, j]
"""

REST = """\
cmp('h', dh, h)
plt.figure(figsize=(4, 4))
plt.imshow(dh.detach())
lossi = []
for i in range(10 ** 9):
  ix = torch.randint(0, Xtr.shape[0], (batch_size,), generator=g)
  emb = C[Xtr[ix]]
  h = torch.tanh(emb.view(batch_size, -1) @ W1 + b1)
  loss = (h * h).sum() / n
  for p in parameters:
    p.grad = None
  loss.backward()
  for p in parameters:
    p.data += -0.1 * p.grad
  lossi.append(loss.log10().item())
plt.plot(lossi)
"""

PARTS = (DATA, PARAMETERS, EMBEDDING, NETWORK, AUTOGRAD, GRADIENTS, REST)
SCRIPT = "".join(PARTS)
GRADIENT_LINES = [
    "dloss = 1.0",
    "dh = 2 * h / n",
    "dhpreact = (1 - h**2) * dh",
    "dembcat = dhpreact @ W1.T",
    "dW1 = embcat.T @ dhpreact",
    "db1 = dhpreact.sum(0)",
    "demb = dembcat.view(emb.shape)",
    "dC = torch.zeros_like(C)",
    "for k in range(Xb.shape[0]):",
]


def write_script(folder: Path, text: str, name: str = "lecture.py") -> str:
    (folder / "names.txt").write_text(NAMES, encoding="utf-8")
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def write_notebook(
    folder: Path,
    cells: Sequence[str],
    counts: Sequence[int | None] | None = None,
    name: str = "lecture.ipynb",
) -> str:
    (folder / "names.txt").write_text(NAMES, encoding="utf-8")
    made: list[dict[str, object]] = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Backprop\n", "dh = wrong"]}
    ]
    for i, cell in enumerate(cells):
        made.append(
            {
                "cell_type": "code",
                "metadata": {},
                "outputs": [],
                "execution_count": counts[i] if counts is not None else None,
                "source": cell.splitlines(keepends=True),
            }
        )
    document = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)
