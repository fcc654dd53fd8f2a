"""Colours of the pictures, which follow the theme of who looks at them, and what each picture begins with."""
from xml.sax.saxutils import escape

THEMES = {
    # Text on ground, and lines on ground, have a contrast of at least 4.5 : 1.
    "light": {"ground": "#ffffff", "box": "#f6f8fa", "line": "#57606a", "text": "#1f2328", "own": "#0f766e", "on": "#ffffff"},
    "dark": {"ground": "#0d1117", "box": "#161b22", "line": "#9198a1", "text": "#e6edf3", "own": "#2dd4bf", "on": "#0d1117"},
}


def opening(wide, high, title, about, theme):
    """A picture that a screen reader can tell."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" aria-labelledby="title about"'
        ' font-family="system-ui, -apple-system, Segoe UI, sans-serif">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="about">{escape(about)}</desc>',
        f'<rect width="{wide}" height="{high}" fill="{THEMES[theme]["ground"]}"/>',
    ]
