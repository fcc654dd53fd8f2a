"""The picture of the README: who asks whom, drawn from images/flow.toml."""
from xml.sax.saxutils import escape

from themes import THEMES, opening

WIDTH, BOX, HIGH, TOP, ROW = 860, 150, 56, 16, 40
MARGIN = 20


def draw(source, theme):
    c = THEMES[theme]
    boxes, arrows = source["boxes"], source["arrows"]
    step = (WIDTH - 2 * MARGIN - BOX) / (len(boxes) - 1)
    middle = {box["name"]: MARGIN + BOX / 2 + step * n for n, box in enumerate(boxes)}
    bottom = TOP + HIGH + ROW * len(arrows) + 16
    out = opening(WIDTH, bottom, source["title"], source["about"], theme)
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
