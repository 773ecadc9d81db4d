"""The benchmark's own arithmetic."""

from __future__ import annotations

import doctest
from dataclasses import replace
from types import ModuleType

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import course, measure, programs, report
from benchmarks.course import Figures
from benchmarks.measure import TICKS, Cpu, cpu_ticks, percentile, pss_mib


@pytest.mark.parametrize("module", [course, measure, programs, report])
def test_examples(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 100))
def test_percentile_is_a_measured_value_that_covers_its_share(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 95)


def test_cpu_of_a_process_whose_name_looks_like_fields() -> None:
    stat = "42 (a) 9 (b c) S 1 2 3 4 5 6 7 8 9 10 150 50 7 8 20 0 1 0 99"
    assert cpu_ticks(stat) == 200


def test_cpu_is_of_one_core() -> None:
    assert Cpu(0, 10.0).percent_until(Cpu(2 * TICKS, 11.0)) == 200.0


def test_pss_is_the_whole_not_a_part_of_it() -> None:
    rollup = "5500 [rollup]\nRss:  4096 kB\nPss:  2048 kB\nPss_Dirty:  1024 kB\nPss_Anon:  512 kB\n"
    assert pss_mib(rollup) == 2.0
    with pytest.raises(ValueError, match="no Pss"):
        pss_mib("Rss: 1 kB\n")


GOOD = Figures("planc", first_frame=0.1, first_rows=1.0, cpu_quiet=1.0, cpu_changes=9.0, pss=100.0)
GOOD = replace(GOOD, key_quiet=10.0, key_changes=40.0, bytes_quiet=0.0, requests_per_minute=30)


@pytest.mark.parametrize(
    ("field", "value", "met"),
    [
        ("first_frame", 0.6, False),
        ("cpu_quiet", None, False),
        ("requests_per_minute", 30, True),
        ("requests_per_minute", 31, False),
        ("bytes_quiet", 0.5, False),
    ],
)
def test_a_target_is_met_or_not_and_a_missing_figure_is_no_pass(field: str, value: float | None, met: bool) -> None:
    assert all(report.verdicts(GOOD).values())
    figures = replace(GOOD)
    setattr(figures, field, value)
    assert report.verdicts(figures)[field] is met


def test_the_cursor_is_read_from_the_screen() -> None:
    screen = pyte.Screen(60, 4)
    stream = pyte.Stream(screen)
    stream.feed(" TEST  planc-test › ns\r\n› load-795f5b6c75-222zl Running\r\n  load-795f5b6c75-22lhs Running")
    assert programs.planc_cursor(screen) == (1, "load-795f5b6c75-222zl")
    assert programs.k9s_cursor(screen) is None
    stream.feed("\x1b[3;1H\x1b[46m  load-795f5b6c75-22lhs Running\x1b[m\r\n  load-795f5b6c75-33lhs")
    assert programs.k9s_cursor(screen) == (2, "load-795f5b6c75-22lhs")
