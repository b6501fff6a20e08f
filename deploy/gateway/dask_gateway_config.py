"""The server of a dask-gateway, with bkgflow installed beside it.

Start it with ``dask-gateway-server --config dask_gateway_config.py``. What it needs from the
environment:

- ``BKGFLOW_GATEWAY_PASSWORD``: the password that all users give;
- ``DASK_GATEWAY_ENCRYPT_KEYS``: what its database is encrypted with (openssl rand -base64 32);
- ``BKGFLOW_GATEWAY_ADDRESS``: where it listens, HOST:PORT; 127.0.0.1:8000 unless said otherwise;
- ``BKGFLOW_GATEWAY_STATE``: the folder of its database; the working folder otherwise.

For more than one user, put it behind HTTPS, and let JupyterHub or Kerberos say who they are. The
backend below starts workers on this machine; for others, such as SLURM, see dask-gateway's pages.
"""

import os
from pathlib import Path

from dask_gateway_server.options import Float, Integer, Options

c = get_config()  # noqa: F821 - dask-gateway-server gives it

host, _, port = os.environ.get("BKGFLOW_GATEWAY_ADDRESS", "127.0.0.1:8000").rpartition(":")
state = os.environ.get("BKGFLOW_GATEWAY_STATE", Path.cwd())

# Where users ask, and where they reach their schedulers: one port, and nothing on other hosts'
# networks. What the server and its proxy say to each other stays on this machine.
c.Proxy.address = f"{host}:{port}"
c.DaskGateway.address = "127.0.0.1:0"

c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = os.environ["BKGFLOW_GATEWAY_PASSWORD"]

# Clusters outlive the server: it finds them again by its database.
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DBBackendBase.db_url = f"sqlite:///{state}/dask-gateway.sqlite"
c.Backend.cluster_options = Options(
    Integer("worker_cores", 1, min=1, max=4, label="Threads of a worker"),
    Float("worker_memory", 2, min=1, max=16, label="Memory of a worker (GiB)"),
    handler=lambda options: {
        "worker_cores": options.worker_cores,
        "worker_memory": f"{options.worker_memory:g} G",
    },
)

# distributed has one command for all that it starts.
c.ClusterConfig.scheduler_cmd = ["dask", "scheduler"]
c.ClusterConfig.worker_cmd = ["dask", "worker", "--preload", "bkgflow.clusters.on_job"]
c.ClusterConfig.cluster_max_workers = 64
# A driver that died leaves no cluster behind for longer than this.
c.ClusterConfig.idle_timeout = 3600.0
