"""GTCRN noise suppression for LiveKit; installed as `livekit.plugins.gtcrn`."""

from gtcrn_frontend.adapters.livekit import GtcrnNoiseSuppression, noise_suppression, per_participant

__all__ = ["GtcrnNoiseSuppression", "noise_suppression", "per_participant"]
