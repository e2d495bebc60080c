"use strict";
// Comfort only: the page says everything without it.

// Highlighting: what the line makes in one tone, the lines that use it in another.
const lines = [...document.querySelectorAll("#code .row")].map((row) => ({
  row,
  makes: numbers(row.dataset.makes),
  reads: numbers(row.dataset.reads),
}));

function numbers(text) {
  return new Set((text || "").split(" ").filter(Boolean));
}

function light(row) {
  const own = row ? numbers(row.dataset.makes) : new Set();
  const meets = (found) => [...found].some((number) => own.has(number));
  for (const line of lines) {
    line.row.classList.toggle("own", meets(line.makes));
    line.row.classList.toggle("use", meets(line.reads) && !meets(line.makes));
  }
}

// Where the pointer is on no line, the line that has the focus counts.
const code = document.getElementById("code");
function show(target) {
  light(target.closest("#code .row") || document.activeElement.closest("#code .row"));
}
code.addEventListener("pointerover", (event) => show(event.target));
code.addEventListener("pointerleave", () => show(document.body));
code.addEventListener("focusin", (event) => light(event.target.closest(".row")));
code.addEventListener("focusout", () => light(null));

// What scrolls can be reached, and scrolled, with the keyboard; what does not is no stop.
const boxes = [...document.querySelectorAll("div, figure, pre, nav")].filter((box) =>
  /auto|scroll/.test(getComputedStyle(box).overflowX + getComputedStyle(box).overflowY)
);
function reachable() {
  for (const box of boxes) {
    const scrolls =
      box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls && !box.querySelector("a")) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
new ResizeObserver(reachable).observe(document.documentElement);
