import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from adapters.errors import HeaderError
from adapters.format.safetensors import HeaderLimits, read_header, scan
from tests.fakes.peft_dirs import safetensors_bytes, with_header


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file under test lies."""
    return tmp_path / "adapter_model.safetensors"


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    """One tensor of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_file_of_the_reference_library_is_read(path: Path) -> None:
    """Names, shapes, dtypes and metadata are what the safetensors library wrote."""
    arrays: dict[str, NDArray[Any]] = {
        "a": np.ones((2, 3), np.float32),
        "b": np.zeros(5, np.float16),
    }
    save_file(arrays, str(path), metadata={"format": "pt"})
    header = read_header(path)
    assert {name: (info.dtype, info.shape) for name, info in header.tensors.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("F16", (5,)),
    }
    assert header.metadata == {"format": "pt"}
    assert header.file_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("header", "data", "code"),
    [
        pytest.param({"a": entry([2], 0, 8)}, 4, "header-truncated", id="file-too-short"),
        pytest.param({"a": entry([2], 0, 8)}, 9, "header-offsets", id="bytes-behind"),
        pytest.param({"a": entry([1], 4, 8)}, 8, "header-offsets", id="gap-at-start"),
        pytest.param({"a": entry([2], 8, 0)}, 8, "header-offsets", id="end-before-begin"),
        pytest.param({"a": entry([3], 0, 8)}, 8, "header-tensor", id="shape-and-size-differ"),
        pytest.param({"a": entry([-2], 0, 8)}, 8, "header-tensor", id="negative-dimension"),
        pytest.param({"a": entry([True], 0, 4)}, 4, "header-tensor", id="boolean-dimension"),
        pytest.param({"a": entry([2.0], 0, 8)}, 8, "header-tensor", id="float-dimension"),
        pytest.param({"a": entry([1] * 9, 0, 4)}, 4, "header-tensor", id="nine-dimensions"),
        pytest.param({"a": entry([10**30, 10**30], 0, 8)}, 8, "header-tensor", id="astronomic"),
        pytest.param({"a": entry([2], 0, 8, "F31")}, 8, "header-tensor", id="unknown-dtype"),
        pytest.param({"a": {**entry([2], 0, 8), "x": 1}}, 8, "header-tensor", id="more-fields"),
        pytest.param({"a": 3}, 0, "header-tensor", id="not-a-tensor"),
        pytest.param({"": entry([2], 0, 8)}, 8, "header-tensor", id="empty-name"),
        pytest.param({"__metadata__": {"a": 1}}, 0, "header-json", id="metadata-not-text"),
        pytest.param(
            {"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12, "header-offsets", id="overlap"
        ),
        pytest.param(b"[]", 0, "header-json", id="not-an-object"),
        pytest.param(b" {}", 0, "header-json", id="leading-space"),
        pytest.param(b"{\xff}", 0, "header-json", id="not-utf8"),
        pytest.param(b'{"a":' * 20_000, 0, "header-json", id="nested"),
        pytest.param(b'{"__metadata__":{},"__metadata__":{}}', 0, "header-json", id="twice"),
    ],
)
def test_an_inconsistent_header_is_refused(
    path: Path, header: dict[str, Any] | bytes, data: int, code: str
) -> None:
    """Each lie in a header has its own code."""
    path.write_bytes(with_header(header, b"\0" * data))
    with pytest.raises(HeaderError) as refused:
        read_header(path)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "header-truncated"),
        (b"\1\0\0", "header-truncated"),
        (b"\xff" * 20, "header-too-large"),
        (b"\x20" + b"\0" * 7 + b"{}", "header-truncated"),
    ],
)
def test_a_length_that_lies_is_refused_before_anything_is_read(
    path: Path, content: bytes, code: str
) -> None:
    """No header length makes us read more than the limit or the file."""
    path.write_bytes(content)
    with pytest.raises(HeaderError) as refused:
        read_header(path)
    assert refused.value.code == code


def test_limits_hold(path: Path) -> None:
    """A caller's limits on header size and tensor count are kept."""
    tensors = {f"t{index}": ("F32", np.ones(1)) for index in range(20)}
    path.write_bytes(safetensors_bytes(tensors))
    for limits in (HeaderLimits(max_header_bytes=100), HeaderLimits(max_tensors=19)):
        with pytest.raises(HeaderError) as refused:
            read_header(path, limits)
        assert refused.value.code == "header-too-large"


def test_links_are_followed_only_on_request(path: Path) -> None:
    """A link in a pushed directory is not a weights file; in a model cache it is."""
    path.with_name("real").write_bytes(safetensors_bytes({"a": ("F32", np.ones(1))}))
    path.symlink_to(path.with_name("real"))
    with pytest.raises(HeaderError):
        read_header(path)
    assert read_header(path, follow_links=True).tensors.keys() == {"a"}


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
@pytest.mark.parametrize(
    ("values", "finite", "zero", "largest"),
    [
        ([0.0, -0.0, 0.0], True, True, 0.0),
        ([0.5, -1.5, 0.25], True, False, 1.5),
        ([1.0, math.nan, 2.0], False, False, math.inf),
        ([1.0, -math.inf], False, False, math.inf),
        ([], True, True, 0.0),
    ],
)
def test_the_bits_of_every_float_format_are_understood(
    path: Path, dtype: str, values: list[float], finite: bool, zero: bool, largest: float
) -> None:
    """Finite, zero and largest magnitude are right for all four formats, signs aside."""
    path.write_bytes(safetensors_bytes({"a": (dtype, np.array(values))}))
    stats = scan(path, read_header(path))["a"]
    assert (stats.finite, stats.zero, stats.max_abs) == (finite, zero, largest)


def test_a_nan_behind_the_first_chunk_is_found(path: Path) -> None:
    """The scan reaches the last element of a tensor larger than one read."""
    values = np.zeros(700_000, np.float32)
    values[-1] = np.nan
    path.write_bytes(safetensors_bytes({"z": ("F16", np.ones(3)), "a": ("F32", values)}))
    stats = scan(path, read_header(path))
    assert not stats["a"].finite
    assert stats["z"].finite


def test_a_file_that_shrinks_meanwhile_is_an_error(path: Path) -> None:
    """Truncation between header and scan is a typed error, not a crash of the process."""
    path.write_bytes(safetensors_bytes({"a": ("F32", np.ones(1000))}))
    header = read_header(path)
    with path.open("r+b") as file:
        file.truncate(200)
    with pytest.raises(HeaderError) as refused:
        scan(path, header)
    assert refused.value.code == "header-truncated"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, 220), value=st.integers(0, 255), cut=st.integers(0, 300))
def test_no_damage_crashes_the_reader(path: Path, position: int, value: int, cut: int) -> None:
    """A changed byte or a cut anywhere is read, or refused with a typed error."""
    tensors = {"a": ("F32", np.ones((3, 4))), "b": ("BF16", np.ones(7))}
    content = bytearray(safetensors_bytes(tensors, {"format": "pt"}))
    content[position % len(content)] = value
    path.write_bytes(bytes(content[: len(content) - cut % len(content)]))
    with suppress(HeaderError):
        scan(path, read_header(path))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    header=st.dictionaries(
        st.sampled_from(["a", "b", "__metadata__"]),
        JSON
        | st.fixed_dictionaries(
            {"dtype": st.sampled_from(["F32", "BF16", "F4"]), "shape": JSON, "data_offsets": JSON}
        ),
    )
)
def test_no_header_crashes_the_reader(path: Path, header: dict[str, Any]) -> None:
    """Any JSON in the place of the header is read, or refused with a typed error."""
    path.write_bytes(with_header(json.dumps(header).encode(), b"\0" * 16))
    with suppress(HeaderError):
        read_header(path)
