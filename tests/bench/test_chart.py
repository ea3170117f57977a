"""Charts are well-formed, say what they show, and refuse what a logarithm cannot show; an exponent
is the one that was put in."""

from xml.etree import ElementTree

import pytest

from bench import chart


@pytest.mark.parametrize("power", (0, 0.5, 1, 2))
def test_the_fitted_exponent_is_that_of_the_points(power):
    assert chart.exponent([(x, 3 * x**power) for x in (10, 100, 1000)]) == pytest.approx(power)


def test_charts_are_xml_with_their_names_and_numbers_in_light_and_dark():
    for page, words in (
        (
            chart.bars("Speed <1>", "seconds", [("Quipu & co", 0.5), ("peer", 120.0)]),
            ("Speed <1>", "Quipu & co", "120"),
        ),
        (
            chart.lines("Growth", "records", "seconds", {"root": [(10, 2), (1000, 2)]}),
            ("Growth", "root: n^0.00"),
        ),
    ):
        texts = "\n".join(each.text or "" for each in ElementTree.fromstring(page).iter())
        assert all(word in texts for word in words)
        assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize(
    "value, text",
    [
        (2.5, "2.5 s"),
        (1, "1 s"),
        (0.1234, "123 ms"),
        (1e-3, "1 ms"),
        (10.0**-5, "10 us"),
        (0.9999e-6, "1 us"),
        (3.14159e-8, "31.4 ns"),
        (1234, "1,234 s"),
    ],
)
def test_a_time_is_in_the_unit_that_suits_it(value, text):
    assert chart.seconds(value) == text
    assert f">{text}<" in chart.bars("x", "time", [("a", value)], chart.seconds)


def luminance(colour):
    """Return the relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear))


@pytest.mark.parametrize("paper", ("#ffffff", "#16181c"))
def test_every_colour_stands_out_from_both_papers(paper):
    """3 to 1, what WCAG 2.2 asks of graphics."""
    assert {"#ffffff": "#fff", "#16181c": "#16181c"}[paper] in chart.STYLE
    for colour in chart.COLOURS:
        low, high = sorted((luminance(colour), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 3, (colour, paper)


def test_each_measured_point_of_a_line_is_marked():
    page = chart.lines(
        "Growth",
        "records",
        "time",
        {"root": [(10, 2e-6), (1000, 2e-6), (10000, 1e-5)]},
        chart.seconds,
    )
    assert page.count("<circle") == 3 and ">10 us<" in page and ">1 us<" in page


def test_what_has_no_logarithm_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        chart.bars("x", "s", [("a", 0.0)])
    with pytest.raises(ValueError, match="above 0"):
        chart.lines("x", "n", "s", {"a": [(1, 0)]})
    with pytest.raises(ValueError, match="two points"):
        chart.exponent([(1, 1)])
