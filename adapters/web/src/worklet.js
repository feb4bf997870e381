import { Engine, Stream } from "./engine.js";
import { LiveStream } from "./live_stream.js";

const STATS_S = 0.2; // between messages
const BLOCK = 128; // samples of a render quantum

class GtcrnProcessor extends AudioWorkletProcessor {
  constructor({ processorOptions: { wasm, weights, strength, bypass, maxLoad } }) {
    super();
    const engine = new Engine(new WebAssembly.Module(wasm), weights);
    this.stream = new Stream(engine, sampleRate, { strength, block: BLOCK });
    this.stream.setBypass(bypass);
    this.live = new LiveStream(this.stream, { maxLoad });
    this.silence = new Float32Array(BLOCK);
    this.isOpen = true;
    this.reportAt = 0;
    this.port.onmessage = ({ data }) => this.set(data);
    this.port.postMessage({ latency: this.stream.latency / sampleRate });
  }

  set({ strength, bypass, maxLoad, isOpen }) {
    if (strength !== undefined) this.stream.setStrength(strength);
    if (bypass !== undefined) this.stream.setBypass(bypass);
    if (maxLoad !== undefined) this.live.maxLoad = maxLoad;
    if (isOpen !== undefined) this.isOpen = isOpen;
  }

  process([inputs], [outputs]) {
    const output = outputs[0];
    const input = inputs[0] ?? (this.silence.length === output.length ? this.silence : new Float32Array(output.length));
    this.live.process(input, output);
    if (currentTime >= this.reportAt) {
      this.reportAt = currentTime + STATS_S;
      this.port.postMessage(this.live.stats());
    }
    return this.isOpen;
  }
}

registerProcessor("gtcrn", GtcrnProcessor);
