"""``backhand tour``: the article from end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .text import clean

if TYPE_CHECKING:
    from rich.console import Console

    from ..api import Backprop

SIZES = tuple((n, d) for n in (8, 32, 33, 100) for d in (64, 200))
COMPARED = 200  # training steps taken both ways
OUT = "backhand-tour"
REPORT = "report.html"


@click.command("tour")
@click.option("--steps", default=4000, show_default=True, help="Training steps.")
@click.option("--hidden", default=64, show_default=True, help="Hidden units.")
@click.option(
    "--out",
    default=OUT,
    show_default=True,
    metavar="DIR",
    help="Directory for the trained network, its loss curve and the report.",
)
@click.option("--force", is_flag=True, help=f"Replace a run in --out, as is always done in {OUT}.")
def tour(steps: int, hidden: int, out: str, force: bool) -> None:
    """The article "Backpropagate Manually" from end to end, on names that ship with backhand.

    Exercise 1: the backward pass of a small network, one line per gradient, each checked against
    autograd. Exercises 2 and 3: the closed forms of cross entropy and batch norm, found and proved.
    Then the network is trained on its backward pass, without autograd. All of it is put on one page
    at the end, report.html, with the derivation and the picture of every gradient.
    """
    if steps < 1 or hidden < 1:
        raise click.UsageError("--steps and --hidden must be at least 1")
    from ..output import check_output
    from ..train.run import claim
    from .tables import Terminal

    class Stage(Terminal):
        """Nobody reads on: the tour is over."""

        def on_broken_pipe(self) -> None:
            super().on_broken_pipe()
            raise SystemExit(0)

    replace = force or out == OUT
    claim(out, replace)  # rather than after all the rest
    check_output(f"{out}/{REPORT}", replace)
    console = Stage(highlight=False)
    bp = _exercise_1(console)
    _closed_forms(console, bp)
    _training(console, steps, hidden, out)
    bp.report(f"{out}/{REPORT}", force=True, target="backhand.train.network:forward")
    _onwards(console, f"{out}/{REPORT}")


def _exercise_1(console: Console) -> Backprop:
    from rich.syntax import Syntax

    from ..api import derive
    from ..train.network import example_inputs, forward

    console.rule("[bold]Exercise 1: every gradient of the network, by hand")
    console.print(
        "The network reads three letters of a name and predicts the next one: embedding, linear "
        "layer, batch norm, tanh, linear layer, cross entropy. Below is its backward pass, derived "
        "from its source. Read it from the top: the loss comes first, and each block goes back "
        "through one line of the forward pass (the comment), from d{output} to d{input}. "
        "The trailing comment is the gradient's shape.\n"
    )
    bp = derive(forward, *example_inputs(32, 64))
    console.print(Syntax(bp.longhand.source, "python", background_color="default", word_wrap=True))
    console.print(
        "\nIs it right? Each gradient against autograd, on the network as it was written, at "
        "n = 32 examples and 64 hidden units:\n"
    )
    _table(console, bp)
    console.print("The same derivation at other sizes:\n")
    from .tables import plain_table

    table = plain_table("n", "hidden", "exact", "close", "wrong")
    for n, d in SIZES:
        report = bp.verify(*example_inputs(n, d))
        counts = [_without_seed(report.count(v), v) for v in ("exact", "close", "wrong")]
        table.add_row(str(n), str(d), *map(str, counts))
    console.print(table)
    return bp


EXERCISES = (
    (
        2,
        "cross entropy in one line",
        "logits",
        "loss",
        "The eight lines from the logits to the loss, backwards at once.",
        ("dlogits = F.softmax(logits, 1)", "dlogits[range(n), Yb] -= 1", "dlogits /= n"),
    ),
    (
        3,
        "batch norm in one line",
        "hprebn",
        "hpreact",
        "The seven lines of the batch norm, backwards at once.",
        (
            "dhprebn = bngain*bnvar_inv/n * (n*dhpreact - dhpreact.sum(0)",
            "    - n/(n-1)*bnraw*(dhpreact*bnraw).sum(0))",
        ),
    ),
)


def _closed_forms(console: Console, bp: Backprop) -> None:
    """Exercises 2 and 3, which the article derives on paper."""
    from rich.syntax import Syntax

    from ..checking.table import difference_text

    found = {g.name: g for g in bp.verify(form="shorthand").gradients}
    for number, title, of, given, what, article in EXERCISES:
        console.rule(f"[bold]Exercise {number}: {title}")
        closed = bp.closed_form(of, given)
        console.print(f"{what} The article writes:\n")
        for line in article:
            console.print(f"    {line}", markup=False)
        console.print("\nFound here, from the source alone:\n")
        console.print(Syntax(closed.source, "python", background_color="default", word_wrap=True))
        console.print("The proof, which the article leaves out:\n")
        console.print(str(closed.proof), markup=False)
        judged = found[f"d{of}"].local
        assert judged is not None
        before, after = closed.longhand_cost, closed.cost
        console.print(
            f"\nGiven autograd's d{given}, it differs from autograd's d{of} by "
            f"{difference_text(judged.maxdiff)} at most: the same numbers added in another order. "
            f"It passes over large tensors {after.passes} times where the longhand does "
            f"{before.passes} times, and reads {after.saved:,} bytes of the forward pass where the "
            f"longhand reads {before.saved:,}.\n"
        )
    console.print("The whole backward pass with both in place:\n")
    console.print(Syntax(bp.shorthand.source, "python", background_color="default", word_wrap=True))


def _without_seed(count: int, verdict: str) -> int:
    """The article's table starts at dlogprobs: dloss, which is 1, does not count."""
    return count - 1 if verdict == "exact" else count


def _table(console: Console, bp: Backprop) -> None:
    from ..checking.table import difference_text
    from .tables import COLOURS, plain_table, shape_text

    report = bp.verify()
    table = plain_table("gradient", "shape", "verdict", "max diff", "as printed")
    shown = [g for g in report.gradients if g.name != "dloss"]
    for g in shown:
        printed = g.plain or g.local
        table.add_row(
            g.name,
            shape_text(g.shape, console),
            f"[{COLOURS[g.verdict]}]{g.verdict}[/]",
            difference_text(g.result.maxdiff),
            ""
            if printed is None or printed.verdict == "exact"
            else f"{difference_text(printed.maxdiff)} off",
        )
    console.print(table)
    exact = sum(g.verdict == "exact" for g in shown)
    console.print(
        f"{exact} of {len(shown)} gradients are exact: the same bits as autograd's. "
        "The last column judges the lines as they are printed. Only tanh's differs: people write "
        "1 - h**2, which rounds twice where torch rounds once. What runs here is torch's own "
        "kernel for that line; `backhand derive --spelling exact` prints it.\n"
    )


def _training(console: Console, steps: int, hidden: int, out: str) -> None:
    import tempfile

    from ..errors import InputError
    from ..train.config import Config
    from ..train.loop import train
    from ..train.run import run
    from ..train.stop import Interrupted

    console.rule("[bold]Training without autograd")
    compared = min(COMPARED, steps)
    try:
        with tempfile.TemporaryDirectory(prefix="backhand-tour-") as scratch:
            both = [
                train(Config(steps=compared, hidden=hidden, grad=grad, out=out, samples=0))
                for grad, out in (("longhand", f"{scratch}/a"), ("autograd", f"{scratch}/b"))
            ]
    except Interrupted:
        raise KeyboardInterrupt from None  # what was begun is thrown away with the scratch folder
    same = both[0].losses.tolist() == both[1].losses.tolist()
    if not same:
        raise InputError("the losses by longhand and by autograd differ: please report this")
    console.print(
        f"The first {compared} steps were taken twice, once with the derived backward pass and "
        f"once with autograd: the {compared} losses are the same, bit for bit.\n"
    )
    status = run({"steps": steps, "hidden": hidden, "out": out}, console, force=True)
    if status:
        raise SystemExit(status)


def _onwards(console: Console, page: str) -> None:
    from ..train.stop import program

    name = program()
    console.rule("[bold]Your own code")
    console.print(
        "Write a forward pass and an example_inputs() beside it, as in examples/article.py, "
        "then:\n\n"
        f"  {name} derive examples/article.py:forward\n      its backward pass as source\n"
        f"  {name} verify examples/article.py:forward\n      each gradient against autograd\n"
        f"  {name} report examples/article.py:forward\n      everything about it on one page\n"
        f"  {name} train --data names.txt\n      a full training run on names of yours\n",
        markup=False,
    )
    console.rule("[bold]The report")
    console.print(
        "Why each of these gradients is what it is, with pictures of their numbers, stands on one "
        "page, which needs no network. Open it in a browser:",
    )
    console.print(f"\n  {clean(page)}\n", markup=False, soft_wrap=True)
