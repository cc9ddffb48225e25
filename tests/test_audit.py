"""``tools/audit``: what is in every image can be said, and nothing that could not be found out counts as good."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {path.parent.name: [path] for path in ROOT.glob("services/*/requirements.lock")}
LOCKS |= {"spleeter-cuda": [ROOT / "services/spleeter" / name for name in ("requirements.lock", "cuda.lock")]}
LOCKS |= {"orchestrator": [ROOT / "orchestrator" / "requirements.lock"]}
LOCKS |= {name: [ROOT / "orchestrator" / f"{name}.lock"] for name in ("demo", "development")}


def audit(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "tools" / "audit"), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sbom")
    done = audit("--sbom-only", "--out", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pinned(lock: Path) -> dict[tuple[str, str], set[str]]:
    """Names and versions in a lock file, with their hashes; read apart from the tool."""
    found: dict[tuple[str, str], set[str]] = {}
    for line in lock.read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", line):
            hashes = found.setdefault((match[1], match[2]), set())
        hashes.update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


@pytest.mark.parametrize("name", sorted(LOCKS))
def test_a_bill_lists_what_the_lock_pins_with_version_and_hashes(bills: Path, name: str) -> None:
    # That it is valid CycloneDX the tool has checked, or it would have written nothing.
    bill = json.loads((bills / f"{name}.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    listed = {
        (part["name"], part["version"]): {value["content"] for value in part.get("hashes", [])}
        for part in bill["components"]
    }
    torch = LOCKS[name][0].with_name("torch.txt")
    expected = {part: hashes for lock in LOCKS[name] for part, hashes in pinned(lock).items()}
    assert all(expected.values())
    if torch.exists():
        expected |= {(line.split("==")[0], line.split("==")[1]): set() for line in torch.read_text().split()}
    assert listed == expected
    assert all(part["purl"].startswith(f"pkg:pypi/{part['name']}@") for part in bill["components"])


def test_the_same_lock_gives_the_same_bill(bills: Path, tmp_path: Path) -> None:
    assert audit("--sbom-only", "--out", str(tmp_path), "oracle").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["oracle.cdx.json"]
    assert (tmp_path / "oracle.cdx.json").read_bytes() == (bills / "oracle.cdx.json").read_bytes()


def test_a_database_out_of_reach_is_no_clean_bill(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"  # nobody listens at the port for discarding
    done = audit("template", "--out", str(tmp_path), HTTPS_PROXY=nowhere, https_proxy=nowhere, NO_PROXY="")
    assert done.returncode == 2
    assert "NOT audited" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_image_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = audit("nothing", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "there is no 'nothing'" in done.stderr
