// The C engine as WebAssembly, in any JavaScript host.

/** Why the engine refused something. */
export class GtcrnError extends Error {
  name = "GtcrnError";
}

const AUTO = -1; // GTCRN_AUTO of gtcrn.h

/** Returns a strength as the engine takes it; NaN for the default. */
export function strengthForC(strength) {
  if (strength === undefined) return NaN;
  if (strength === "auto") return AUTO;
  if (typeof strength === "number" && strength >= 0 && strength <= 1) return strength;
  throw new GtcrnError(`expected a strength from 0 to 1, or "auto", got ${strength}`);
}

/** One instance of the engine: a model and its streams. */
export class Engine {
  /**
   * @param {WebAssembly.Module} module
   * @param {Uint8Array} weights as written by `python -m gtcrn_frontend.weights.pack`
   */
  constructor(module, weights) {
    this.c = new WebAssembly.Instance(module).exports;
    this.c._initialize();
    const memory = this.allocate(weights.length);
    new Uint8Array(this.c.memory.buffer).set(weights, memory);
    this.model = this.c.web_load(memory, weights.length);
    this.c.web_release(memory);
    if (!this.model) throw new GtcrnError(this.message());
  }

  message() {
    const bytes = new Uint8Array(this.c.memory.buffer, this.c.web_message());
    return String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
  }

  allocate(bytes) {
    const address = this.c.web_allocate(bytes);
    if (!address) throw new GtcrnError("out of memory");
    return address;
  }

  floats(address, count) {
    return new Float32Array(this.c.memory.buffer, address, count);
  }
}

/** One mono stream. `push` accepts at most `block` samples. */
export class Stream {
  constructor(engine, sampleRate, { strength, block = 8192 } = {}) {
    if (!Number.isInteger(sampleRate)) throw new GtcrnError(`expected a sample rate in whole Hz, got ${sampleRate}`);
    this.engine = engine;
    this.sampleRate = sampleRate;
    this.block = block;
    this.handle = engine.c.web_open(engine.model, sampleRate, strengthForC(strength));
    if (!this.handle) throw new GtcrnError(engine.message());
    this.latency = engine.c.web_latency(this.handle);
    this.room = block + 2 * this.latency;
    this.input = engine.allocate(4 * block);
    this.output = engine.allocate(4 * this.room);
  }

  /** Returns the samples that are complete, valid until the next call; null if the input is not finite or above 8. */
  push(samples) {
    const { engine, handle, input, output } = this;
    engine.floats(input, samples.length).set(samples);
    const count = engine.c.web_push(handle, input, samples.length, output, this.room);
    return count < 0 ? null : engine.floats(output, count);
  }

  /** Returns the remaining samples, valid until the next call, and resets the stream. */
  finish() {
    return this.engine.floats(this.output, this.engine.c.web_finish(this.handle, this.output, this.room));
  }

  reset() {
    this.engine.c.web_reset(this.handle);
  }

  setStrength(strength) {
    const value = strengthForC(strength);
    this.engine.c.web_set_strength(this.handle, Number.isNaN(value) ? this.engine.c.web_default_strength() : value);
  }

  setBypass(bypass) {
    this.engine.c.web_set_bypass(this.handle, bypass ? 1 : 0);
  }

  /** The automatic strength and the estimated SNR in dB; NaN where the strength is not automatic. */
  report() {
    return { strength: this.engine.c.web_auto_strength(this.handle), snrDb: this.engine.c.web_snr_db(this.handle) };
  }

  close() {
    if (!this.handle) return;
    this.engine.c.web_close(this.handle);
    this.engine.c.web_release(this.input);
    this.engine.c.web_release(this.output);
    this.handle = 0;
  }
}
