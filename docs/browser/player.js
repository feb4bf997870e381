// The audio graph: a source, its raw and its enhanced signal side by side, of which one is heard.

import { createDenoiserNode, enhance } from "./gtcrn.js";

const SWITCH_S = 0.016;
const MAX_RECORDING_S = 300;

const RECORDER = `registerProcessor("recorder", class extends AudioWorkletProcessor {
  process([[samples]]) {
    if (samples) this.port.postMessage(samples.slice());
    return true;
  }
});`;

export class Player {
  constructor() {
    this.context = new AudioContext();
    this.isAfter = true;
    this.isAudible = true;
  }

  /** Builds the graph; fails where the engine cannot run. */
  async open(strength) {
    const { context } = this;
    this.denoiser = await createDenoiserNode(context, { strength });
    const { latency } = this.denoiser.stats();
    this.input = new GainNode(context, { channelCount: 1, channelCountMode: "explicit" });
    this.before = this.branch(new DelayNode(context, { delayTime: latency, maxDelayTime: 1 }));
    this.after = this.branch(this.denoiser.node);
    this.apply(0);
    const address = URL.createObjectURL(new Blob([RECORDER], { type: "text/javascript" }));
    await context.audioWorklet.addModule(address);
    URL.revokeObjectURL(address);
  }

  branch(first) {
    const analyser = new AnalyserNode(this.context, { fftSize: 1024, smoothingTimeConstant: 0 });
    const output = new GainNode(this.context, { gain: 0 });
    this.input.connect(first).connect(analyser).connect(output).connect(this.context.destination);
    return { analyser, output };
  }

  /** Lets one of the two signals, which are aligned, fade into the other. */
  apply(seconds = SWITCH_S) {
    const now = this.context.currentTime;
    for (const [{ output }, isHeard] of [[this.before, !this.isAfter], [this.after, this.isAfter]]) {
      output.gain.cancelScheduledValues(now);
      output.gain.setValueAtTime(output.gain.value, now);
      output.gain.linearRampToValueAtTime(isHeard && this.isAudible ? 1 : 0, now + seconds);
    }
  }

  setAfter(isAfter) {
    this.isAfter = isAfter;
    this.apply();
  }

  setAudible(isAudible) {
    this.isAudible = isAudible;
    this.apply();
  }

  /** Returns the fraction of real time that the engine takes; the worklet's own clock is too coarse to tell. */
  async measureLoad() {
    const { sampleRate } = this.context;
    this.noise ??= Float32Array.from({ length: sampleRate / 5 }, () => 0.1 * Math.random());
    let best = Infinity; // of some runs, which other work may interrupt
    for (let run = 0; run < 3; run++) {
      const start = performance.now();
      await enhance(this.noise, { sampleRate });
      best = Math.min(best, performance.now() - start);
    }
    return best / 200;
  }

  async decode(bytes) {
    const buffer = await this.context.decodeAudioData(bytes);
    const mono = new Float32Array(buffer.length);
    for (let c = 0; c < buffer.numberOfChannels; c++) {
      buffer.getChannelData(c).forEach((x, i) => (mono[i] += x / buffer.numberOfChannels));
    }
    return mono;
  }

  async play(samples) {
    this.stop();
    await this.context.resume();
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: this.context.sampleRate });
    buffer.copyToChannel(samples, 0);
    this.source = new AudioBufferSourceNode(this.context, { buffer, loop: true });
    this.source.connect(this.input);
    this.source.start();
  }

  /** Records the microphone until `stop`, which returns the recording. */
  async listen() {
    this.stop();
    const constraints = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
    this.microphone = await navigator.mediaDevices.getUserMedia({ audio: constraints });
    await this.context.resume();
    this.source = new MediaStreamAudioSourceNode(this.context, { mediaStream: this.microphone });
    this.recorder = new AudioWorkletNode(this.context, "recorder", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    this.blocks = [];
    this.recorder.port.onmessage = ({ data }) => {
      if (this.blocks.length * data.length < MAX_RECORDING_S * this.context.sampleRate) this.blocks.push(data);
    };
    this.source.connect(this.input);
    this.source.connect(this.recorder);
  }

  /** Stops what plays or records; returns a recording, if there is one. */
  stop() {
    this.source?.disconnect();
    this.source?.stop?.();
    this.source = undefined;
    if (!this.microphone) return undefined;
    this.microphone.getTracks().forEach((track) => track.stop());
    this.recorder.disconnect();
    this.microphone = undefined;
    const samples = new Float32Array(this.blocks.reduce((sum, block) => sum + block.length, 0));
    this.blocks.reduce((place, block) => (samples.set(block, place), place + block.length), 0);
    return samples.length ? samples : undefined;
  }
}
