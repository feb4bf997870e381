import { createStreamDenoiser } from "./stream_denoiser.js";

/** LiveKit's `TrackProcessor` for a local audio track: `track.setProcessor(new GtcrnTrackProcessor())`. */
export class GtcrnTrackProcessor {
  name = "gtcrn";
  processedTrack;
  #options;
  #denoiser;

  constructor(options = {}) {
    this.#options = options;
  }

  async init({ track, audioContext }) {
    this.#denoiser = await createStreamDenoiser(new MediaStream([track]), { audioContext, ...this.#options });
    this.processedTrack = this.#denoiser.outputStream.getAudioTracks()[0];
  }

  async restart(options) {
    await this.destroy();
    await this.init(options);
  }

  async destroy() {
    await this.#denoiser?.close();
    this.#denoiser = undefined;
    this.processedTrack = undefined;
  }

  setStrength(strength) {
    this.#options = { ...this.#options, strength };
    this.#denoiser?.setStrength(strength);
  }

  bypass(bypass) {
    this.#options = { ...this.#options, bypass };
    this.#denoiser?.bypass(bypass);
  }

  stats() {
    return this.#denoiser?.stats();
  }
}
