"""The plot of performance.md: what a request costs here, in the floors and in the peers, on one axis."""
import math
from xml.sax.saxutils import escape

from themes import THEMES, opening

WIDTH, LEFT, RIGHT, ROW, TOP = 860, 250, 70, 26, 56
TITLE = "CPU of a request, in times of the floor"
# For each group the row that compares us with the floor, what the floor is, and the rows of peers.
GROUPS = {
    "a session from the cache": ("warm/warp", "bare warp", {
        "warm/nginx": "nginx, a fixed answer",
        "warm/envoy": "Envoy, a fixed answer",
        "warm/go": "Go, net/http and a map",
        "warm/node": "node:http and a Map",
        "warm/express": "Express and lru-cache",
    }),
    "a session that the provider is asked for": ("cold/relay", "a relay on hyper", {
        "cold/go": "Go, as documented",
        "cold/express": "Express, as documented",
        "cold/fastapi-shared": "FastAPI, one client for all",
        "cold/fastapi": "FastAPI, as documented",
    }),
}


def bars(figures):
    """The groups, each with what it compares and its cost, the cheapest first."""
    for group, (own, floor, peers) in GROUPS.items():
        costs = {"sidemint": 1 / figures[own].median, floor: 1.0}
        for row, name in peers.items():
            # Of our own figure, where a run has none of the floor.
            found = figures.get(row)
            if found:
                costs[name] = costs["sidemint"] * found.median if not found.floor else found.median / found.share
        yield group, sorted(costs.items(), key=lambda bar: bar[1])


def draw(figures, theme):
    c, groups = THEMES[theme], list(bars(figures))
    largest = max(cost for _, costs in groups for _, cost in costs)
    decades = math.ceil(math.log10(largest))
    # The axis begins below one, so that the cheapest has a bar as well.
    begin = -0.5
    place = lambda value: LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - begin) / (decades - begin)
    high = TOP + sum(ROW * (len(costs) + 1.4) for _, costs in groups) + 10
    told = "; ".join(f"{group}: " + ", ".join(f"{name} {cost:.3g}" for name, cost in costs) for group, costs in groups)
    out = opening(WIDTH, f"{high:g}", TITLE, told, theme)
    out.append(f'<text x="20" y="26" font-size="16" font-weight="600" fill="{c["text"]}">{TITLE} (logarithmic; less is better)</text>')
    for decade in range(decades + 1):
        x = place(10**decade)
        out.append(f'<path d="M{x:.1f} {TOP - 10}V{high - 8:g}" stroke="{c["line"]}" stroke-dasharray="2 5"/>')
        out.append(f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle" font-size="12" fill="{c["text"]}">{10**decade}</text>')
    y = TOP
    for group, costs in groups:
        out.append(f'<text x="20" y="{y + 17:g}" font-size="14" font-weight="600" fill="{c["text"]}">{escape(group)}</text>')
        y += ROW
        for name, cost in costs:
            own = name == "sidemint"
            colour, weight = (c["own"], ' font-weight="600"') if own else (c["line"], "")
            out.append(f'<text x="{LEFT - 10}" y="{y + 15:g}" text-anchor="end" font-size="13"{weight} fill="{c["text"]}">{escape(name)}</text>')
            out.append(f'<rect x="{LEFT}" y="{y + 2:g}" width="{place(cost) - LEFT:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"/>')
            out.append(f'<text x="{place(cost) + 6:.1f}" y="{y + 15:g}" font-size="13"{weight} fill="{c["text"]}">{cost:.3g}</text>')
            y += ROW
        y += ROW * 0.4
    return "\n".join([*out, "</svg>", ""])
