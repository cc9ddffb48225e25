"""``POST /separate`` of the shared application: what comes back for an upload and for a request by reference."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mssbench_contract import Answer, ServiceUnderTest, decode, encode, wav
from mssbench_service.audio import FloatArray
from mssbench_service.checksums import checksum_of
from mssbench_service.formats import SEPARATION_FORMAT
from mssbench_service.musdb import STEMS


@pytest.mark.parametrize("stem", STEMS)
def test_a_single_stem_equals_the_one_in_the_zip(
    service: ServiceUnderTest, track: FloatArray, stem: str
) -> None:
    one = service.separate(track, stem=stem)
    assert one.status == 200, one.body
    assert one.headers["content-type"] in ("audio/wav", "audio/x-wav")
    assert one.body == service.stems(track)[stem]


def test_a_request_by_reference_writes_what_an_upload_returns(
    service: ServiceUnderTest, track: FloatArray
) -> None:
    out = service.data / "outs" / "Ünder & over (it's 1) [x]"
    answer = service.by_reference(track, out)
    assert answer.status == 200, answer.body
    result = answer.json()
    assert sorted(result["stems"]) == sorted(STEMS)
    assert (result["sample_rate"], result["samples"]) == (44100, track.shape[1])
    assert result["device"]
    assert result["seconds"] >= 0
    record = json.loads((out / "separation.json").read_text(encoding="utf-8"))
    assert SEPARATION_FORMAT.is_intact(record)
    assert (record.pop("version"), len(record.pop("checksum"))) == (SEPARATION_FORMAT.version, 16)
    assert record["service_version"]
    assert record["mixture_checksum"].startswith("crc32:")
    assert record["checksums"] == {f"{stem}.wav": checksum_of(out / f"{stem}.wav") for stem in STEMS}
    assert record == result
    written = {stem: (out / f"{stem}.wav").read_bytes() for stem in STEMS}
    assert written == service.stems(track)
    assert service.by_reference(track, out).status == 200, "a finished separation can be replaced"


def test_parameters_in_the_url_of_a_request_by_reference_are_used_or_refused(
    service: ServiceUnderTest, track: FloatArray
) -> None:
    names = [item["name"] for item in service.get("/info").json()["separators"]]
    body = service.reference_request(track, service.data / f"by_url_{service.separator}") | {"separator": ""}

    def post(url: str, separator: str = "") -> Answer:
        return service.post_json(url, body | {"separator": separator})

    service.problem(post("/separate?stem=vocals"), 422, "?stem=")
    service.problem(post("/separate?separator=no-such-one"), 422, "no-such-one")
    problem = service.problem(post("/separate?separator=x", names[0]), 422, "'x'")
    assert names[0] in problem["detail"]
    assert not (service.data / body["out"]).exists()
    assert post(service.path()).json()["separator"] == service.separator


def test_mono_is_separated_as_two_equal_channels(service: ServiceUnderTest, track: FloatArray) -> None:
    mono = track[:1]
    assert service.stems(mono) == service.stems(np.repeat(mono, 2, axis=0))
    notes = service.by_reference(mono, service.data / "mono").json()["notes"]
    assert any("mono" in note for note in notes)


@pytest.mark.parametrize("container", [("FLAC", "PCM_16"), ("WAV", "PCM_16"), ("WAV", "PCM_24")])
def test_integer_files_have_full_scale_1(
    service: ServiceUnderTest, track: FloatArray, container: tuple[str, str]
) -> None:
    plain, coded = {}, {}
    for name, audio in service.signals(track).items():
        # Steps of 16 bit, which float and 24 bit hold exactly. As integers, so that no zero is negative.
        steps = np.round(audio * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int32)
        plain[name] = wav((steps / 2**15).astype(np.float32))
        coded[name] = encode(steps << 16, 44100, *container)
    assert stems_of_files(service, coded) == stems_of_files(service, plain)


@pytest.mark.parametrize("container", ["OGG", "MP3"])
def test_compressed_files_are_separated_as_they_decode(
    service: ServiceUnderTest, track: FloatArray, container: str
) -> None:
    coded = {name: encode(x, 44100, container) for name, x in service.signals(track).items()}
    plain = {name: wav(decode(content)) for name, content in coded.items()}
    assert stems_of_files(service, coded) == stems_of_files(service, plain)


def stems_of_files(service: ServiceUnderTest, files: dict[str, bytes]) -> dict[str, bytes]:
    return service.stems_of(service.post_files(service.path(), files))


def test_a_range_that_cannot_be_sent_leaves_no_temporary_file(
    service: ServiceUnderTest, track: FloatArray
) -> None:
    content_type, body = service.form(track)
    for ranges in ("nonsense", "bytes=999999999999-"):
        headers = {"Content-Type": content_type, "Range": ranges}
        assert service.request("POST", service.path(), body, headers).status in (200, 400, 416)
