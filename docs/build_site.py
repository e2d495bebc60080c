"""What ``mkdocs build`` does besides: pages made from the code, and formulas as MathML."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import build_commands
import build_gradients
import build_laws
import build_operators
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from backhand.explain.html import STYLE
from backhand.explain.mathml import mathml

ROOT = Path(__file__).resolve().parents[1]
# Files of the root that are pages of the site.
ROOT_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Every gradient's page has its place in the navigation."""
    article = next(part["The article"] for part in config.nav if "The article" in part)
    listed = next(part for part in article if isinstance(part, dict))
    (title, folder), = listed.items()
    listed[title] = [f"{folder}{name}.md" for name in build_gradients.names()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    made = dict(build_gradients.pages())
    made["commands.md"] = build_commands.page()
    made["operators.md"] = build_operators.page()
    made["laws.md"] = build_laws.page()
    made["assets/explanations.css"] = STYLE
    for source, path in ROOT_PAGES.items():
        made[path] = _moved((ROOT / source).read_text(encoding="utf-8"))
    made["LICENSE"] = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def _moved(text: str) -> str:
    """A page of the root, with the links that it has there."""
    text = text.replace("](docs/", "](")
    for source, path in ROOT_PAGES.items():
        text = text.replace(f"]({source})", f"]({path})")
    return text


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    folder = get_relative_url(build_gradients.FOLDER + "/", page.url)
    return build_gradients.with_explanations(markdown, folder)


def on_page_content(content: str, **_: Any) -> str:
    return FORMULA.sub(
        lambda m: _formula(html.unescape(m[3].strip()), m[2] == "["), content
    )


def _formula(tex: str, alone: bool) -> str:
    return f'<div class="bh-formula">{mathml(tex, True)}</div>' if alone else mathml(tex)


def on_post_page(output: str, **_: Any) -> str:
    """Names the search for those who hear the page; the theme leaves that out."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"')


def on_post_build(config: MkDocsConfig) -> None:
    """Lets the search work from disk, where browsers refuse a worker's file but not its text.

    The script is called as the one from the network that the ``offline`` plugin would put in.
    """
    site = Path(config.site_dir)
    (worker,) = (site / "assets" / "javascripts" / "workers").glob("search.*.js")
    text = json.dumps(worker.read_text(encoding="utf-8"))
    (site / "assets" / "iframe-worker.js").write_text(
        f"""if (location.protocol === "file:") {{
  const url = URL.createObjectURL(new Blob([{text}], {{ type: "text/javascript" }}))
  const FromFile = Worker
  window.Worker = class extends FromFile {{ constructor() {{ super(url) }} }}
}}
""",
        encoding="utf-8",
    )
