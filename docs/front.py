"""Makes what the README shows: draws images/flow.toml in light and dark, and copies numbers out of performance.md.

Writes into this repository, or below the folder that is named.
"""

import sys
import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parent.parent
THEMES = {
    # Text on ground, and lines on ground, have a contrast of at least 4.5 : 1.
    "light": {"ground": "#ffffff", "box": "#f6f8fa", "line": "#57606a", "text": "#1f2328", "own": "#0f766e", "on": "#ffffff"},
    "dark": {"ground": "#0d1117", "box": "#161b22", "line": "#9198a1", "text": "#e6edf3", "own": "#2dd4bf", "on": "#0d1117"},
}
WIDTH, BOX, HIGH, TOP, ROW = 860, 150, 56, 16, 40
MARGIN = 20


def draw(source, theme):
    c = THEMES[theme]
    boxes, arrows = source["boxes"], source["arrows"]
    step = (WIDTH - 2 * MARGIN - BOX) / (len(boxes) - 1)
    middle = {box["name"]: MARGIN + BOX / 2 + step * n for n, box in enumerate(boxes)}
    bottom = TOP + HIGH + ROW * len(arrows) + 16
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" role="img" aria-labelledby="title about"'
        ' font-family="system-ui, -apple-system, Segoe UI, sans-serif">',
        f'<title id="title">{escape(source["title"])}</title>',
        f'<desc id="about">{escape(source["about"])}</desc>',
        f'<rect width="{WIDTH}" height="{bottom}" fill="{c["ground"]}"/>',
    ]
    for box in boxes:
        x = middle[box["name"]]
        own = box.get("own", False)
        colour = c["own"] if own else c["line"]
        out.append(f'<path d="M{x:g} {TOP + HIGH}V{bottom - 6}" stroke="{colour}" stroke-dasharray="2 5"/>')
        fill, text = (c["own"], c["on"]) if own else (c["box"], c["text"])
        out.append(f'<rect x="{x - BOX / 2:g}" y="{TOP}" width="{BOX}" height="{HIGH}" rx="8" fill="{fill}" stroke="{colour}"/>')
        for n, line in enumerate(box["lines"]):
            y = TOP + HIGH / 2 + 5 + 19 * (n - (len(box["lines"]) - 1) / 2)
            out.append(f'<text x="{x:g}" y="{y:g}" text-anchor="middle" font-size="15" font-weight="600" fill="{text}">{escape(line)}</text>')
    for n, arrow in enumerate(arrows):
        a, b = middle[arrow["from"]], middle[arrow["to"]]
        y = TOP + HIGH + ROW * (n + 1) - 6
        colour = c["own"] if arrow.get("main") else c["line"]
        dash = ' stroke-dasharray="6 4"' if arrow.get("aside") else ""
        way = 1 if b > a else -1
        out.append(f'<path d="M{a:g} {y}H{b - way * 9:g}" stroke="{colour}" stroke-width="1.6"{dash}/>')
        out.append(f'<path d="M{b - way * 1:g} {y}l{-way * 9} -4.5v9z" fill="{colour}"/>')
        label, x = arrow["text"], (a + b) / 2
        # What is behind a label is hidden, so that lines of boxes do not cross it.
        wide = 7.2 * len(label) + 8
        out.append(f'<rect x="{x - wide / 2:g}" y="{y - 21}" width="{wide:g}" height="17" fill="{c["ground"]}"/>')
        out.append(f'<text x="{x:g}" y="{y - 7}" text-anchor="middle" font-size="13" fill="{colour if arrow.get("main") else c["text"]}">{escape(label)}</text>')
    return "\n".join([*out, "</svg>", ""])


# Rows of the first table of performance.md: what it is, and what it is compared with. Where we lose, too.
ROWS = {
    ("cold remote session", "Express as documented"): ("CPU of Express as documented, for the first session of a user", "{} times ours"),
    ("warm session", "Express and lru-cache"): ("CPU of Express with a cache, for a session that is kept", "{} times ours"),
    ("warm session", "nginx, fixed answer"): ("CPU of nginx, where it only ever says the same", "{} times ours"),
    ("herd, one user, 200 connections: mints at once", "-"): ("calls for a token when 200 connections ask at once for one user", "{}"),
    ("provider down for 4/5 of a life: failures", "-"): ("requests that fail while the provider is down for most of a session's life", "{}"),
    ("memory, idle, with TLS", "-"): ("memory, idle", "{} MB"),
}


def numbers(page):
    table = page.split("\n## One run\n\n")[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    lines = ["| | measured |", "|---|---|"]
    for (row, beside), (meaning, form) in ROWS.items():
        measured = next((cell[2] for cell in cells if cell[:2] == [row, beside]), None)
        if measured is None:
            sys.exit(f"docs/performance.md, One run: no row of {row!r} beside {beside!r}")
        lines.append(f"| {meaning} | {form.format(measured.split()[0])} |")
    return "\n".join(lines)


out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
if len(sys.argv) > 2 or not out.is_dir():
    sys.exit(f"{__doc__}\n{' '.join(sys.argv[1:])}: no folder that is there")
(out / "docs/images").mkdir(parents=True, exist_ok=True)
source = tomllib.loads((ROOT / "docs/images/flow.toml").read_text())
for theme in THEMES:
    (out / f"docs/images/flow-{theme}.svg").write_text(draw(source, theme))
before, rest = (ROOT / "README.md").read_text().split("<!-- numbers -->\n")
after = rest.split("\n\n", 1)[1]
table = numbers((ROOT / "docs/performance.md").read_text())
(out / "README.md").write_text(f"{before}<!-- numbers -->\n{table}\n\n{after}")
