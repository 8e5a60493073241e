"""What makes the image: read by a test, its steps taken without Docker."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import ROOT, Reader
from tests.operator.machine import program
from tests.parts.ports import free_ports

DEPLOY = ROOT / "deploy"
PAGE = ROOT / "docs" / "howto" / "containers.md"
pytestmark = pytest.mark.skipif(
    not DEPLOY.is_dir(), reason="reads the checkout's own files; this is a copy of the tests"
)
DOCKERFILES = ("Dockerfile", "Dockerfile.email")
SECRET = re.compile(r"(?i)(token|password|secret|api_?key)\s*[=:]\s*['\"]?\w")


def orders(text):
    """Give the orders of a Dockerfile, each on one line."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def faults_of(text):
    """Name what is wrong with a Dockerfile."""
    found = orders(text)
    stages = [rest for order, rest in found if order == "FROM"]
    for stage in stages:
        base = stage.split()[0]
        if not re.fullmatch(r"[\w./-]+:\d[\w.-]*", base):
            yield f"{base}: name a version"
    last = found[max(i for i, (order, _) in enumerate(found) if order == "FROM") :]
    users = [rest for order, rest in last if order == "USER"]
    if not users or not re.match(r"[1-9]\d*:[1-9]\d*$", users[-1]):
        yield "it ends as root; say USER with numbers, which Kubernetes can check"
    if not stages[-1].startswith("talkwire:") and not any(
        order == "HEALTHCHECK" and "/readyz" in rest for order, rest in last
    ):
        yield "no HEALTHCHECK on /readyz"
    if not any(order == "LABEL" and "image.licenses=" in rest for order, rest in last):
        yield "no licence"
    for order, rest in found:
        if order in ("ENV", "ARG", "RUN") and SECRET.search(rest):
            yield f"a secret in {order}"
        if order == "ADD":
            yield "ADD fetches and unpacks; COPY does not"
        if order == "RUN" and re.search(r"pip install (?!.*(--require-hashes|--no-index))", rest):
            yield "pip install without hashes"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_made_from_what_is_named_and_ends_without_root(name):
    assert list(faults_of((DEPLOY / name).read_text())) == []


def test_a_dockerfile_with_every_fault_is_refused():
    text = "FROM python:latest\nADD https://x.example/y /y\nENV TOKEN=abc\nRUN pip install talkwire\nUSER root\n"
    assert [fault.split(":")[0].split(";")[0] for fault in faults_of(text)] == [
        "python",
        "it ends as root",
        "no HEALTHCHECK on /readyz",
        "no licence",
        "ADD fetches and unpacks",
        "a secret in ENV",
        "pip install without hashes",
    ]


def test_the_image_without_e_mail_is_made_without_its_library(tmp_path):
    text = (DEPLOY / "Dockerfile").read_text()
    lock = tmp_path / "run.txt"
    lock.write_text(
        "aiohttp==3 \\\n    --hash=sha256:a\naioimaplib==2 \\\n    --hash=sha256:b \\\n    --hash=sha256:c\nalembic==1 \\\n    --hash=sha256:d\n"
    )
    order = re.search(r"sed '([^']*)' /build/run.txt", text)[1]
    done = subprocess.run(["sed", order, str(lock)], capture_output=True, text=True, check=True)
    assert done.stdout == "aiohttp==3 \\\n    --hash=sha256:a\nalembic==1 \\\n    --hash=sha256:d\n"
    assert wheels_of(text) == {"talkwire", *(name for name, gpl in ours() if not gpl)}
    assert wheels_of((DEPLOY / "Dockerfile.email").read_text()) == {name for name, gpl in ours() if gpl}


def wheels_of(text):
    """Name the distributions whose wheels a Dockerfile takes in."""
    copied = next(rest for order, rest in orders(text) if order == "COPY" and "wheels" in rest)
    return set(re.findall(r"dist/(\w+)-\*\.whl", copied))


def ours():
    """Give the plugins, each with the libraries under the GPL that it says it brings along."""
    for described in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        read = tomllib.loads(described.read_text())
        yield read["project"]["name"].replace("-", "_"), read.get("tool", {}).get("talkwire", {}).get("gpl", {})


def test_an_image_is_labelled_by_the_licences_that_bind_whoever_passes_it_on():
    named = {
        "Dockerfile": "Apache-2.0 AND LGPL-3.0-only",
        "Dockerfile.email": "Apache-2.0 AND LGPL-3.0-only AND GPL-3.0-only",
    }
    for name, licences in named.items():
        assert f'image.licenses="{licences}"' in (DEPLOY / name).read_text()
    locked = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE))
    assert locked & runpy.run_path(str(ROOT / "tools/licences.py"))["LGPL_BY_NAME"]


def test_the_page_for_a_machine_says_of_each_plugin_what_it_needs_of_the_world():
    table = re.findall(r"^\| \[(talkwire-[\w-]+)\]", PAGE.with_name("install-on-a-vm.md").read_text(), re.MULTILINE)
    assert {"talkwire_livechat", *(name.replace("-", "_") for name in table)} == {name for name, _ in ours()}


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.environ.get("TALKWIRE_PROVE") != "1", reason="installs the lock: make prove runs it")
def test_the_steps_of_both_images_give_the_plugins_that_they_name(tmp_path):
    """The orders COPY and RUN as they stand, below a folder of the test; what only root does is the page's test."""
    subprocess.run([sys.executable, str(ROOT / "tools/dist.py")], check=True)
    for name in DOCKERFILES:
        for order, rest in orders((DEPLOY / name).read_text()):
            if order == "COPY" and not rest.startswith("--"):
                *sources, target = rest.split()
                (tmp_path / target.strip("/")).mkdir(parents=True, exist_ok=True)
                for source in sources:
                    for found in ROOT.glob(source):
                        shutil.copy(found, tmp_path / target.strip("/"))
            elif order == "RUN" and "pip install" in rest:
                moved = re.sub(r"(?<![\w.])/(build|opt)/", rf"{tmp_path}/\1/", f"{rest} ")
                moved = moved.replace("rm -r /build", f"rm -r {tmp_path}/build").replace(
                    "python -m venv", "python3 -m venv"
                )
                env = {**os.environ, "PATH": f"{tmp_path}/opt/talkwire/bin:{os.environ['PATH']}"}
                subprocess.run(["sh", "-ec", moved], check=True, env=env, stdout=subprocess.DEVNULL)
        (tmp_path / "talkwire.toml").write_text("")
        shown = subprocess.run(
            [f"{tmp_path}/opt/talkwire/bin/talkwire", "plugins", "--json"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        ).stdout
        there = {f"talkwire_{one['name']}" for one in json.loads(shown)}
        wanted = {plugin for plugin, gpl in ours() if not gpl or name == "Dockerfile.email"}
        assert there == wanted


def test_the_service_may_little_and_keeps_what_lasts_on_a_volume():
    made = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (service,) = made["services"].values()
    version = re.search(r'^version = "(.*)"$', (ROOT / "core/pyproject.toml").read_text(), re.MULTILINE)[1]
    assert service["image"] == f"talkwire:{version}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["volumes"] == ["data:/data"]
    assert "environment" not in service
    assert all("file" in secret for secret in made["secrets"].values())
    for name in DOCKERFILES:
        text = (DEPLOY / name).read_text()
        assert f":{version}" in text
        assert "Not built in CI" in text


@pytest.mark.prove
@pytest.mark.skipif(os.environ.get("TALKWIRE_PROVE") != "1", reason="ten commands: make prove runs it")
def test_the_page_does_what_it_says_without_docker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docker")
    shutil.copytree(DEPLOY, folder / "deploy")
    for name in ("data", "run", "sbin"):
        (folder / name).mkdir()
    public, admin = free_ports(2)
    (folder / "run/ports").write_text(f"{public} {admin}")
    (folder / "run/user").write_text("")
    docker = f"exec {sys.executable} -I {Path(__file__).parent / 'docker.py'} {folder} {sys.prefix}"
    program(folder / "sbin/docker", f'{docker} "$@"')
    env = {"PATH": f"{folder}/sbin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    reader = Reader(
        folder,
        env,
        {
            "wrote /data": f"wrote {folder}/data",
            "${file:/run/secrets/livechat}": f"${{file:{folder}/deploy/livechat.secret}}",
        },
    )
    settings = folder / "data/talkwire.toml"
    reader.after["talkwire init"] = lambda: settings.write_text(settings.read_text().replace(":9464", f":{admin}"))
    try:
        reader.read(PAGE)
        assert settings.stat().st_mode & 0o777 == 0o600
    finally:
        subprocess.run([folder / "sbin/docker", "compose", "down"], check=True)
