"""Plots as SVG that stands without scripts; `page.js` draws the same figures anew for other axes and widths.

A figure is a plain dictionary, so that the page can carry it: x and y, each {"label", "log"}; "front", whether the
points of the front are joined; and "series", each {"name", "key" (its colour and marker), "line", "muted", "points"}.
A point is [x, y, x_low, x_high, y_low, y_high, kind, label, title]; kind is one of POINT, FRONT and APART.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

POINT, FRONT, APART = 0, 1, 2
WIDTH, HEIGHT = 920, 440
LETTER = 7.0  # pixels that a letter of a label takes, on average
LINE = 15
R = 5.0  # of a marker
COLOURS, MARKERS = 8, 6
LONGEST = 34  # letters of a label

Box = tuple[float, float, float, float]


class Scale(NamedTuple):
    """From a value to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        low, high, at = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values between the ends."""
        if self.log and self.high / self.low > 8:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1,) if self.high / self.low > 1e4 else (1, 3) if self.high / self.low > 80 else (1, 2, 5)
            return [step * 10.0**power for power in powers for step in steps if self.holds(step * 10.0**power)]
        span = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(span))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= span)
        first = math.ceil(self.low / step)
        return [place * step for place in range(first, first + 12) if self.holds(place * step)]

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def draw(figure: Mapping[str, Any], label: str, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """Draw a figure; `label` says what it shows to those who do not see it."""
    points = [point for series in figure["series"] for point in series["points"]]
    if not points:
        return Markup("")
    lines = any(series["line"] for series in figure["series"])
    longest = max((len(shorten(series["name"])) for series in figure["series"]), default=0)
    right = min(width * 0.3, 14 + LETTER * longest) if lines else 16
    x = make_scale(points, 0, figure["x"]["log"], 62, width - right)
    y = make_scale(points, 1, figure["y"]["log"], height - 44, 34)
    parts = [*_draw_axes(figure, x, y), *_draw_front(figure, x, y)]
    parts += [part for series in figure["series"] for part in _draw_series(series, x, y)]
    parts += _label_ends(figure, x, y, width) if lines else _label_points(figure, x, y)
    said = escape(label)
    view = f'viewBox="0 0 {width} {height}" style="max-width:{width}px"'
    return Markup(f'<svg class="plot" {view} role="img" aria-label="{said}">{"".join(parts)}</svg>')  # noqa: S704


def make_scale(points: Sequence[Sequence[Any]], place: int, log: bool, start: float, end: float) -> Scale:
    """The scale of an axis that has room for all points and their intervals."""
    values = [each for point in points for each in (point[place], point[2 + 2 * place], point[3 + 2 * place])]
    known = [each for each in values if each is not None and (not log or each > 0)]
    low, high = min(known, default=1.0), max(known, default=1.0)
    if log:
        margin = max((high / low) ** 0.06, 1.05)
        return Scale(low / margin, high * margin, start, end, True)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return Scale(low - margin, high + margin, start, end, False)


def shorten(name: str, most: int = LONGEST) -> str:
    """A name without its middle where it is long: variants differ at their ends."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"


def _draw_axes(figure: Mapping[str, Any], x: Scale, y: Scale) -> Iterator[str]:
    for value in y.ticks():
        up = f"{y.place(value):.1f}"
        yield f'<path class="grid" d="M{x.start:.0f} {up}H{x.end:.0f}"/>'
        yield f'<text class="tick" x="{x.start - 8:.0f}" y="{up}" dy=".32em" text-anchor="end">{value:.6g}</text>'
    yield f'<path class="axis" d="M{x.start:.0f} {y.start:.0f}H{x.end:.0f}"/>'
    last = -math.inf
    for value in x.ticks():
        at = x.place(value)
        yield f'<path class="axis" d="M{at:.1f} {y.start:.0f}v4"/>'
        if at - last > 40:
            last = at
            yield f'<text class="tick" x="{at:.1f}" y="{y.start + 17:.0f}" text-anchor="middle">{value:.6g}</text>'
    yield f'<text class="name" x="{x.start - 50:.0f}" y="16">{escape(figure["y"]["label"])}</text>'
    foot = f'x="{x.end:.0f}" y="{y.start + 36:.0f}" text-anchor="end"'
    yield f'<text class="name" {foot}>{escape(figure["x"]["label"])}</text>'


def _draw_front(figure: Mapping[str, Any], x: Scale, y: Scale) -> Iterator[str]:
    """Steps through the front: what lies beyond them on their worse side is beaten."""
    front = [point for series in figure["series"] for point in series["points"] if point[6] == FRONT]
    if not figure["front"] or len(front) < 2:
        return
    places = sorted((x.place(point[0]), y.place(point[1])) for point in front)
    steps = "".join(f"H{a:.1f}V{b:.1f}" for a, b in places[1:])
    yield f'<path class="front" d="M{places[0][0]:.1f} {places[0][1]:.1f}{steps}"/>'


def _draw_series(series: Mapping[str, Any], x: Scale, y: Scale) -> Iterator[str]:
    key = series["key"]
    shown = f"s{' muted' if series['muted'] else ''} d{series.get('dash', 0)}"
    yield f'<g class="{shown}" style="--k:var(--c{key % COLOURS})">'
    places = [(x.place(point[0]), y.place(point[1])) for point in series["points"]]
    if series["line"]:
        yield from _draw_band(series["points"], x, y)
        yield f'<path class="line" d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in places)}"/>'
    for point, (a, b) in zip(series["points"], places, strict=True):
        if not series["line"] or len(places) < 13:
            yield from _draw_point(point, a, b, x, y, key, series["line"])
    yield "</g>"


def _draw_band(points: Sequence[Sequence[Any]], x: Scale, y: Scale) -> Iterator[str]:
    """The band of a line where there are intervals; where a point has none the band is as thin as the line."""
    if not any(point[4] is not None for point in points):
        return
    ends = [(x.place(p[0]), p[1] if p[4] is None else p[4], p[1] if p[5] is None else p[5]) for p in points]
    over = [f"{at:.1f} {y.place(_within(y, high)):.1f}" for at, _, high in ends]
    under = [f"{at:.1f} {y.place(_within(y, low)):.1f}" for at, low, _ in reversed(ends)]
    yield f'<path class="band" d="M{"L".join([*over, *under])}Z"/>'


def _draw_point(point: Sequence[Any], a: float, b: float, x: Scale, y: Scale, key: int, line: bool) -> Iterator[str]:
    kind = ("", " best", " apart")[point[6]]
    yield f'<g class="pt{kind}"><title>{escape(point[8])}</title>'
    if not line and point[2] is not None:
        yield f'<path class="err" d="M{x.place(_within(x, point[2])):.1f} {b:.1f}H{x.place(point[3]):.1f}"/>'
    if not line and point[4] is not None:
        yield f'<path class="err" d="M{a:.1f} {y.place(_within(y, point[4])):.1f}V{y.place(point[5]):.1f}"/>'
    yield f'<path class="mk" d="{_mark(key % MARKERS, a, b, 3.0 if line else R)}"/></g>'


def _within(scale: Scale, value: float) -> float:
    """The value, or the end of the axis: an interval may reach below zero where its axis is logarithmic."""
    return max(value, scale.low) if scale.log else value


def _mark(kind: int, a: float, b: float, r: float) -> str:
    """The outline of a marker: circle, square, triangle, diamond, triangle, cross."""
    if kind == 0:
        return f"M{a - r:.1f} {b:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    t, s = r * 1.2, r * 0.9
    corners = {
        1: ((-s, -s), (s, -s), (s, s), (-s, s)),
        2: ((0, -t), (t, s), (-t, s)),
        3: ((0, -t), (t, 0), (0, t), (-t, 0)),
        4: ((0, t), (t, -s), (-t, -s)),
        5: ((-2, -t), (2, -t), (2, -2), (t, -2), (t, 2), (2, 2), (2, t), (-2, t), (-2, 2), (-t, 2), (-t, -2), (-2, -2)),
    }[kind]
    return f"M{'L'.join(f'{a + right:.1f} {b + down:.1f}' for right, down in corners)}z"


# --- labels -------------------------------------------------------------------------------------------------------


def _label_points(figure: Mapping[str, Any], x: Scale, y: Scale) -> Iterator[str]:
    """Names beside their points, the front's first; none where there is no room for one."""
    points = [point for series in figure["series"] for point in series["points"]]
    places = [(x.place(point[0]), y.place(point[1])) for point in points]
    taken: list[Box] = [(a - R - 1, b - R - 1, a + R + 1, b + R + 1) for a, b in places]
    for place in sorted(range(len(points)), key=lambda each: points[each][6] != FRONT):
        text, (a, b) = shorten(points[place][7]), places[place]
        length = len(text) * LETTER
        for dx, dy, anchor in (
            (9, 4, 0.0),
            (-9, 4, 1.0),
            (0, -10, 0.5),
            (0, 19, 0.5),
            (8, -8, 0.0),
            (8, 16, 0.0),
            (-8, -8, 1.0),
            (-8, 16, 1.0),
        ):
            left = a + dx - anchor * length
            box = (left, b + dy - 11, left + length, b + dy + 3)
            if left > x.start and left + length < x.end + 12 and box[1] > 24 and box[3] < y.start and _free(box, taken):
                taken.append(box)
                bold = ' class="lab best"' if points[place][6] == FRONT else ' class="lab"'
                yield f'<text{bold} x="{left:.1f}" y="{b + dy:.1f}">{escape(text)}</text>'
                break


def _free(box: Box, taken: Sequence[Box]) -> bool:
    return all(box[2] < o[0] or o[2] < box[0] or box[3] < o[1] or o[3] < box[1] for o in taken)


def _label_ends(figure: Mapping[str, Any], x: Scale, y: Scale, width: int) -> Iterator[str]:
    """Names at the ends of their lines, moved apart where lines end together; of muted ones none."""
    named = [series for series in figure["series"] if not series["muted"] and series["points"]]
    named.sort(key=lambda each: y.place(each["points"][-1][1]))
    ends = [y.place(each["points"][-1][1]) for each in named]
    most = max(8, int((width - x.end - 14) / LETTER))
    for series, end, height in zip(named, ends, spread(ends, y.end, y.start), strict=True):
        key, last = series["key"] % COLOURS, x.place(series["points"][-1][0])
        path = f"M{last + 4:.1f} {end:.1f}L{x.end + 8:.1f} {height:.1f}"
        yield f'<path class="lead" style="--k:var(--c{key})" d="{path}"/>'
        text = escape(shorten(series["name"], most))
        yield f'<text class="lab" x="{x.end + 11:.1f}" y="{height:.1f}" dy=".32em">{text}</text>'


def spread(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """Ascending heights moved apart by a line each, and back where they leave the plot.

    >>> spread([10, 12, 100], 0, 200)
    [10, 25, 100]
    """
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, top if not moved else moved[-1] + LINE))
    limit = max(bottom, top + LINE * (len(moved) - 1))
    for place in reversed(range(len(moved))):
        moved[place] = min(moved[place], limit)
        limit = moved[place] - LINE
    return moved
