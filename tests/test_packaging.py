"""What setup.py promises: the oldest versions it admits are the ones that are tested."""

import re


def test_the_tested_minimum_is_the_stated_one(root):
    setup = (root / "setup.py").read_text(encoding="utf-8")
    core = setup[setup.index("CORE = [") : setup.index("DEV = [")]
    stated = dict(re.findall(r'"([A-Za-z0-9_.-]+)(?:\[\w+\])?>=([0-9.]+)"', core))
    lines = (root / "constraints" / "minimum.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))

    def parts(version):
        return [int(part) for part in version.split(".")]

    assert tested.keys() == stated.keys()
    for name, version in stated.items():
        assert parts(tested[name])[: len(parts(version))] == parts(version), name


def test_every_python_is_checked(root):
    setup = (root / "setup.py").read_text(encoding="utf-8")
    workflow = (root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    admitted = re.findall(r"Python :: (3\.\d+)", setup)
    assert re.findall(r'"(3\.\d+)"', workflow) == admitted
    assert f'python_requires=">={admitted[0]}"' in setup
    assert "- run: .ci/run" in workflow


def test_the_gate_builds_the_documentation(root):
    assert "mkdocs build --strict" in (root / ".ci" / "run").read_text(encoding="utf-8")
