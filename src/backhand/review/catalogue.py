"""Every cause there is: what it is called, the idea behind it, and the idea in small numbers.

``rows`` are the mistakes of the catalogue in the documentation that a code stands for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One cause. ``idea`` is the second hint, ``example`` the third: a 2×3 case with numbers."""

    code: str
    title: str
    idea: str
    example: str


_X = "x = [[1, 2, 3], [4, 5, 6]]"
ENTRIES = (
    Entry(
        "sign",
        "a sign is wrong",
        "Move the input up a little: does the output go up or down?",
        "y = a - b, dy = [1, 2, 3]: b pulls y down, so db = [-1, -2, -3].",
    ),
    Entry(
        "missing-keepdim",
        "an axis of length 1 is lost",
        "A gradient has the shape of its value, axes of length 1 included.",
        "b is [1, 3], dy = [[1, 2, 3], [4, 5, 6]]: dy.sum(0) = [5, 7, 9] is [3]; "
        "dy.sum(0, keepdim=True) = [[5, 7, 9]] is [1, 3].",
    ),
    Entry(
        "extra-keepdim",
        "an axis of length 1 too many",
        "A gradient has the shape of its value, and no axis more.",
        "b is [3], dy is [2, 3]: dy.sum(0, keepdim=True) is [1, 3]; dy.sum(0) is [3].",
    ),
    Entry(
        "axis-not-summed",
        "a broadcast axis is not summed",
        "A value that was broadcast forward was used many times: sum over the copies.",
        "y = x + b with b [3] and dy = [[1, 2, 3], [4, 5, 6]]: each b[j] stands in two rows, so "
        "db = [1+4, 2+5, 3+6] = [5, 7, 9].",
    ),
    Entry(
        "wrong-axis",
        "summed over the wrong axis, or over too many",
        "Sum over exactly the axes along which the value was copied.",
        "b is [3] and dy = [[1, 2, 3], [4, 5, 6]]: sum(0) = [5, 7, 9] has b's shape; sum(1) = "
        "[6, 15] is one number per row.",
    ),
    Entry(
        "use-forgotten",
        "a use is forgotten",
        "A gradient is the sum over all uses: ask who reads this value.",
        "y = x * x + x at x = [1, 2, 3], dy = 1: the square brings [2, 4, 6], the plain x brings "
        "[1, 1, 1]; dx = [3, 5, 7].",
    ),
    Entry(
        "overwritten",
        "overwritten where it should be added to",
        "The second use adds to what the first one brought.",
        "dx = [2, 4, 6], then dx = [1, 1, 1] leaves [1, 1, 1]; dx = dx + [1, 1, 1] gives "
        "[3, 5, 7].",
    ),
    Entry(
        "duplicates-overwritten",
        "repeated indices overwrite one another",
        "A row that was picked twice was used twice: its gradients add up.",
        "ids [1, 0, 0], upstream rows 1, 2, 3: row 0 gets 2 + 3 = 5; dC[ids] += leaves 3.",
    ),
    Entry(
        "aliasing",
        "two names for one tensor",
        "An assignment gives a tensor a second name, not a second copy.",
        "a = [1, 2, 3]; b = a; b += 1: a is [2, 3, 4] now too. b = a.clone() keeps a.",
    ),
    Entry(
        "wrong-count",
        "a count is missing, or is another one",
        "A mean hands each of its n entries 1/n of the upstream.",
        "m = x.mean() over 2×3 entries, dm = 6: every entry gets 6/6 = 1.",
    ),
    Entry(
        "bessel",
        "n and n − 1 are mixed up",
        "Take the divisor of the forward pass: n − 1 in this variance, n in the mean.",
        "x = [1, 2, 3] has Σ(x − 2)² = 2: over n it is 2/3, over n − 1 it is 1. The gradient of "
        "the second is 2(x − 2)/2 = [-1, 0, 1].",
    ),
    Entry(
        "statistics-constant",
        "mean and variance were taken for constants",
        "Statistics depend on every entry: moving one entry moves them all.",
        "y = x − mean(x), dy = [1, 0, 0]: dx = dy − mean(dy) = [2/3, −1/3, −1/3], not [1, 0, 0].",
    ),
    Entry(
        "added-twice",
        "a path is counted twice",
        "Each use enters the sum once.",
        "y = 3 * x: dx = 3 dy. Written once in dx = 3 * dy and again in dx += 3 * dy it is 6 dy.",
    ),
    Entry(
        "upstream-forgotten",
        "the upstream is forgotten",
        "Every gradient is upstream × local: if the upstream doubles, so does the gradient.",
        "y = x**2 at x = [1, 2, 3], dy = [10, 0, 1]: 2x = [2, 4, 6] is only the local part; "
        "dx = [20, 0, 6].",
    ),
    Entry(
        "local-forgotten",
        "the local derivative is forgotten",
        "Every gradient is upstream × local: what does the function do to a small change?",
        "y = exp(x) at x = [0, 1, 2]: y = [1, 2.7, 7.4], dy = [1, 1, 1]: dx = [1, 2.7, 7.4].",
    ),
    Entry(
        "factor-forgotten",
        "a factor is forgotten",
        "In a product the gradient of one factor is the upstream times the other.",
        "y = g * x with g = [2, 3, 4], dy = [1, 1, 1]: dx = [2, 3, 4].",
    ),
    Entry(
        "wrong-point",
        "the derivative is taken at the wrong point",
        "A derivative is written in the input or in the output: not in one where the other is due.",
        "h = tanh(z): dz = dh * (1 − h²). At z = 1, h = 0.76: 1 − h² = 0.42; 1 − z² = 0.",
    ),
    Entry(
        "precedence",
        "operators bind otherwise than meant",
        "`**` binds before `*` and `/`, those before `+` and `-`; a method binds before all.",
        "(1 − 3)**2 = 4, 1 − 3**2 = −8; 1/(3 − 1) = 0.5, 1/3 − 1 = −0.67.",
    ),
    Entry(
        "matmul-order",
        "a matrix product is transposed or turned round",
        "For y = x @ W: dx = dy @ W.T and dW = x.T @ dy, the only way in which shapes fit.",
        "x [2, 3] @ W [3, 4] = y [2, 4]: dx [2, 3] = dy [2, 4] @ W.T [4, 3].",
    ),
    Entry(
        "row-for-column",
        "a term per row is broadcast down the columns",
        "Without keepdim a sum over rows lines up with the last axis, the columns.",
        f"{_X}: x.sum(1, keepdim=True) = [[6], [15]] is one number per row; x.sum(1) = [6, 15] "
        "meets the columns, which fails here and goes unnoticed in a square.",
    ),
    Entry(
        "view-for-transpose",
        "a view where a transpose was meant",
        "A view reads the same memory in rows of another length; a transpose moves numbers.",
        f"{_X}: x.view(3, 2) = [[1, 2], [3, 4], [5, 6]], x.T = [[1, 4], [2, 5], [3, 6]].",
    ),
    Entry(
        "softmax-diagonal",
        "softmax taken entry by entry",
        "Every probability depends on every logit of its row, through the sum.",
        "p = [0.2, 0.3, 0.5], g = [1, 0, 0]: Σ p·g = 0.2, so dx = p * (g − 0.2) = "
        "[0.16, −0.06, −0.1]; p * (1 − p) * g = [0.16, 0, 0].",
    ),
    Entry(
        "unselected-entries",
        "entries that were not picked have a gradient",
        "What the forward pass did not read gets zero.",
        f"{_X}; y = x[range(2), [2, 0]] = [3, 4], dy = [1, 1]: dx = [[0, 0, 1], [1, 0, 0]].",
    ),
    Entry(
        "ties",
        "ties in a maximum: a convention",
        "Where two entries share the maximum, any split of the gradient is a subgradient; autograd "
        "splits evenly in amax and takes the first in max(dim).",
        "x = [2, 2, 1], y = x.amax(), dy = 1: autograd gives [0.5, 0.5, 0].",
    ),
    Entry(
        "wrong-mask",
        "the mask of the forward pass, or its scale, is wrong",
        "What the forward pass set to zero lets nothing back; what it scaled is scaled again.",
        "y = relu([-1, 0.5, 2]), dy = [1, 1, 1]: dx = [0, 1, 1].",
    ),
    Entry(
        "convolution",
        "a convolution goes back with its kernel unflipped, or another padding or stride",
        "Ask for one input cell which outputs it took part in, and with which kernel entry.",
        "y[i] = Σ_k w[k] x[i+k] with w = [1, 2, 3]: x[2] is in y[2], y[1], y[0] with 1, 2, 3: the "
        "kernel runs backwards over dy.",
    ),
    Entry(
        "slice-for-element",
        "a slice where one element was meant",
        "Write back into exactly the entries that were read.",
        f"{_X}; y = x[:, 0] = [1, 4]: dx[:, 0] = dy; dx[0] would be the row [1, 2, 3].",
    ),
    Entry(
        "wrong-name",
        "another name was meant",
        "Say aloud what each name in the line is the gradient, or the value, of.",
        "dx = dz * w where y = x * w was read: the upstream of x is dy.",
    ),
    Entry(
        "never-written",
        "nothing was written",
        "Zeros are where a gradient starts, not where it ends.",
        "dx = torch.zeros_like(x) is [[0, 0, 0], [0, 0, 0]] until a use is added.",
    ),
    Entry(
        "missing",
        "the gradient is not there",
        "Every value that is asked for has its d-line.",
        "y = x @ W + b has three gradients: dx, dW and db.",
    ),
    Entry(
        "rank-two-only",
        "holds for matrices only",
        "With more axes, everything but the last axis is batch: sum over all of it.",
        "x [5, 2, 3] @ W [3, 4]: dW = x.flatten(0, -2).T @ dy.flatten(0, -2), and a bias sums "
        "over axes 0 and 1.",
    ),
    Entry(
        "mutated",
        "a tensor was changed in place",
        "What the forward pass made is read again: leave it as it is.",
        "d = p; d[0] -= 1 changes p too. d = p.clone() does not.",
    ),
    Entry(
        "carry-forgotten",
        "what comes back from the next step is forgotten",
        "A state is used twice: by its output, and by the next step.",
        "h1 feeds y1 and h2: dh1 = (from y1) + dh2 @ W.T; at the last step there is no next.",
    ),
    Entry(
        "order",
        "a gradient is read before it is complete",
        "Go through the forward lines backwards: a gradient is read when all its uses are in.",
        "dx = a; dy = dx * 2; dx += b: dy has only a in it.",
    ),
    Entry(
        "wrong-scale",
        "a scale such as 1/√d is missing or turned over",
        "A constant factor of the forward pass stands in the gradient unchanged.",
        "s = q @ k.T / √4: dq = ds @ k / √4.",
    ),
    Entry(
        "jacobian",
        "a Jacobian where a gradient was asked for",
        "A gradient is the upstream times the Jacobian, and has the shape of the value.",
        "y = 2x with 3 entries has the Jacobian 2·I, 3×3; dy = [1, 0, 4] gives dx = [2, 0, 8].",
    ),
    Entry(
        "false-comment",
        "a shape comment is not true",
        "A wrong comment misleads whoever reads the line next.",
        "dx = dy @ W.T with dy [2, 4] and W [3, 4] is [2, 3].",
    ),
    Entry(
        "operator",
        "another operator or function",
        "Derive the local derivative once more, one operator at a time.",
        "y = log(p): dp = dy / p. At p = [0.5, 0.25, 1], dy = 1: [2, 4, 1].",
    ),
    Entry(
        "exponent",
        "the exponent is wrong",
        "The power rule takes one off the exponent, and puts the old one in front.",
        "y = x**-1 at x = 2: dy/dx = -x**-2 = -0.25.",
    ),
    Entry(
        "constant",
        "a constant is wrong",
        "Take constants over from the forward pass, and the power rule's from the exponent.",
        "y = 3 * x**2 at x = [1, 2, 3]: dx = 6x = [6, 12, 18].",
    ),
    Entry(
        "wrong-index",
        "another entry was meant",
        "Write back into exactly the entries that were read.",
        f"{_X}; y = x[:, 1] = [2, 5]: dx[:, 1] = dy.",
    ),
    Entry(
        "surplus-factor",
        "a factor too many",
        "Each factor of the local derivative stands there once.",
        "y = exp(x): dx = dy * y, not dy * y * x.",
    ),
    Entry(
        "surplus-term",
        "a term too many",
        "Each use enters the sum once, and nothing else does.",
        "y = x + b: dx = dy, not dy + b.",
    ),
    Entry(
        "term-forgotten",
        "a term inside the local derivative is forgotten",
        "The derivative is taken where the function was evaluated, with all that was added there.",
        "y = (v + 1)**2 at v = 2: dv = 2 * (v + 1) = 6, not 2 * v = 4.",
    ),
    Entry(
        "missing-term",
        "a term of the gradient is missing",
        "A derivative has a term for every way in which the input acts on the output.",
        "y = x * sigmoid(x), s = sigmoid(x): dx = dy * (s + x * s * (1 − s)). At x = 1, dy = 1: "
        "0.73 + 0.2 = 0.93; s alone is 0.73.",
    ),
    Entry(
        "wrong-term",
        "one term where another belongs",
        "Take the line apart into its terms, and derive each by itself.",
        "p = [0.2, 0.3, 0.5] out of a softmax, g = [1, 0, 0]: dx = p * (g − Σ p·g) takes off 0.2, "
        "the mean that p weighs, and not the plain mean 1/3.",
    ),
    Entry(
        "wrong-factor",
        "a factor is missing, or is another one",
        "Every step back multiplies by one local derivative: count them.",
        "y = v**-0.5 at v = 4: dv = −0.5 * v**-1.5 = −1/16; with y = 1/2 for v**-0.5 that is "
        "−y * y²/2, and −y alone lacks the factor y²/2 = 1/8.",
    ),
    Entry(
        "wrong-dtype",
        "another dtype",
        "A gradient has the dtype of its value.",
        "x is float32, so dx is: torch.zeros_like(x) takes it over.",
    ),
    Entry(
        "cannot-run",
        "the line fails",
        "Write the shape of every factor beside it.",
        "[2, 3] @ [2, 3] fails: the inner sizes 3 and 2 differ. [2, 3] @ [3, 2] is [2, 2].",
    ),
    Entry(
        "no-known-pattern",
        "no known pattern",
        "Nothing in the catalogue explains the numbers. Check the line factor by factor.",
        "Write each factor and its shape on a line of its own, and compare with the longhand.",
    ),
)
CATALOGUE = {entry.code: entry for entry in ENTRIES}
