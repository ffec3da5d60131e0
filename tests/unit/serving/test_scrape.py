"""One exposition out of many: what Prometheus's own parser reads from it is what went in."""

from __future__ import annotations

from collections import Counter as Tally

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.telemetry.scrape import merge

LABEL_VALUES = st.text(st.characters(codec="utf-8"), max_size=12)


def exposition(requests: int, *, model: str = "base") -> str:
    """What one process exposes: a metric of each kind."""
    registry = CollectorRegistry()
    Counter("requests", "How many.", ("model",), registry=registry).labels(model).inc(requests)
    Gauge("queue", "How long.", registry=registry).set(3)
    histogram = Histogram("wait_seconds", "How slow.", ("model",), registry=registry)
    histogram.labels(model).observe(0.2)
    Summary("size", "How large.", registry=registry).observe(7)
    return generate_latest(registry).decode()


def samples(text: str) -> Tally[tuple[str, frozenset[tuple[str, str]], float]]:
    """Every sample as Prometheus reads it."""
    return Tally(
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


def test_families_come_once() -> None:
    """HELP and TYPE of a family stand once, before all of its samples, as Prometheus demands."""
    merged = merge([("one", exposition(1)), ("two", exposition(2))])
    heads = [line for line in merged.splitlines() if line.startswith("#")]
    assert len(heads) == len(set(heads))
    families = [family.name for family in text_string_to_metric_families(merged)]
    assert len(families) == len(set(families))
    assert {"requests", "queue", "wait_seconds", "size"} <= set(families)


def test_histograms_stay_whole() -> None:
    """Buckets, sum and count of a histogram are one family, for each process its own series."""
    merged = merge([("one", exposition(1)), ("two", exposition(1))])
    (family,) = (f for f in text_string_to_metric_families(merged) if f.name == "wait_seconds")
    assert family.type == "histogram"
    for process in ("one", "two"):
        own = {s.name for s in family.samples if s.labels["process"] == process}
        assert own == {"wait_seconds_bucket", "wait_seconds_sum", "wait_seconds_count"}


def test_every_sample_is_labelled() -> None:
    """Each sample has the label of its process, and keeps its value and its other labels."""
    merged = samples(merge([("one", exposition(1)), ("two", exposition(2))]))
    for process, text in (("one", exposition(1)), ("two", exposition(2))):
        for (name, labels, value), times in samples(text).items():
            if not name.endswith("_created"):
                assert merged[name, labels | {("process", process)}, value] == times


def test_a_family_that_only_one_has() -> None:
    """A metric that one process alone has is there with its head."""
    merged = merge([("one", exposition(1)), ("engine", "# TYPE up gauge\nup 1\n")])
    assert '# TYPE up gauge\nup{process="engine"} 1' in merged


def test_names_that_look_like_suffixes() -> None:
    """A gauge that is called like a histogram's part is a family of its own."""
    text = "# TYPE wait_sum gauge\nwait_sum 3\n# TYPE wait histogram\nwait_count 1\nwait_sum 3\n"
    merged = merge([("one", text)])
    assert merged.index("# TYPE wait_sum gauge") < merged.index('wait_sum{process="one"} 3')


def test_nothing() -> None:
    """No process, an empty one, and lines that are no samples do no harm."""
    assert samples(merge([])) == Tally()
    assert samples(merge([("one", ""), ("two", "\n# a comment\n}{\n")])) == Tally()


@settings(max_examples=50)
@given(st.lists(st.tuples(LABEL_VALUES, LABEL_VALUES, st.integers(0, 9)), max_size=4))
def test_any_label_survives(processes: list[tuple[str, str, int]]) -> None:
    """Whatever processes and labels are called, the parser reads back what went in."""
    merged = samples(merge([(p, exposition(n, model=model)) for p, model, n in processes]))
    expected: Tally[tuple[str, frozenset[tuple[str, str]], float]] = Tally()
    for process, model, n in processes:
        for (name, labels, value), times in samples(exposition(n, model=model)).items():
            expected[name, labels | {("process", process)}, value] += times
    timeless = {key: n for key, n in merged.items() if not key[0].endswith("_created")}
    assert timeless == {k: n for k, n in expected.items() if not k[0].endswith("_created")}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=80)), max_size=3))
def test_any_text_is_survived(expositions: list[tuple[str, str]]) -> None:
    """A process that answers with something else cannot break the scrape of the others."""
    merged = merge([*expositions, ("good", exposition(5))])
    assert 'requests_total{process="good",model="base"} 5.0' in merged
