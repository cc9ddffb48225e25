"""``tools/audit``: bills of materials of every image; an incomplete audit is not a success."""

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
    """Names and versions in a lock file, with their hashes; parsed independently of the tool."""
    found: dict[tuple[str, str], set[str]] = {}
    for line in lock.read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", line):
            hashes = found.setdefault((match[1], match[2]), set())
        hashes.update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


@pytest.mark.parametrize("name", sorted(LOCKS))
def test_a_bill_lists_all_locked_packages_with_version_and_hashes(bills: Path, name: str) -> None:
    # The tool has validated the bill before it wrote it.
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


def test_an_unreachable_database_is_reported(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"  # no server listens on the discard port
    done = audit("template", "--out", str(tmp_path), HTTPS_PROXY=nowhere, https_proxy=nowhere, NO_PROXY="")
    assert done.returncode == 2
    assert "NOT audited" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_image_is_refused(tmp_path: Path) -> None:
    done = audit("nothing", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "unknown image 'nothing'" in done.stderr
