"""The study on a cluster: Snakemake hands its jobs to a real Slurm of one node, set up here on
loopback and taken down again. Slow, and it needs Debian's slurm-wlm and munge, so it runs where
CURVLAB_FULL is set (as `make full` does)."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent / "experiments"
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scancel")

pytestmark = pytest.mark.skipif(
    not os.environ.get("CURVLAB_FULL"), reason="set CURVLAB_FULL=1 to set up a Slurm (a minute)"
)

SLURM = """
ClusterName=book
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MinJobAge=300
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_slurm() -> None:
    """Installs Debian's packages where they are missing and may be installed."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        install = ["apt-get", "install", "-y", "--no-install-recommends", "slurm-wlm", "munge"]
        if os.geteuid() == 0 and shutil.which("apt-get"):
            subprocess.run(install, check=False, capture_output=True)
        if missing := [name for name in NEEDED if not shutil.which(name)]:
            pytest.fail(f"requires {', '.join(missing)}: {' '.join(install)}")


@pytest.fixture
def cluster(tmp_path_factory):
    require_slurm()
    # A socket's path has at most 108 bytes, so not below pytest's deep folders.
    folder = Path(f"/tmp/slurm-{os.getpid()}")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    config = folder / "slurm.conf"
    # Slurm counts the processors it sees, not those that this process may use.
    cpus = os.cpu_count() or 1
    config.write_text(SLURM.format(
        folder=folder, host=socket.gethostname().split(".")[0], controller=free_port(),
        daemon=free_port(), user=os.environ.get("USER") or "root", cpus=cpus, memory=6_000,
    ))
    # Snakemake's job step clears SLURM_CONF and relies on /etc/slurm, which is not ours to write.
    (folder / "bin").mkdir()
    step = folder / "bin" / "srun"
    step.write_text(f'#!/bin/sh\nSLURM_CONF={config} exec {shutil.which("srun")} "$@"\n')
    step.chmod(0o755)
    path = os.pathsep.join([str(step.parent), os.environ["PATH"]])
    environment = {**os.environ, "SLURM_CONF": str(config), "PATH": path}
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={key}",
         f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
         f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-f", str(config)],
    ]
    running = []
    try:
        with (folder / "daemons.log").open("w") as log:
            for daemon in daemons:
                running.append(subprocess.Popen(daemon, stdout=log, stderr=log, env=environment))
                time.sleep(1)
        for _ in range(60):
            found = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True,
                                   env=environment)
            if found.stdout.strip() == "idle":
                break
            time.sleep(0.5)
        else:
            logs = "\n".join(path.read_text()[-800:] for path in folder.glob("*.log"))
            pytest.fail(f"requires an idle node. Found {found.stdout}{found.stderr}\n{logs}")
        yield environment
    finally:
        subprocess.run(["scancel", "--quiet", f"--user={os.environ.get('USER') or 'root'}"],
                       env=environment, capture_output=True)
        for daemon in reversed(running):
            daemon.terminate()
            daemon.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def test_slurm_runs_the_quick_study(cluster, tmp_path):
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(HERE / "Snakefile"),
        "--profile", str(HERE / "profiles" / "slurm"), "--config", "quick=1",
        "--directory", str(tmp_path), "--slurm-status-command", "squeue",
        "--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2",
        "--default-resources", "mem_mb=1500", "runtime=10", "slurm_account=book",
        "slurm_partition=main", "--latency-wait", "10",
    ]
    environment = {**cluster, "CURVLAB_RUNS": str(tmp_path / "runs")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    submitted = re.findall(r"submitted with SLURM jobid (\d+)", done.stderr)
    # 4 trials, 3 choices, 3 trainings, 10 measures of them, and the tables
    assert len(set(submitted)) == 21
    stages = (tmp_path / "runs" / "quick" / "results_files" / "stages.csv").read_text()
    assert "quick,20,20,True" in stages
    for path in (tmp_path / "runs" / "quick" / "evaluate").rglob("*.json"):
        assert json.loads(path.read_text())["accuracy"]
