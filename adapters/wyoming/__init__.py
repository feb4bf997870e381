"""Wyoming, the protocol of Home Assistant's voice services: a proxy that enhances audio before speech-to-text."""

try:
    import prometheus_client as prometheus_client
    import websockets as websockets
    import wyoming as wyoming
except ImportError as error:
    raise ImportError(
        f"the Wyoming proxy needs {error.name}: pip install 'gtcrn-frontend[wyoming]'", name=error.name
    ) from error

from gtcrn_frontend.adapters.wyoming.proxy import WyomingProxy, WyomingSettings, serve

__all__ = ["WyomingProxy", "WyomingSettings", "serve"]
