"""Small cases with numbers, one per operator: the third hint on a blank."""

from __future__ import annotations

_PRODUCT = "y = a * b with a = [1, 2, 3], b = [4, 5, 6]; dy = [1, 0, 2]: da = dy * b = [4, 0, 12]."
_SUM = (
    "x is 2 by 3, y = x.sum(1) has 2 entries; dy = [1, 2]: dx = [[1, 1, 1], [2, 2, 2]], every "
    "entry of a row gets what the row's sum got."
)
_VIEW = (
    "x = [[1, 2, 3], [4, 5, 6]], y = x.view(6); dy = [10, 20, 30, 40, 50, 60]: "
    "dx = [[10, 20, 30], [40, 50, 60]], the same numbers in the shape of x."
)
_TURN = (
    "x is 2 by 3, y = x.T is 3 by 2; dy = [[1, 2], [3, 4], [5, 6]]: dx = [[1, 3, 5], [2, 4, 6]], "
    "each number back where its entry came from."
)
_PICK = (
    "y = x[[1, 0, 1]] from x of 2 rows; dy has the rows 1, 2 and 4: row 1 of x was read twice and "
    "gets 1 + 4 = 5, row 0 gets 2."
)
EXAMPLES = {
    "mul": _PRODUCT,
    "div": "y = a / b with a = [6, 8], b = [2, 4]; dy = [1, 2]: da = dy / b = [0.5, 0.5], and "
    "db = -dy * a / b**2 = [-1.5, -1].",
    "add": "y = x + b with x 2 by 3 and b of 3; dy = [[1, 2, 3], [4, 5, 6]]: dx = dy, and b was "
    "read by both rows, so db = [5, 7, 9].",
    "sub": "y = x - b with x 2 by 3 and b of 3; dy = [[1, 2, 3], [4, 5, 6]]: dx = dy, and b was "
    "taken from both rows, so db = [-5, -7, -9].",
    "sum": _SUM,
    "mean": "x is 2 by 3, y = x.mean(1) has 2 entries; dy = [3, 6]: "
    "dx = [[1, 1, 1], [2, 2, 2]], a third of what the row's mean got.",
    "matmul": "x = [[1, 2, 3]] is 1 by 3, W is 3 by 2, y = x @ W; dy = [[1, 2]]: "
    "dW = x.T @ dy = [[1, 2], [2, 4], [3, 6]].",
    "tanh": "y = tanh(x) = [0, 0.5]; dy = [1, 2]: dx = dy * (1 - y**2) = [1, 1.5].",
    "sigmoid": "y = sigmoid(x) = [0.5, 0.2]; dy = [1, 2]: dx = dy * y * (1 - y) = [0.25, 0.32].",
    "relu": "x = [-1, 2, 3]; dy = [10, 20, 30]: dx = [0, 20, 30], nothing where x was negative.",
    "exp": "y = exp(x) = [1, 2]; dy = [3, 4]: dx = dy * y = [3, 8].",
    "log": "x = [1, 2]; dy = [3, 4]: dx = dy / x = [3, 2].",
    "pow": "y = x**2, x = [1, 2, 3]; dy = [1, 1, 2]: dx = dy * 2 * x = [2, 4, 12].",
    "cumsum": "y = x.cumsum(0) of 3 entries; dy = [1, 2, 4]: dx = [7, 6, 4], each entry gets its "
    "own and all later ones.",
    "softmax": "p = [0.5, 0.5]; dp = [1, 3]: their average by p is 2, so dx = p * (dp - 2) = "
    "[-0.5, 0.5], which sums to 0.",
    "max": "x = [1, 5, 2], y = x.max(); dy = 3: dx = [0, 3, 0].",
    "view": _VIEW,
    "reshape": _VIEW,
    "transpose": _TURN,
    "permute": _TURN,
    "t": _TURN,
    "index": _PICK,
    "slice": "x of 4 entries, y = x[1:3]; dy = [5, 6]: dx = [0, 5, 6, 0], zero where nobody read.",
    "unfold": "x of 4 entries, windows of 3: entry 1 is in both windows, as number 1 of the first "
    "and number 0 of the second, and gets the sum of those two gradients.",
}
