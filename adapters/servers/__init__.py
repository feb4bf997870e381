"""Proxies in front of recognition servers and of telephone calls: they enhance the audio and relay all else."""

try:
    import prometheus_client as prometheus_client
    import websockets as websockets
except ImportError as error:
    raise ImportError(f"the proxy needs {error.name}: pip install 'gtcrn-frontend[proxy]'", name=error.name) from error

from gtcrn_frontend.adapters.servers.server import Proxy, new_proxy, serve
from gtcrn_frontend.adapters.servers.settings import ProxySettings

__all__ = ["Proxy", "ProxySettings", "new_proxy", "serve"]
