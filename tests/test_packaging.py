"""What setup.py promises: the versions it admits are tested, and what is built of the repository is whole."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser

import pytest

build = pytest.importorskip("build")

WORDS = "grass, brick, green ring, blue circle, yellow heart, white crescent, orange square"


def run(*arguments, cwd, **environment):
    """Run a command to its end; it must succeed."""
    done = subprocess.run(
        [*map(str, arguments)], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tracked(root):
    """The files of the repository, as git lists them; in an unpacked source distribution, all that are there."""
    if (root / ".git").exists():
        names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=root).splitlines()
        return {name for name in names if (root / name).is_file()}
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    made = re.compile(r"(^|/)(__pycache__|\.[a-z]+_cache|\.hypothesis|[\w.]+\.egg-info)/|^(PKG-INFO|setup\.cfg)$")
    return {name for name in files if not made.search(name)}


@pytest.fixture(scope="module")
def built(root, tracked, tmp_path_factory):
    """The source distribution of a copy of the repository, and the wheel that is built from it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, source / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    (archive,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return archive, wheel


def test_the_source_distribution_holds_the_repository(tracked, built):
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked <= held
    assert {name for name in held - tracked if "/" in name and not name.startswith("densevl.egg-info/")} <= {
        "/".join(name.split("/")[:depth]) for name in tracked for depth in range(1, name.count("/") + 1)
    }


def test_the_wheel_holds_the_package_with_its_data_and_configs(tracked, built):
    wanted = {name for name in tracked if name.startswith("densevl/") and not name.endswith(".gitignore")}
    wanted |= {f"densevl/{name}" for name in tracked if name.startswith("configs/")}
    with zipfile.ZipFile(built[1]) as wheel:
        held = set(wheel.namelist())
    assert {name for name in held if ".dist-info/" not in name} == wanted


def test_the_metadata(root, built):
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(wheel.read(name).decode())
        assert wheel.read(name.replace("METADATA", "licenses/LICENSE")) == (root / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert "CLIP" in metadata["Keywords"]
    page = metadata.get_payload()
    assert page.startswith("# densevl")
    assert re.findall(r"\]\((?!https://)[^)]*\)", page) == []  # an index cannot follow a link to a file
    assert "Read" in page
    assert "Segment your first image" in page
    assert "\n\n\n" not in page


def test_an_index_takes_them(built):
    pytest.importorskip("twine")
    run(sys.executable, "-m", "twine", "check", "--strict", *built, cwd=built[0].parent)


@pytest.mark.slow
def test_the_wheel_runs_the_quick_start_anywhere(root, built, tmp_path):
    site, work, home = tmp_path / "site", tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    run(*pip, site, built[1], cwd=tmp_path)
    shutil.copy(root / "demo" / "images" / "garden.png", work)
    environment = {"HOME": str(home), "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(home / ".cache")}
    densevl = [sys.executable, "-m", "densevl"]
    assert "mini" in run(*densevl, "models", cwd=work, **environment)
    mini = ["--model", "mini", "--out", "out"]
    run(*densevl, "segment", "garden.png", WORDS, *mini, cwd=work, **environment)
    run(*densevl, "refer", "garden.png", "the heart right of the ring", *mini, cwd=work, **environment)
    for name in ("garden.overlay.png", "garden.labels.png", "garden.coco.json", "garden.refer.png"):
        assert (work / "out" / name).stat().st_size > 100
    where = run(sys.executable, "-c", "import densevl; print(densevl.__file__)", cwd=work, **environment)
    assert where.startswith(str(site))


@pytest.mark.slow
def test_the_source_distribution_tests_itself(built, tmp_path):
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    some = ["tests/docs/test_site.py", "tests/core/test_files.py", "tests/test_public.py"]
    assert " passed" in run(sys.executable, "-m", "pytest", *some, cwd=folder, PYTHONPATH=str(folder))


def test_the_citation_is_valid_and_of_this_version(root, built):
    """The schema is the Citation File Format's own, version 1.2.0 (CC-BY-4.0)."""
    jsonschema, yaml = pytest.importorskip("jsonschema"), pytest.importorskip("yaml")
    schema = json.loads((root / "tests" / "golden" / "cff_1_2_0.schema.json").read_text(encoding="utf-8"))
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(citation)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**citation, "authors": []})
    assert f"densevl-{citation['version']}-" in built[1].name
    assert f'license_expression="{citation["license"]}"' in (root / "setup.py").read_text(encoding="utf-8")


def test_the_tested_minimum_is_the_stated_one(root):
    setup = (root / "setup.py").read_text(encoding="utf-8")
    core = setup[setup.index("CORE = [") : setup.index("DEV = [")]
    stated = dict(re.findall(r"""["']([A-Za-z0-9_.-]+)(?:\[[\w,]+\])?[>=]=([0-9.]+)["';]""", core))
    lines = (root / "constraints" / "minimum.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))

    def parts(version):
        return [int(part) for part in version.split(".")]

    assert tested.keys() == stated.keys()
    for name, version in stated.items():
        assert parts(tested[name])[: len(parts(version))] == parts(version), name


def test_the_image_has_versions_that_are_admitted(root, built):
    requirements = pytest.importorskip("packaging.requirements")
    lines = (root / "constraints" / "tested.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        stated = Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist")
    core = [requirements.Requirement(line) for line in stated if "extra ==" not in line]
    assert len(core) > 10
    for one in core:
        assert one.specifier.contains(tested[re.sub(r"[-_.]+", "-", one.name).lower()]), one


def test_the_image_copies_what_is_there(root):
    lines = (root / "docker" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1] if "--from" not in line]
    let_in = (root / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    assert "densevl" in copied
    for path in copied:
        assert (root / path).exists(), path
        assert f"!{path.split('/')[0]}" in let_in
    assert lines.index("USER 1000") < lines.index('ENTRYPOINT ["densevl"]')


def test_every_python_is_checked(root):
    setup = (root / "setup.py").read_text(encoding="utf-8")
    workflow = (root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    admitted = re.findall(r"Python :: (3\.\d+)", setup)
    assert re.findall(r'"(3\.\d+)"', workflow) == admitted
    assert f'python_requires=">={admitted[0]}"' in setup
    assert "- run: .ci/run" in workflow


def test_the_gate_builds_the_documentation(root):
    assert "mkdocs build --strict" in (root / ".ci" / "run").read_text(encoding="utf-8")
