"""docker for the tests: no container, the same steps; ENTRYPOINT, CMD, ENV and HEALTHCHECK are the Dockerfile's.

It is a program: `docker.py ROOT PROGRAMS build …`, or `… compose run|up|exec|down …`. The volume is ROOT/data.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 30  # seconds until it must be healthy


def main(root, programs, words):
    text = re.sub(r"\\\n", " ", (root / "deploy/Dockerfile").read_text())
    image = text.rpartition("\nFROM ")[2]

    def said(order):
        return json.loads(re.search(rf"^{order} (?:--\S+ +)*(?:CMD )?(\[.*\])$", image, re.MULTILINE)[1])

    def here(word):
        word = word.replace("/data", f"{root}/data").replace("/run/secrets/livechat", f"{root}/deploy/livechat.secret")
        return word.replace("127.0.0.1:9464", f"127.0.0.1:{admin}").replace("0.0.0.0:8080", f"0.0.0.0:{public}")

    public, admin = (root / "run/ports").read_text().split()
    user = (root / "run/user").read_text().split()
    env = {"PATH": f"{programs}/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {"TALKWIRE_CONFIG": here(re.search(r"TALKWIRE_CONFIG=(\S+)", image)[1])}

    def run(words, **how):
        return subprocess.Popen([*user, *map(here, words)], cwd=root / "data", env=env, **how)

    if words[0] == "build":
        return 0 if (root / words[words.index("--file") + 1]).exists() else 1
    verb, rest = words[1], words[2:]
    name = rest.index("talkwire") if "talkwire" in rest else 0
    options, rest = rest[:name], rest[name + 1 :]
    if verb == "run":
        entry = [options[options.index("--entrypoint") + 1]] if "--entrypoint" in options else said("ENTRYPOINT")
        return run([*entry, *rest]).wait()
    if verb == "exec":
        return run(rest).wait()
    if verb == "up":
        log = (root / "run/talkwire.log").open("ab")
        daemon = run([*said("ENTRYPOINT"), *said("CMD")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        (root / "run/docker.pid").write_text(str(daemon.pid))
        until = time.monotonic() + LIMIT
        while time.monotonic() < until and daemon.poll() is None:
            if run(said("HEALTHCHECK"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait() == 0:
                return 0
        return 1
    if (pid := root / "run/docker.pid").exists():  # down
        os.kill(int(pid.read_text()), getattr(signal, re.search(r"^STOPSIGNAL (\w+)$", image, re.MULTILINE)[1]))
        pid.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
