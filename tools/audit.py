"""Write bills of materials (CycloneDX) of every image and list known vulnerabilities; see ``tools/audit``.

A bill lists what the image's lock files pin, each package with the hashes that pip accepts. PyTorch is pinned by its
version only, because the builder of an image chooses its index; the CUDA libraries that PyTorch requires are not
listed. The packages of this repository are not listed either: they are installed from the checkout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from pip_requirements_parser import RequirementsFile

ROOT = Path(__file__).resolve().parents[1]
REDIS = "redis:7-bookworm"
LISTED = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"


def locks() -> dict[str, list[Path]]:
    """Return the lock files of each image, of the demo and of development."""
    found = {}
    for path in sorted(ROOT.glob("services/*/requirements.lock")):
        torch, cuda = path.with_name("torch.txt"), path.with_name("cuda.lock")
        found[path.parent.name] = [path, *([torch] if torch.exists() else [])]
        if cuda.exists():  # the image that is built for GPUs
            found[f"{path.parent.name}-cuda"] = [path, cuda]
    orchestrator = ROOT / "orchestrator"
    return found | {
        "orchestrator": [orchestrator / "requirements.lock"],
        "demo": [orchestrator / "demo.lock"],
        "development": [orchestrator / "development.lock"],
    }


def python_components(paths: Iterable[Path]) -> Iterator[Component]:
    for path in paths:
        parsed = RequirementsFile.from_file(str(path))
        if parsed.invalid_lines:
            raise SystemExit(f"{path}: {parsed.invalid_lines[0].error_message}")
        for pinned in parsed.requirements:
            name, version = pinned.name, pinned.get_pinned_version
            if not name or not version:
                raise SystemExit(f"{path}: {pinned.line!r} is not pinned to a version")
            yield Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=version,
                purl=PackageURL("pypi", name=name, version=version),
                bom_ref=f"pypi:{name}",
                hashes=[
                    HashType(alg=HashAlgorithm.SHA_256, content=option.removeprefix("sha256:"))
                    for option in pinned.hash_options
                ],
            )


def debian_components(image: str) -> Iterator[Component]:
    """Yield the Debian packages that are installed in `image`."""
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "dpkg-query", image]
    done = subprocess.run(
        [*command, "--show", f"--showformat={LISTED}"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"cannot list the Debian packages of {image}: {done.stderr.strip().splitlines()[-1]}"
        )
    for line in done.stdout.splitlines():
        status, name, version, architecture = line.split("\t")
        if status == "installed":
            yield Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=version,
                purl=PackageURL("deb", "debian", name, version, {"arch": architecture}),
                bom_ref=f"deb:{name}:{architecture}",
            )


def bill(name: str, components: Iterable[Component]) -> str:
    """Return CycloneDX 1.6 as JSON; the same components give the same text."""
    bom = Bom(components=components)
    bom.metadata.component = Component(
        type=ComponentType.CONTAINER, name=f"mssbench/{name}", bom_ref=f"mssbench/{name}"
    )
    for component in bom.components:
        bom.register_dependency(component)
    bom.register_dependency(bom.metadata.component, bom.components)
    contents = json.dumps(sorted(f"{part.purl} {part.hashes}" for part in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, name + contents)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]
    text = json.dumps(document, indent=1)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        raise SystemExit(f"the bill of materials of {name} is not valid CycloneDX: {problem}")
    return text + "\n"


def audit(name: str, paths: Iterable[Path], service: str) -> tuple[list[str], list[str]]:
    """Return the vulnerabilities of the packages in `paths`, and the packages that could not be audited."""
    known, unknown = [], []
    for path in paths:
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pip_audit",
                    "--requirement",
                    str(path),
                    "--no-deps",
                    "--disable-pip",
                ),
                *("--format", "json", "--progress-spinner", "off", "--vulnerability-service", service),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            packages = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            unknown.append(f"{name}: {path.relative_to(ROOT)} could not be audited: {reason[:200]}")
            continue
        for package in packages:
            if "skip_reason" in package:
                unknown.append(f"{name}: {package['skip_reason']}")
            for found in package.get("vulns", []):
                fixed = ", ".join(found["fix_versions"]) or "no version"
                known.append(
                    f"{name}: {package['name']} {package['version']}: {found['id']}, fixed in {fixed}"
                )
    return known, unknown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="only these (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "sbom", help="folder for the bills (sbom)")
    parser.add_argument("--sbom-only", action="store_true", help="do not look for vulnerabilities")
    parser.add_argument("--debian", action="store_true", help="include the Debian packages of the images")
    parser.add_argument("--vulnerability-service", choices=("pypi", "osv"), default="osv")
    options = parser.parse_args()
    found = locks()
    unknown_images = sorted(set(options.images) - set(found))
    if unknown_images:
        parser.error(f"unknown image {unknown_images[0]!r}; known: {', '.join(found)}")
    chosen = {name: found[name] for name in options.images or found}

    options.out.mkdir(parents=True, exist_ok=True)
    for name, paths in chosen.items():
        components = list(python_components(paths))
        if options.debian and name not in (
            "demo",
            "development",
            "template",
            "spleeter-cuda",
        ):  # no image
            components += debian_components(f"mssbench/{name}")
        write(options.out / f"{name}.cdx.json", bill(name, components), len(components))
    if options.debian and not options.images:
        components = list(debian_components(REDIS))
        write(options.out / "redis.cdx.json", bill("redis", components), len(components))
    if options.sbom_only:
        return 0

    known: list[str] = []
    unknown: list[str] = []
    for name, paths in chosen.items():
        vulnerabilities, not_audited = audit(name, paths, options.vulnerability_service)
        known += vulnerabilities
        unknown += not_audited
        print(f"{name}: {len(vulnerabilities)} known vulnerabilities, {len(not_audited)} not audited")
    print("\n".join(known))
    if unknown:
        print("\n".join(unknown[:20]), file=sys.stderr)
        print(
            f"{len(unknown)} packages or files were NOT audited: the vulnerability database could not be "
            "reached, or does not list them",
            file=sys.stderr,
        )
    return 1 if known else 2 if unknown else 0


def write(path: Path, text: str, components: int) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    print(f"{path}: {components} components")


if __name__ == "__main__":
    sys.exit(main())
