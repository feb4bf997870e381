"""WebSocket proxy for sherpa-onnx servers: that of `gtcrn_frontend.adapters.servers`, under its first name."""

from gtcrn_frontend.adapters.servers import Proxy, ProxySettings, serve

__all__ = ["Proxy", "ProxySettings", "serve"]
