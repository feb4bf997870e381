// A stream with constant latency that never breaks: it passes the raw signal while the engine cannot keep up.

const WARM_UP_S = 0.1; // of the network, before it is heard again
const WINDOW_S = 0.25; // over which the load is measured
const FIRST_PAUSE_S = 1; // without the engine after an overload; doubles each time
const LONGEST_PAUSE_S = 30;
const CALM_S = 10; // without an overload, after which the pause is the first one again

/** Samples that wait: a ring buffer. */
class Delay {
  constructor(capacity) {
    this.samples = new Float32Array(capacity);
    this.clear(0);
  }

  /** Empties it, but for some zeros. */
  clear(zeros) {
    this.samples.fill(0);
    this.begin = 0;
    this.count = zeros;
  }

  write(samples) {
    const size = this.samples.length;
    let place = (this.begin + this.count) % size;
    for (let i = 0; i < samples.length; i++) {
      this.samples[place] = samples[i];
      if (++place === size) place = 0;
    }
    this.count += samples.length;
  }

  read(output) {
    const size = this.samples.length;
    for (let i = 0; i < output.length; i++) {
      output[i] = this.samples[this.begin];
      if (++this.begin === size) this.begin = 0;
    }
    this.count -= output.length;
  }
}

function finite(samples) {
  return samples.map((x) => (Number.isFinite(x) ? Math.max(-8, Math.min(8, x)) : 0));
}

export class LiveStream {
  /**
   * @param {Stream} stream of the engine
   * @param {{maxLoad?: number, now?: () => number}} options the fraction of real time that the engine may take, and a
   *   clock in milliseconds
   */
  constructor(stream, { maxLoad = 0.7, now } = {}) {
    this.stream = stream;
    this.maxLoad = maxLoad;
    this.now = now ?? (globalThis.performance ? () => performance.now() : () => Date.now());
    const capacity = stream.latency + 2 * stream.block;
    this.raw = new Delay(capacity);
    this.raw.clear(stream.latency);
    this.enhanced = new Delay(2 * capacity);
    this.enhanced.clear(stream.latency);
    this.scratch = new Float32Array(stream.block);
    this.gain = 1; // of the enhanced signal
    this.state = "enhanced"; // or "raw" while the engine cannot keep up, or "failed"
    this.load = 0;
    this.overloads = 0;
    this.message = "";
    this.frames = 0;
    this.pauseS = FIRST_PAUSE_S;
    this.resumeAt = 0; // frames: where the engine runs again, if it does not
    this.audibleAt = 0; // and where it is heard
    this.overloadedAt = 0;
    this.startWindow();
  }

  startWindow() {
    this.busyMs = 0;
    this.windowFrames = 0;
  }

  /** Processes one block: output sample i is input sample i, `stream.latency` samples later. */
  process(input, output) {
    const count = input.length;
    for (let begin = 0; begin < count; begin += this.stream.block) {
      const end = Math.min(count, begin + this.stream.block);
      if (begin === 0 && end === count) this.processBlock(input, output);
      else this.processBlock(input.subarray(begin, end), output.subarray(begin, end));
    }
  }

  processBlock(input, output) {
    const count = input.length;
    this.raw.write(input);
    this.raw.read(output);
    if (this.state === "raw" && this.frames >= this.resumeAt && !this.isRunning) this.restart();
    this.frames += count;
    if (this.state === "failed" || (this.state === "raw" && !this.isRunning)) return;
    const enhanced = count === this.scratch.length ? this.scratch : this.scratch.subarray(0, count);
    if (!this.enhance(input, enhanced)) return;
    this.judge(count);
    const from = this.gain;
    const to = this.state === "enhanced" ? 1 : 0;
    for (let i = 0; i < count && (from || to); i++) {
      const gain = from + ((to - from) * (i + 1)) / count;
      output[i] = gain === 1 ? enhanced[i] : gain * enhanced[i] + (1 - gain) * output[i];
    }
    this.gain = to;
  }

  enhance(input, enhanced) {
    const start = this.now();
    try {
      this.enhanced.write(this.stream.push(input) ?? this.stream.push(finite(input)));
      this.enhanced.read(enhanced);
    } catch (error) {
      this.state = "failed";
      this.message = `the engine failed, the raw signal passes: ${error.message ?? error}`;
      return false;
    }
    this.busyMs += this.now() - start;
    return true;
  }

  /** Decides after a block whether the engine keeps up. */
  judge(count) {
    const rate = this.stream.sampleRate;
    this.windowFrames += count;
    if (this.windowFrames >= WINDOW_S * rate) {
      this.load = (this.busyMs * rate) / (1000 * this.windowFrames);
      this.startWindow();
      if (this.load > this.maxLoad) return this.pause();
    }
    if (this.state === "raw" && this.frames >= this.audibleAt) this.state = "enhanced";
    if (this.frames - this.overloadedAt > CALM_S * rate) this.pauseS = FIRST_PAUSE_S;
    return undefined;
  }

  pause() {
    this.state = "raw";
    this.isRunning = false;
    this.overloads++;
    this.overloadedAt = this.frames;
    this.resumeAt = this.frames + this.pauseS * this.stream.sampleRate;
    this.pauseS = Math.min(2 * this.pauseS, LONGEST_PAUSE_S);
  }

  restart() {
    this.isRunning = true;
    this.stream.reset();
    this.enhanced.clear(this.stream.latency);
    this.startWindow();
    const window = Math.max(WARM_UP_S, WINDOW_S); // judged once before it is heard
    this.audibleAt = this.frames + this.stream.latency + window * this.stream.sampleRate;
  }

  stats() {
    const { state, load, overloads, message } = this;
    return { state, load, overloads, message, ...this.stream.report() };
  }
}
