"""A throw-away root filesystem: what a machine finds at its first start, over a Debian that stays as it is."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DEBIAN = Path(os.environ["CLOWDER_ROOT"])
USER_DATA = Path(os.environ["CLOWDER_USER_DATA"])
ARTIFACTS = Path(os.environ["CLOWDER_ARTIFACTS"])

# What cloud-init itself does with the two parts of it that user data uses, with its own code.
APPLY = """
import subprocess, sys, yaml
from cloudinit import util
from cloudinit.config import cc_write_files
config = yaml.safe_load(sys.stdin)
cc_write_files.write_files("check", config["write_files"], "root:root")
with open("/runcmd", "w") as script:
    script.write(util.shellify(config["runcmd"]))
subprocess.run(["sh", "/runcmd"], check=True)
"""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True, **options)


class Root:
    """One machine. Its mounts are this process's own, its files are in memory, and both are gone with it."""

    def __enter__(self):
        self.work = Path(tempfile.mkdtemp())
        self.devices = []
        run("mount", "-t", "tmpfs", "root", self.work)
        layers = {name: self.work / name for name in ("upper", "work", "root")}
        for layer in layers.values():
            layer.mkdir()
        self.path = layers["root"]
        options = f"lowerdir={DEBIAN},upperdir={layers['upper']},workdir={layers['work']}"
        run("mount", "-t", "overlay", "overlay", "-o", options, self.path)
        run("mount", "-t", "proc", "proc", self.at("/proc"))
        self.at("/usr/local/bin/systemctl").write_bytes((HERE / "stand-ins/systemctl.sh").read_bytes())
        self.at("/usr/local/bin/systemctl").chmod(0o755)
        self.at("/calls").touch()
        self.at("/etc/fstab").write_text("# Nothing of the image.\n")
        return self

    def __exit__(self, *_):
        run("umount", "--recursive", self.path)
        for device in self.devices:
            run("losetup", "--detach", device)
        run("umount", self.work)
        self.work.rmdir()

    def at(self, path):
        return self.path / path.lstrip("/")

    def carry_artifacts(self):
        """The image has all that is installed."""
        shutil.copytree(ARTIFACTS, self.at("/opt/clowder"))

    def attach(self, serial, image):
        """A disk with that serial number, as the kernel shows one with NVMe."""
        device = run("losetup", "--find", "--show", image).stdout.strip()
        self.devices.append(device)
        serials = self.at(f"/sys/block/{Path(device).name}/device")
        serials.mkdir(parents=True)
        (serials / "serial").write_text(f"{serial}\n")
        os.mknod(self.at(device), 0o600 | 0o060000, os.stat(device).st_rdev)
        return device

    def image(self, mebibytes=64):
        image = self.work / f"disk-{len(self.devices)}"
        with open(image, "wb") as file:
            file.truncate(mebibytes << 20)
        return image

    def apply(self, variant):
        """cloud-init's work at the first start."""
        user_data = USER_DATA / f"{variant}.yaml"
        with open(user_data) as file:
            run("chroot", self.path, "python3", "-c", APPLY, stdin=file)
        kept = self.at("/var/lib/cloud/instances/one")
        kept.mkdir(parents=True)
        for name in ("user-data.txt", "user-data.txt.i", "cloud-config.txt", "obj.pkl"):
            shutil.copy(user_data, kept / name)

    def bootstrap(self):
        """The service's work: its exit status, and what it says."""
        script = self.path, "/usr/local/sbin/clowder-bootstrap"
        # systemd's environment, not this one's.
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        done = subprocess.run(
            ["chroot", *script], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return done.returncode, done.stdout

    def calls(self):
        return self.at("/calls").read_text().splitlines()

    def mode(self, path):
        status = self.at(path).stat()
        assert (status.st_uid, status.st_gid) == (0, 0), path
        return f"{status.st_mode & 0o7777:04o}"

    def read(self, path):
        return self.at(path).read_text()

    def mounted(self, path):
        return os.path.ismount(self.at(path))

    def everything(self):
        """Each file outside of /proc and of the notes: kind, mode, time of change, content."""
        found = {}
        for folder, folders, files in os.walk(self.work / "upper"):
            for name in folders + files:
                path = Path(folder) / name
                status = path.lstat()
                content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
                found[str(path)] = (status.st_mode, status.st_mtime_ns if path.is_file() else 0, content)
        del found[str(self.work / "upper/calls")]
        return found
